// Package recorder owns what is common to all events: how long their notes may be.
// What is told, to whom and when is for those who tell it.
package recorder
