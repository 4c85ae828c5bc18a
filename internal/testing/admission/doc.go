// Package admission holds the proof that config/ means what it says: its tests
// render and install the kustomize folders on a real API server and attack the
// admission policies in them as a namespace's administrator would.
//
// The policies themselves are the YAML in config/policies; nothing in here runs
// in a program.
package admission
