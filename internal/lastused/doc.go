// Package lastused notes when, from where, by whom and for what tokens are used,
// and writes it to their records: in time for those that use extends, and within
// ten minutes for whoever wants to see it.
//
// It owns what counts as a use, when one is written and in which order, and that
// a later use is never overwritten by an earlier one. It decides about no request
// and ends nothing. Nothing is written while a request waits: noting a use takes a
// lock at most once a second for each token.
//
// Every replica decides by the end that is stored, so a use extends a token
// everywhere or nowhere. A replica that dies loses what it had not written: never
// more than ten minutes of what is shown, and nothing that an end was near to.
package lastused
