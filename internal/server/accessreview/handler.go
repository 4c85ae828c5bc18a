package accessreview

import (
	"net/http"
	"strings"

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

	// Denied is told of each request that is denied. It must not block. Nil is
	// silent.
	Denied func(Denial)
}

// Denial is a request that a token lacks a scope for, as kube-apiserver tells of
// it. What it does not tell is empty: of who acts as the user of a token by
// impersonation only User.
type Denial struct {
	// TokenID, Namespace and Name are those of the token and of its AccessToken.
	TokenID, Namespace, Name string
	// User is the user name that the token acts as.
	User string
	// Scopes are what the token is limited to.
	Scopes []string
	// Verb is that of the Kubernetes API, and Path what the request is for; it has
	// a star where the question is about all.
	Verb, Path string
}

// New makes the webhook. What cannot be decoded is answered with a 4xx, upon
// which kube-apiserver denies the request (failurePolicy Deny).
func New(options Options) http.Handler {
	if options.Denied == nil {
		options.Denied = func(Denial) {}
	}
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
		who := bearerOf(spec)
		if reason := d.deny(who, asked); reason != "" {
			options.Denied(denial(spec.User, who, asked))
			body, encodeErr = review.Encode(kind, authorizationv1.SubjectAccessReviewStatus{Denied: true, Reason: reason})
		}
		if encodeErr != nil { // no text is wrong for JSON, so this does not happen
			http.Error(w, "the answer cannot be encoded", http.StatusInternalServerError)
			return
		}
		review.Write(w, body)
	})
}

func denial(user string, who bearer, asked *request) Denial {
	d := Denial{TokenID: who.id, User: user, Scopes: who.scopes, Verb: asked.verb, Path: asked.location()}
	if namespace, name, ok := strings.Cut(who.name, "/"); ok {
		d.Namespace, d.Name = namespace, name
	}
	return d
}
