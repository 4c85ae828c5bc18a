// Package audit writes who used, was refused, was given and lost which token: JSON
// lines in the field names of the Elastic Common Schema, to a file or to standard
// output. The events are a closed set.
//
// It owns what an event says, how often one of a kind is written, and the file. It
// never writes a token: text of strangers is cut, made printable and searched for
// one. Nobody waits for it: lines are written by one goroutine, and what it cannot
// take in or write is counted.
package audit
