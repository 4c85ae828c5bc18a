package oauthwire

import "net/http"

// Code is what kind of error an answer tells of, for programs.
type Code string

// The codes, with where they are defined.
const (
	// CodeInvalidRequest: the request cannot be read, or a parameter is missing,
	// malformed or repeated (RFC 6749 section 5.2).
	CodeInvalidRequest Code = "invalid_request"
	// CodeInvalidClient: who asks did not prove who it is by HTTP Basic (RFC 6749
	// section 5.2).
	CodeInvalidClient Code = "invalid_client"
	// CodeInvalidToken: the bearer token of who asks is not good (RFC 6750 section
	// 3.1).
	CodeInvalidToken Code = "invalid_token"
	// CodeInsufficientScope: who asks may not (RFC 6750 section 3.1).
	CodeInsufficientScope Code = "insufficient_scope"
	// CodeTemporarilyUnavailable: it could not be found out, or not be done; try
	// again (RFC 6749 section 4.1.2.1).
	CodeTemporarilyUnavailable Code = "temporarily_unavailable"
)

// The parameters of requests.
const (
	ParameterToken         = "token"           // RFC 7662 section 2.1, RFC 7009 section 2.1
	ParameterTokenTypeHint = "token_type_hint" // likewise; it changes nothing here
	ParameterClientIP      = "client_ip"       // ours: where the token is used from
)

// TokenTypeBearer is what RFC 6750 calls tokens that are good for whoever holds
// them.
const TokenTypeBearer = "Bearer"

// Problem is an answer other than success.
type Problem struct {
	// Status is the HTTP status.
	Status int `json:"-"`

	// Header is sent beside what every answer has. Nil for nothing.
	Header http.Header `json:"-"`

	// Code says what kind of error it is.
	Code Code `json:"error"`

	// Description says what is wrong and what to do, in printable ASCII without
	// quotes and backslashes (RFC 6749 section 5.2). It never quotes the request.
	Description string `json:"error_description"`
}

func invalid(status int, description string) *Problem {
	return &Problem{Status: status, Code: CodeInvalidRequest, Description: description}
}

// Invalid is the answer to a parameter that is missing or malformed.
func Invalid(description string) *Problem { return invalid(http.StatusBadRequest, description) }

// retryAfter is in how many seconds a client should try again what could not be
// done.
const retryAfter = "2"

// Unavailable is the answer where something could not be found out or not be
// done. It says neither yes nor no.
func Unavailable(description string) *Problem {
	return &Problem{
		Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {retryAfter}},
		Code: CodeTemporarilyUnavailable, Description: description,
	}
}
