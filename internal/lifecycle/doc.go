// Package lifecycle decides what must happen next to a declared token, and
// what its status says, as pure functions of what was observed and of the time.
//
// It owns the order of things: when a token is issued anew and why, when the
// one before ends, when a Secret is withdrawn, when nothing is to be done and
// when to look again. It performs nothing and reads no clock: the controller
// observes a State, performs the Action that Next names, folds the outcome into
// the State and asks again until there is none, then writes what Summarize
// says. A crash between any two actions leaves a State from which Next goes on.
package lifecycle
