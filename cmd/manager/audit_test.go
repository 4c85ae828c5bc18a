package main

import (
	"testing"

	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/auditlog"
)

// request is one of a manager to the API server.
type request = auditlog.Request

var (
	auditMark = auditlog.Mark
	keep      = auditlog.Keep
	not       = auditlog.Not
)

// managerRequests are the requests of all managers since a mark.
func managerRequests(t *testing.T, mark int64) []request {
	t.Helper()
	return auditlog.Requests(t, auditlog.Manager, mark)
}
