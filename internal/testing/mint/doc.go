// Package mint makes TokenRecords for tests as the manager seals them, with any
// key and for any cluster. It imports none of what decides about them, so that the
// tests of that can use it. It stores nothing.
package mint
