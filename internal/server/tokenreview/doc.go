// Package tokenreview answers kube-apiserver, and all who ask through it, whose
// token it was given: the TokenReview webhook of authentication.k8s.io/v1.
//
// It owns how a verdict becomes a TokenReview status: which of the audiences that
// were asked for the token is good for, who the user is, and when "no" is an
// error because kube-apiserver would keep a plain "no". It decides about no token
// (internal/verify does) and sends back no part of a request.
package tokenreview
