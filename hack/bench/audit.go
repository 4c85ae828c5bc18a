package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
)

// managerUser is the manager's user name at the API server.
const managerUser = "system:serviceaccount:" + operator.Namespace + ":" + operator.Account

// request is one line of the audit log, as far as anything here looks at it.
type request struct {
	Stage string `json:"stage"`
	Verb  string `json:"verb"`
	User  struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
	} `json:"objectRef"`
}

// what names a request by verb and resource, such as "patch accesstokens/status".
func (r request) what() string {
	name := r.Verb + " " + r.ObjectRef.Resource
	if r.ObjectRef.Subresource != "" {
		name += "/" + r.ObjectRef.Subresource
	}
	return name
}

// requestCount is how many requests of each verb and resource the manager made.
type requestCount map[string]int

func (c requestCount) total() int {
	total := 0
	for _, n := range c {
		total += n
	}
	return total
}

// auditMark is where the audit log ends now.
func (l *lab) auditMark() (int64, error) {
	info, err := os.Stat(l.AuditLog())
	if err != nil {
		return 0, fmt.Errorf("audit log: %w", err)
	}
	return info.Size(), nil
}

// managerRequests counts the manager's requests since mark: those that are about
// objects in the namespace, and all others.
func (l *lab) managerRequests(mark int64, namespace string) (inside, others requestCount, err error) {
	file, err := os.Open(l.AuditLog())
	if err != nil {
		return nil, nil, fmt.Errorf("audit log: %w", err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(mark, io.SeekStart); err != nil {
		return nil, nil, fmt.Errorf("audit log: %w", err)
	}
	return countRequests(file, managerUser, namespace)
}

func countRequests(log io.Reader, user, namespace string) (inside, others requestCount, err error) {
	inside, others = requestCount{}, requestCount{}
	quoted := []byte(`"` + user + `"`)
	reader := bufio.NewReaderSize(log, 1<<20)
	for {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return inside, others, nil // a last line without its end is not written yet
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read audit log: %w", err)
		}
		if !bytes.Contains(line, quoted) {
			continue
		}
		var r request
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, nil, fmt.Errorf("read audit log: %w", err)
		}
		// A watch is told of when it starts and when it ends, all else once.
		if r.User.Username != user || (r.Verb == "watch" && r.Stage == "ResponseComplete") {
			continue
		}
		if r.ObjectRef.Namespace == namespace {
			inside[r.what()]++
		} else {
			others[r.what()]++
		}
	}
}
