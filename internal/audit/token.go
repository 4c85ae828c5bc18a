package audit

import (
	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// Token is the token that an event is about. What is not known is empty.
type Token struct {
	// ID, Namespace and Name are those of the token and of its AccessToken.
	ID, Namespace, Name string
	// Subject is the user name that the token acts as.
	Subject string
	// Creator is the user name of who declared it.
	Creator string
	// Scopes are what it is limited to.
	Scopes []string
}

// OfToken is what a verifier knows of a token.
func OfToken(t *verify.Token) Token {
	return Token{
		ID: t.ID(), Namespace: t.Namespace(), Name: t.Name(), Subject: t.Subject(), Creator: t.Creator(), Scopes: t.Scopes().Items(),
	}
}

// OfRecord is what a record says of its token.
func OfRecord(rec *v1alpha1.TokenRecord) Token {
	t := Token{
		ID: rec.Name, Namespace: rec.Namespace, Name: rec.Spec.AccessTokenName, Subject: rec.Spec.Subject.Name, Scopes: rec.Spec.Scopes,
	}
	if rec.Spec.Creator != nil {
		t.Creator = rec.Spec.Creator.Username
	}
	return t
}

// OfAccessToken is what an AccessToken says of its token of this ID.
func OfAccessToken(at *v1alpha1.AccessToken, id string) Token {
	return Token{
		ID: id, Namespace: at.Namespace, Name: at.Name, Subject: v1alpha1.PrincipalPrefix + at.Namespace + ":" + at.Name,
		Creator: at.Annotations[v1alpha1.AnnotationCreatedBy], Scopes: at.Spec.Scopes,
	}
}
