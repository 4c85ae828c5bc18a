// Package schedule computes when things are due: the instants of rotation, the
// end of an overlap and the notices of a coming end, as functions of what is
// declared, of when a token was issued, and of the time.
//
// It owns how the text in a spec becomes durations, instants and calendars, the
// defaults for what is left out, and the refusal of rotations that can never be
// satisfied, and of other text that got past the schema. It reads no clock and
// no cluster, and decides nothing about what is to be done when something is
// due.
package schedule
