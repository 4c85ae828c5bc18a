package extauthz

import (
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/accesstoken-dev/accesstoken-operator/internal/gateway"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// allowed lets a request through: with what the service behind Envoy may know of
// the token, without the token, and without what the client says of itself.
func allowed(answer gateway.Answer, http *authv3.AttributeContext_HttpRequest) *authv3.CheckResponse {
	identity := gateway.Identity(answer.Token)
	ok := &authv3.OkHttpResponse{
		Headers:         make([]*corev3.HeaderValueOption, len(identity)),
		HeadersToRemove: append(forged(http), "authorization"),
	}
	var all struct { // allocated at once
		options [len(identity)]corev3.HeaderValueOption
		headers [len(identity)]corev3.HeaderValue
	}
	for i, name := range identityNames {
		option, header := &all.options[i], &all.headers[i]
		header.Key, header.Value = name, identity[i]
		option.Header, option.AppendAction = header, overwriting
		ok.Headers[i] = option
	}
	return &authv3.CheckResponse{
		Status:          &status.Status{Code: int32(codes.OK)},
		HttpResponse:    &authv3.CheckResponse_OkResponse{OkResponse: ok},
		DynamicMetadata: metadata(answer.Token),
	}
}

// overwrite is a header that replaces all of its name.
func overwrite(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header: &corev3.HeaderValue{Key: name, Value: value}, AppendAction: overwriting,
	}
}

// overwriting replaces all headers of a name. Versions of Envoy that do not know
// it do so by default.
const overwriting = corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD

// identityNames are gateway.Headers as Envoy writes them.
var identityNames = func() (names [len(gateway.Headers)]string) {
	for i, name := range gateway.Headers {
		names[i] = strings.ToLower(name)
	}
	return names
}()

// forged returns the client's headers that some services cannot tell from ours:
// those of our prefix that we do not send, and those with underscores in it.
func forged(http *authv3.AttributeContext_HttpRequest) []string {
	var names []string
	for name := range headers(http) {
		// What we send is replaced, and removed if it were named here.
		if hasOurPrefix(name) && !slices.Contains(identityNames[:], name) {
			names = append(names, name)
		}
	}
	return names
}

func hasOurPrefix(name string) bool {
	const prefix = "x-accesstoken-"
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if name[i] != prefix[i] && (name[i] != '_' || prefix[i] != '-') {
			return false
		}
	}
	return true
}

// metadata is what other filters of Envoy may know of the token, for rules and
// access logs.
func metadata(t *verify.Token) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{
		"subject":   text(t.Subject()),
		"groups":    list(t.Groups()),
		"scopes":    list(t.Scopes()),
		"id":        text(t.ID()),
		"name":      text(t.Name()),
		"namespace": text(t.Namespace()),
	}}
}

// text makes a value of what a protobuf string can hold.
func text(s string) *structpb.Value {
	return structpb.NewStringValue(strings.ToValidUTF8(s, "\uFFFD"))
}

// list makes a list, or null of an absent one: a token without scopes is not
// limited by them.
func list(of verify.List) *structpb.Value {
	if of.Absent() {
		return structpb.NewNullValue()
	}
	values := &structpb.ListValue{}
	for item := range of.All() {
		values.Values = append(values.Values, text(item))
	}
	return structpb.NewListValue(values)
}

// denied answers the client in place of the service. Where the token could not be
// checked that is an answer too, 503, and no error: an error would let the
// request pass where failure_mode_allow is set.
func denied(answer gateway.Answer) *authv3.CheckResponse {
	headers := []*corev3.HeaderValueOption{
		overwrite("cache-control", "no-store"),
		overwrite("content-type", "text/plain; charset=utf-8"),
		overwrite("x-content-type-options", "nosniff"),
	}
	if challenge := answer.Challenge(); challenge != "" {
		headers = append(headers, overwrite("www-authenticate", challenge))
	}
	if seconds := answer.RetryAfter(); seconds != "" {
		headers = append(headers, overwrite("retry-after", seconds))
	}
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(code(answer.Result))}, //nolint:gosec // a closed set of small numbers
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(answer.Result.Status())}, //nolint:gosec // as above
			Headers: headers,
			Body:    answer.Body(),
		}},
	}
}

// code is what gRPC calls a result. Envoy asks only whether it is OK.
func code(result gateway.Result) codes.Code {
	switch result {
	case gateway.Allowed:
		return codes.OK
	case gateway.InvalidRequest:
		return codes.InvalidArgument
	case gateway.InsufficientScope:
		return codes.PermissionDenied
	case gateway.UnknownPolicy:
		return codes.NotFound
	case gateway.Unchecked:
		return codes.Unavailable
	default:
		return codes.Unauthenticated
	}
}
