// Package tokenrecord deletes TokenRecords that are of no more use: those that
// ended and were kept for the retention time, those of an AccessToken that has
// too many, and those whose AccessToken is gone and that garbage collection did
// not reach.
//
// It is the only place that deletes records, and it deletes only what a live
// read confirms. It never ends a token: that is package accesstoken's.
package tokenrecord
