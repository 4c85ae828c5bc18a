package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// stalled is how long a watch may show nothing while something is awaited.
const stalled = 90 * time.Second

// event is a change that the API server tells of, as far as anything here looks
// at it. AccessTokens and the metadata of Secrets share it: decoding more would
// take CPU time from what is measured.
type event struct {
	Type   string `json:"type"`
	Object struct {
		Metadata struct {
			Name        string            `json:"name"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Status struct {
			TokenID        string             `json:"tokenID"`
			Revision       int64              `json:"revision"`
			ExpiresAt      v1alpha1.Timestamp `json:"expiresAt"`
			NextRotationAt v1alpha1.Timestamp `json:"nextRotationAt"`
			Conditions     []struct {
				Type   string `json:"type"`
				Status string `json:"status"`
				Reason string `json:"reason"`
			} `json:"conditions"`
		} `json:"status"`
	} `json:"object"`

	at time.Time // of its arrival here
}

// ready says whether the condition Ready is True, and its reason in any case.
func (e event) ready() (isReady bool, reason string) {
	for _, c := range e.Object.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Status == "True", c.Reason
		}
	}
	return false, ""
}

const (
	asJSON     = "application/json"
	asMetadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
)

func (l *lab) watchTokens(ctx context.Context, namespace string, see func(event) bool) (*watch, error) {
	return l.watch(ctx, "/apis/"+v1alpha1.GroupVersion.String()+"/namespaces/"+namespace+"/accesstokens", asJSON, see)
}

func (l *lab) watchSecrets(ctx context.Context, namespace string, see func(event) bool) (*watch, error) {
	return l.watch(ctx, "/api/v1/namespaces/"+namespace+"/secrets", asMetadata, see)
}

// watch is a running watch.
type watch struct {
	cancel context.CancelFunc
	ended  chan error
}

// watch follows a collection, from what is there now on, and calls see with each
// event from one goroutine until see returns true. It returns once the API
// server has answered.
func (l *lab) watch(ctx context.Context, path, accept string, see func(event) (done bool)) (*watch, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := l.streams.Get().AbsPath(path).Param("watch", "true").Param("resourceVersion", "0").
		SetHeader("Accept", accept).Stream(ctx)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watch %s: %w", path, err)
	}
	w := &watch{cancel: cancel, ended: make(chan error, 1)}
	go func() {
		defer func() { _ = stream.Close() }()
		if err := follow(stream, cancel, see); err != nil {
			w.ended <- fmt.Errorf("watch %s: %w", path, err)
		}
		close(w.ended)
	}()
	return w, nil
}

func follow(stream io.Reader, cancel func(), see func(event) bool) error {
	quiet := time.AfterFunc(stalled, cancel)
	defer quiet.Stop()
	decoder := json.NewDecoder(stream)
	for {
		e := event{}
		if err := decoder.Decode(&e); err != nil {
			return fmt.Errorf("ended before everything was seen, perhaps after %s without an event: %w", stalled, err)
		}
		e.at = time.Now()
		quiet.Reset(stalled)
		if see(e) {
			return nil
		}
	}
}

// wait returns when everything was seen, or the watch broke.
func (w *watch) wait() error {
	defer w.cancel()
	return <-w.ended
}
