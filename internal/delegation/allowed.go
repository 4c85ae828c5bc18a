package delegation

import (
	"context"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// Allowed proves that a creator may act as the subject of an AccessToken now. A
// nil Refusal is the proof; a non-nil error means that it could not be found out.
func (c *Checker) Allowed(ctx context.Context, token *v1alpha1.AccessToken, creator Creator) (*Refusal, error) {
	for _, attributes := range rights(token) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: creator.Username, UID: creator.UID, Groups: creator.Groups, ResourceAttributes: attributes,
		}}
		if err := c.Live.Create(ctx, review); err != nil {
			return nil, fmt.Errorf("ask whether the creator may act as the subject: %w", err)
		}
		if review.Status.Allowed && !review.Status.Denied {
			continue
		}
		if review.Status.EvaluationError != "" && !review.Status.Denied {
			return nil, fmt.Errorf("ask whether the creator may act as the subject: %s", review.Status.EvaluationError)
		}
		return &Refusal{Reason: v1alpha1.ReasonCreatorLostRight, Message: fmt.Sprintf(
			"%s, who created this AccessToken, may no longer act as its subject (verb %s on %s %s): give the right back, or have somebody who has it create the AccessToken anew",
			creator.Username, attributes.Verb, resource(attributes), attributes.Name)}, nil
	}
	return nil, nil
}

// rights are those that acting as the subject takes, as admission policy asks
// for them.
func rights(token *v1alpha1.AccessToken) []*authorizationv1.ResourceAttributes {
	subject := token.Spec.Subject
	if subject.Kind == v1alpha1.SubjectKindServiceAccount {
		return []*authorizationv1.ResourceAttributes{{
			Namespace: token.Namespace, Verb: "create", Version: "v1", Resource: "serviceaccounts", Subresource: "token", Name: subject.Name,
		}}
	}
	asked := []*authorizationv1.ResourceAttributes{{Verb: "impersonate", Version: "v1", Resource: "users", Name: subject.Name}}
	for _, group := range subject.Groups {
		asked = append(asked, &authorizationv1.ResourceAttributes{Verb: "impersonate", Version: "v1", Resource: "groups", Name: group})
	}
	return asked
}

func resource(attributes *authorizationv1.ResourceAttributes) string {
	if attributes.Subresource == "" {
		return attributes.Resource
	}
	return attributes.Resource + "/" + attributes.Subresource
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
