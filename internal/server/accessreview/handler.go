package accessreview

import (
	"net/http"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/review"
)

// Path is where kube-apiserver's kubeconfig asks for it.
const Path = "/accessreview"

var kind = authorizationv1.SchemeGroupVersion.WithKind("SubjectAccessReview")

// Options say how SubjectAccessReviews are answered.
type Options struct {
	// ScopeMappings say which requests a scope covers. None means that a scope
	// covers nothing.
	ScopeMappings []config.ScopeMapping
}

// New makes the webhook. What cannot be decoded is answered with a 4xx, upon
// which kube-apiserver denies the request (failurePolicy Deny).
func New(options Options) http.Handler {
	d := newDecider(options.ScopeMappings)
	noOpinion, err := review.Encode(kind, authorizationv1.SubjectAccessReviewStatus{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		spec, ok := review.Read[authorizationv1.SubjectAccessReviewSpec](w, r, kind)
		if !ok {
			return
		}
		asked, ok := requestOf(spec)
		if !ok {
			http.Error(w, "spec needs either resourceAttributes or nonResourceAttributes, with a verb", http.StatusBadRequest)
			return
		}
		body, encodeErr := noOpinion, err
		if reason := d.deny(bearerOf(spec), asked); reason != "" {
			body, encodeErr = review.Encode(kind, authorizationv1.SubjectAccessReviewStatus{Denied: true, Reason: reason})
		}
		if encodeErr != nil { // no text is wrong for JSON, so this does not happen
			http.Error(w, "the answer cannot be encoded", http.StatusInternalServerError)
			return
		}
		review.Write(w, body)
	})
}
