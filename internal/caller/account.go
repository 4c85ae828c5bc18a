package caller

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/credential"
	"github.com/accesstoken-dev/accesstoken-operator/internal/oauthwire"
)

// accountPrefix begins the user names of service accounts.
const accountPrefix = "system:serviceaccount:"

// The rights of a service account. The resources exist in RBAC only.
var (
	rightToAsk = right{verb: "create", resource: "introspections"}
)

func rightToAskFor(audience string) right {
	return right{verb: "introspect", resource: "audiences", name: audience}
}

type right struct{ verb, resource, name string }

// accounts authenticates service accounts.
type accounts struct {
	audience string
	clients  kubernetes.Interface
	log      logr.Logger
	key      [sha256.Size]byte // of the digests: nobody can tell beforehand where an answer is kept
	reviews  *memo[authenticationv1.UserInfo]
	rights   *memo[struct{}]
}

func newAccounts(options *Options, key [sha256.Size]byte) *accounts {
	reviews := newMemo[authenticationv1.UserInfo](options)
	reviews.limitStrangers(options.Strangers)
	return &accounts{
		audience: options.Audience, clients: options.Kubernetes, log: options.Log, key: key,
		reviews: reviews, rights: newMemo[struct{}](options),
	}
}

// looksLikeJWT keeps from the API server what is certainly none: three parts in
// base64url (RFC 7515 section 7.1).
func looksLikeJWT(presented string) bool {
	parts := strings.Split(presented, ".")
	return len(parts) == 3 && !slices.ContainsFunc(parts, func(part string) bool {
		return part == "" || strings.ContainsFunc(part, func(r rune) bool {
			return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-' && r != '_'
		})
	})
}

func (a *accounts) authenticate(ctx context.Context, presented string, scheme credential.Scheme) (*Caller, *oauthwire.Problem) {
	digest := a.digest(presented)
	user, authenticated, err := a.reviews.ask(ctx, digest, func(ctx context.Context) (authenticationv1.UserInfo, bool, error) {
		return a.review(ctx, presented)
	})
	if err != nil {
		return nil, oauthwire.Unavailable(descriptionUnchecked)
	}
	if !authenticated {
		return nil, unauthenticated(scheme, notGood(a.audience))
	}
	known := account{accounts: a, digest: digest, user: user}
	switch allowed, err := known.has(ctx, rightToAsk); {
	case err != nil:
		return nil, oauthwire.Unavailable(descriptionUnchecked)
	case !allowed:
		return nil, forbidden(scheme, "the service account may not ask: RBAC has to allow it create on introspections."+v1alpha1.Group)
	}
	return &Caller{Name: user.Username, mayAskFor: func(ctx context.Context, audience string) (bool, error) {
		return known.has(ctx, rightToAskFor(audience))
	}}, nil
}

// review has the API server check a JWT: signature, end, audience, and that the
// account, and the pod that it was made for, are still there.
func (a *accounts) review(ctx context.Context, presented string) (user authenticationv1.UserInfo, ok bool, err error) {
	question := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: presented, Audiences: []string{a.audience}}}
	answer, err := a.clients.AuthenticationV1().TokenReviews().Create(ctx, question, metav1.CreateOptions{})
	if err != nil {
		err = errors.New(strings.ReplaceAll(err.Error(), presented, "[redacted]"))
		a.log.Error(err, "could not check who asks", "resource", "tokenreviews")
		return authenticationv1.UserInfo{}, false, fmt.Errorf("review a token: %w", err)
	}
	// An API server that passed over the audiences confirms none. Others than service
	// accounts have credentials that are meant for more than asking here.
	status := &answer.Status
	ok = status.Authenticated && slices.Contains(status.Audiences, a.audience) && strings.HasPrefix(status.User.Username, accountPrefix)
	return status.User, ok, nil
}

// account is a service account that proved who it is.
type account struct {
	*accounts
	digest digest
	user   authenticationv1.UserInfo
}

// has asks RBAC.
func (a *account) has(ctx context.Context, wanted right) (bool, error) {
	key := a.accounts.digest(string(a.digest[:]), wanted.verb, wanted.resource, wanted.name)
	_, allowed, err := a.rights.ask(ctx, key, func(ctx context.Context) (struct{}, bool, error) {
		allowed, err := a.review(ctx, wanted)
		return struct{}{}, allowed, err
	})
	return allowed, err
}

func (a *account) review(ctx context.Context, wanted right) (bool, error) {
	extra := make(map[string]authorizationv1.ExtraValue, len(a.user.Extra))
	for name, values := range a.user.Extra {
		extra[name] = authorizationv1.ExtraValue(values)
	}
	question := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: a.user.Username, UID: a.user.UID, Groups: a.user.Groups, Extra: extra,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: v1alpha1.Group, Version: v1alpha1.GroupVersion.Version, Resource: wanted.resource, Verb: wanted.verb, Name: wanted.name,
		},
	}}
	answer, err := a.clients.AuthorizationV1().SubjectAccessReviews().Create(ctx, question, metav1.CreateOptions{})
	if err != nil {
		a.log.Error(err, "could not check what a caller may", "resource", "subjectaccessreviews", "user", a.user.Username)
		return false, fmt.Errorf("review access: %w", err)
	}
	return answer.Status.Allowed && !answer.Status.Denied, nil
}

// digest finds an answer without keeping what was asked about. Parts are told
// apart by their lengths.
func (a *accounts) digest(parts ...string) (sum digest) {
	mac := hmac.New(sha256.New, a.key[:])
	for _, part := range parts {
		_, _ = fmt.Fprintf(mac, "%d:", len(part)) // a hash takes all
		_, _ = mac.Write([]byte(part))
	}
	mac.Sum(sum[:0])
	return sum
}
