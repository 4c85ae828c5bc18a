package server

import (
	"context"
	"log"
	"log/slog"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"

	"github.com/accesstoken-dev/accesstoken-operator/internal/untrusted"
)

// How many handshakes that fail for a certificate are warned of. Whoever reaches
// the port can make them fail.
const (
	warnEvery = 10 * time.Second
	warnBurst = 5

	// mostLine is what is logged of a failure, in bytes.
	mostLine = 512
)

// handshakes takes what net/http reports. That a certificate was refused, here or
// by the client, is a mistake in somebody's set-up: it is a warning, up to a rate.
// All else is of clients that have no business here, for who debugs.
type handshakes struct {
	log    *slog.Logger
	budget *rate.Limiter
}

func newErrorLog(sink logr.Logger) *log.Logger {
	h := &handshakes{log: slog.New(logr.ToSlogHandler(sink)), budget: rate.NewLimiter(rate.Every(warnEvery), warnBurst)}
	return log.New(h, "", 0)
}

// Write implements io.Writer: net/http writes each report at once.
func (h *handshakes) Write(report []byte) (int, error) {
	level, text := slog.LevelDebug, untrusted.Text(strings.TrimSpace(string(report)), mostLine)
	attributes := []slog.Attr{slog.String("why", text)}
	if strings.Contains(text, "TLS handshake error") && strings.Contains(text, "certificate") && h.budget.Allow() {
		level = slog.LevelWarn
		attributes = append(attributes, slog.String("hint", hintOf(text)))
	}
	h.log.LogAttrs(context.Background(), level, "a connection failed", attributes...)
	return len(report), nil
}

// hintOf says whose certificate it was. A remote error is what the client said.
func hintOf(text string) string {
	if strings.Contains(text, "remote error") {
		return "the client does not trust the certificate that is served: see --tls-cert-file, and the authority and the name that the client checks for"
	}
	return "the client's certificate is not let in: see --client-ca-file and --client-name"
}
