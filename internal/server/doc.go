// Package server owns how the verifier listens: TLS with certificates that are
// read anew when they change, client certificates where they are asked for,
// limits on time and size, what every answer carries, warnings where a certificate
// is refused, and an orderly end.
//
// What is answered is for the packages below it, one for each protocol; they
// know nothing of each other or of this one.
package server
