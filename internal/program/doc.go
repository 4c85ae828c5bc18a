// Package program is what the programs of this project have in common when they
// start: the flags that all of them have, how flags are read and listed, the log and
// what it says of readiness, and what becomes of a start that goes wrong. What a
// program does is its own.
package program
