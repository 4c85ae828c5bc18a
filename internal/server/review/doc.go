// Package review is what the two webhooks of kube-apiserver have in common on
// the wire: they take a review object in JSON over POST and answer with the
// status of one.
//
// It owns limits, content type, and which request is malformed. What is asked
// and answered is for tokenreview and accessreview. No answer holds a part of
// its request.
package review
