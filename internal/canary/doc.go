// Package canary proves that the admission policies this project relies on are
// in force: it tries by dry run what they have to refuse. Policies can be
// missing, not yet compiled, or unbound, and nothing else would show it.
//
// It proves those policies that bind the manager itself. It installs nothing.
package canary
