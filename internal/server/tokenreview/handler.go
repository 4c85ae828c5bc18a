package tokenreview

import (
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/accesstoken-dev/accesstoken-operator/internal/server/review"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// Path is where kube-apiserver's kubeconfig asks for it.
const Path = "/tokenreview"

var kind = authenticationv1.SchemeGroupVersion.WithKind("TokenReview")

// New makes the webhook. Its handler is for a listener that demands client
// certificates: whoever can ask it can try tokens.
func New(verifier verify.Verifier, options Options) http.Handler {
	r := newReviewer(verifier, options)
	no, err := review.Encode(kind, authenticationv1.TokenReviewStatus{})
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		spec, ok := review.Read[authenticationv1.TokenReviewSpec](w, request, kind)
		if !ok {
			return
		}
		status := r.review(request.Context(), spec.Token, spec.Audiences)
		body, encodeErr := no, err
		if status.Authenticated || status.Error != "" {
			body, encodeErr = review.Encode(kind, status)
		}
		if encodeErr != nil { // no text is wrong for JSON, so this does not happen
			http.Error(w, "the answer cannot be encoded", http.StatusInternalServerError)
			return
		}
		review.Write(w, body)
	})
}
