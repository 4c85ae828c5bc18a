// Package keys owns the keys that records are sealed and hashed with: the
// Secret in the operator's namespace that holds them, the set of them in
// memory, and the rules by which one is made, added, dropped or lost.
//
// A key is never made silently in place of a lost one: where records exist and
// the Secret does not, the keys are lost until somebody restores the Secret or
// deletes the records. What records do with a key is internal/record.
package keys
