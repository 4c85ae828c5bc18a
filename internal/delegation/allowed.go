package delegation

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// Allowed proves that a creator has the rights that powers of an AccessToken take
// now. A nil Refusal is the proof; a non-nil error means that it could not be found
// out.
func (c *Checker) Allowed(ctx context.Context, token *v1alpha1.AccessToken, powers []Power, creator Creator) (*Refusal, error) {
	for _, power := range powers {
		for _, attributes := range power.rights(token) {
			allowed, err := c.allowed(ctx, attributes, creator)
			if err != nil {
				return nil, fmt.Errorf("ask whether the creator may %s: %w", power, err)
			}
			if !allowed {
				return &Refusal{Reason: v1alpha1.ReasonCreatorLostRight, Message: fmt.Sprintf(
					"%s, who created this AccessToken, may not %s (verb %s on %s): give the right back, or have somebody who has it create the AccessToken anew",
					creator.Username, power, attributes.Verb, resource(attributes))}, nil
			}
		}
	}
	return nil, nil
}

func (c *Checker) allowed(ctx context.Context, attributes *authorizationv1.ResourceAttributes, creator Creator) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: creator.Username, UID: creator.UID, Groups: creator.Groups, ResourceAttributes: attributes,
	}}
	if err := c.Live.Create(ctx, review); err != nil {
		return false, err
	}
	if review.Status.EvaluationError != "" && !review.Status.Allowed && !review.Status.Denied {
		return false, errors.New(review.Status.EvaluationError)
	}
	return review.Status.Allowed && !review.Status.Denied, nil
}

func resource(attributes *authorizationv1.ResourceAttributes) string {
	name := attributes.Resource
	if attributes.Subresource != "" {
		name += "/" + attributes.Subresource
	}
	return strings.TrimSuffix(name+" "+attributes.Name, " ")
}

// groups reads what admission policy writes of them.
func groups(stamp string) []string {
	if stamp == "" {
		return nil
	}
	list := strings.Split(stamp, ",")
	for i := range list {
		list[i] = strings.NewReplacer("%2C", ",", "%25", "%").Replace(list[i])
	}
	return list
}
