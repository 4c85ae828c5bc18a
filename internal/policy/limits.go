package policy

import (
	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// What holds where no selecting policy says anything.
const (
	// DefaultTokens is how many AccessTokens of a namespace have a token.
	DefaultTokens = 100

	// DefaultTokensPerSubject is how many of them act as the same service
	// account or user.
	DefaultTokensPerSubject = 10
)

// Quota is how many AccessTokens may have a token.
type Quota struct {
	// Tokens is how many of a namespace may.
	Tokens int32

	// TokensPerSubject is how many that act as the same service account or user
	// may. A token that is its own principal counts for the namespace only.
	TokensPerSubject int32
}

// QuotaOf adds up the policies that select a namespace: the least of each limit,
// and the default of each that none of them sets.
func QuotaOf(selecting []*v1alpha1.AccessTokenPolicy) Quota {
	tokens, perSubject := strictest{}, strictest{}
	for _, p := range selecting {
		if p.Spec.Quota != nil {
			tokens.consider(p.Spec.Quota.Tokens)
			perSubject.consider(p.Spec.Quota.TokensPerSubject)
		}
	}
	return Quota{
		Tokens:           tokens.or(DefaultTokens),
		TokensPerSubject: perSubject.or(DefaultTokensPerSubject),
	}
}

// strictest is the least of the limits that are set.
type strictest struct{ least *int32 }

func (s *strictest) consider(limit *int32) {
	if limit != nil && (s.least == nil || *limit < *s.least) {
		s.least = limit
	}
}

func (s *strictest) or(byDefault int32) int32 {
	if s.least == nil {
		return byDefault
	}
	return *s.least
}
