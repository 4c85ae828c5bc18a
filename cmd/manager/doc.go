// Command manager is the operator: it issues declared access tokens into
// Secrets, rotates them, ends them, and reports on them. It reads flags, builds
// the parts and runs them; it decides nothing itself.
package main
