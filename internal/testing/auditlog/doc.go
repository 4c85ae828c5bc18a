// Package auditlog reads from the API server's audit log what a program asked of
// it, for tests of how often it does.
package auditlog
