package caller

import (
	"errors"
	"net/http"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/credential"
	"github.com/accesstoken-dev/accesstoken-operator/internal/oauthwire"
)

const (
	realm           = ` realm="accesstoken"`
	challengeBearer = string(credential.Bearer) + realm
	challengeBasic  = string(credential.Basic) + realm

	descriptionUnchecked = "could not check who asks: try again"
)

// unreadable is the answer to an Authorization header without a credential.
func unreadable(err error, scheme credential.Scheme) *oauthwire.Problem {
	switch {
	case errors.Is(err, credential.ErrMissing), errors.Is(err, credential.ErrScheme):
		// No code beside the challenges for one who did not try (RFC 6750 section 3.1).
		return &oauthwire.Problem{
			Status: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": {challengeBearer, challengeBasic}},
			Code: oauthwire.CodeInvalidClient, Description: "say who asks: send a credential in the Authorization header, as Bearer or as the password of Basic",
		}
	case errors.Is(err, credential.ErrAmbiguous):
		return oauthwire.Invalid("there is more than one credential: send one Authorization header, without a comma")
	}
	return unauthenticated(scheme, "the Authorization header is malformed")
}

// notGood describes a credential that did not prove itself. What is wrong with it
// is not told; the audience is what is wrong most often.
func notGood(audience string) string {
	return "the credential is not good here: send a token of a service account or of an AccessToken, for the audience " + audience
}

// unauthenticated is the answer to a credential that is not good.
func unauthenticated(scheme credential.Scheme, description string) *oauthwire.Problem {
	problem := &oauthwire.Problem{Status: http.StatusUnauthorized, Code: oauthwire.CodeInvalidClient, Description: description}
	challenge := challengeBasic
	if scheme == credential.Bearer {
		problem.Code = oauthwire.CodeInvalidToken
		challenge = challengeBearer + `, error="` + string(problem.Code) + `"`
	}
	problem.Header = http.Header{"Www-Authenticate": {challenge}}
	return problem
}

// forbidden is the answer to one who is known and may not ask.
func forbidden(scheme credential.Scheme, description string) *oauthwire.Problem {
	problem := &oauthwire.Problem{Status: http.StatusForbidden, Code: oauthwire.CodeInsufficientScope, Description: description}
	if scheme == credential.Bearer {
		challenge := challengeBearer + `, error="` + string(problem.Code) + `", scope="` + v1alpha1.ScopeIntrospect + `"`
		problem.Header = http.Header{"Www-Authenticate": {challenge}}
	}
	return problem
}
