// Package untrusted makes text of strangers fit to be stored and logged: cut,
// printable, and without a token or JWT in it. What it means is for its readers
// to say.
package untrusted
