package audit

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/internal/untrusted"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// Action is what happened: event.action. It is a closed set.
type Action string

// What the verifier sees.
const (
	// TokenAccepted: a token was used, and found good.
	TokenAccepted Action = "token.accepted"
	// TokenRefused: something that may be a token was presented, and was not good.
	TokenRefused Action = "token.refused"
	// TokenUsedAfterEnd: whoever holds a token presented it after its end.
	TokenUsedAfterEnd Action = "token.used_after_end"
)

// What happens to a token.
const (
	// TokenIssued: an AccessToken got a token, and had none that was good before.
	TokenIssued Action = "token.issued"
	// TokenRotated: it got another in the place of one.
	TokenRotated Action = "token.rotated"
	// TokenRepaired: it got another, since somebody changed or deleted the Secret or
	// the record of the one before.
	TokenRepaired Action = "token.repaired"
	// TokenExpired: its last token ended by age.
	TokenExpired Action = "token.expired"
	// TokenRevoked: a token was taken back for good.
	TokenRevoked Action = "token.revoked"
	// TokenSuspended: a token was taken back until its AccessToken is active again.
	TokenSuspended Action = "token.suspended"
)

// Actions are all of them.
func Actions() []Action {
	return []Action{
		TokenAccepted, TokenRefused, TokenUsedAfterEnd,
		TokenIssued, TokenRotated, TokenRepaired, TokenExpired, TokenRevoked, TokenSuspended,
	}
}

// event is one line.
type event struct {
	at      time.Time
	action  Action
	refused bool
	reason  string

	token    Token
	seen     *verify.Token // in the place of token: read when the line is written
	replaced string        // the ID of the token before
	revision int64

	protocol                      verify.Protocol
	asker                         string
	audiences                     []string // that were asked for
	clientIP                      netip.Addr
	userAgent, host, path, method string
	verb                          string // of the Kubernetes API
	leftOut                       uint64
}

// What is kept of text of strangers, in bytes.
const (
	mostAgent  = 256
	mostHost   = 255
	mostPath   = 1024
	mostMethod = 32
	mostName   = 512
	mostReason = 512

	// mostAudiences bounds how many are kept: whoever asks kube-apiserver names them.
	mostAudiences = 10
)

// schemaVersion is that of the Elastic Common Schema which the names are taken
// from.
const schemaVersion = "8.17.0"

// newHandler writes records as JSON lines: with @timestamp, and with neither
// level nor message, which every event would have alike.
func newHandler(to io.Writer) slog.Handler {
	return slog.NewJSONHandler(to, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		switch {
		case len(groups) > 0:
		case a.Key == slog.TimeKey:
			return slog.String("@timestamp", a.Value.Time().UTC().Format("2006-01-02T15:04:05.000000Z"))
		case a.Key == slog.LevelKey, a.Key == slog.MessageKey:
			return slog.Attr{}
		}
		return a
	}})
}

// write hands an event to a handler.
func (e *event) write(ctx context.Context, handler slog.Handler) error {
	outcome := "success"
	if e.refused {
		outcome = "failure"
	}
	record := slog.NewRecord(e.at, slog.LevelInfo, "", 0)
	record.AddAttrs(slog.String("ecs.version", schemaVersion), slog.String("event.action", string(e.action)), slog.String("event.outcome", outcome))
	text := func(key, value string, most int) {
		if value = untrusted.Text(value, most); value != "" {
			record.AddAttrs(slog.String(key, value))
		}
	}
	token := e.token
	if e.seen != nil {
		token = OfToken(e.seen)
	}
	text("event.reason", e.reason, mostReason)
	if e.clientIP.IsValid() {
		record.AddAttrs(slog.String("source.ip", e.clientIP.Unmap().WithZone("").String()))
	}
	text("user.name", token.Subject, mostName)
	text("user_agent.original", e.userAgent, mostAgent)
	text("url.domain", e.host, mostHost)
	text("url.path", withoutQuery(e.path), mostPath)
	text("http.request.method", e.method, mostMethod)
	text("accesstoken.verb", e.verb, mostMethod)
	text("accesstoken.protocol", string(e.protocol), mostName)
	text("accesstoken.asked_by", e.asker, mostName)
	if len(e.audiences) > 0 {
		record.AddAttrs(slog.Any("accesstoken.asked_audiences", printable(e.audiences[:min(len(e.audiences), mostAudiences)])))
	}
	text("accesstoken.id", token.ID, mostName)
	text("accesstoken.replaced_id", e.replaced, mostName)
	if e.revision > 0 {
		record.AddAttrs(slog.Int64("accesstoken.revision", e.revision))
	}
	text("accesstoken.namespace", token.Namespace, mostName)
	text("accesstoken.name", token.Name, mostName)
	if len(token.Scopes) > 0 {
		record.AddAttrs(slog.Any("accesstoken.scopes", printable(token.Scopes)))
	}
	text("accesstoken.creator", token.Creator, mostName)
	if e.leftOut > 0 {
		record.AddAttrs(slog.Uint64("accesstoken.left_out", e.leftOut))
	}
	return handler.Handle(ctx, record)
}

// withoutQuery cuts off what may hold a token under a name, and tells nothing of
// what was asked for.
func withoutQuery(path string) string {
	path, _, _ = strings.Cut(path, "?")
	path, _, _ = strings.Cut(path, "#")
	return path
}

func printable(texts []string) []string {
	texts = slices.Clone(texts)
	for i := range texts {
		texts[i] = untrusted.Text(texts[i], mostName)
	}
	return texts
}
