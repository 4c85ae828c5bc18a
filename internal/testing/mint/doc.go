// Package mint makes tokens with sealed TokenRecords for tests, as the manager
// does, with any key and for any cluster; and an index of them, as a verifier has
// that has seen all of them. It stores nothing, and knows no watch: see
// internal/store for that.
package mint
