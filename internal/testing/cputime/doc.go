// Package cputime adds to a benchmark what the processor spent on it: on a
// machine with other work, elapsed time says little.
package cputime
