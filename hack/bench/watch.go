package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
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
			Name            string            `json:"name"`
			ResourceVersion string            `json:"resourceVersion"`
			Annotations     map[string]string `json:"annotations"`
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
	open := func(version string) (io.ReadCloser, error) {
		return l.streams.Get().AbsPath(path).Param("watch", "true").Param("resourceVersion", version).
			SetHeader("Accept", accept).Stream(ctx)
	}
	stream, err := open("0")
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watch %s: %w", path, err)
	}
	w := &watch{cancel: cancel, ended: make(chan error, 1)}
	f := &follower{open: open, see: see, version: "0"}
	f.quiet = time.AfterFunc(stalled, cancel)
	go func() {
		defer close(w.ended)
		defer f.quiet.Stop()
		if err := f.follow(ctx, stream); err != nil {
			w.ended <- fmt.Errorf("watch %s ended before everything was seen, perhaps after %s without an event: %w", path, stalled, err)
		}
	}()
	return w, nil
}

// wait returns when everything was seen, or the watch broke.
func (w *watch) wait() error {
	defer w.cancel()
	return <-w.ended
}

// follower reads streams one after the other: the API server ends a watch whose
// reader is too slow for it, as on a machine that is busy with other things.
type follower struct {
	open    func(version string) (io.ReadCloser, error)
	see     func(event) (done bool)
	quiet   *time.Timer
	version string // of the last event
}

func (f *follower) follow(ctx context.Context, stream io.ReadCloser) error {
	for {
		done, err := f.drain(stream)
		if done {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
		if stream, err = f.open(f.version); err != nil {
			return err
		}
	}
}

// drain reads one stream to its end.
func (f *follower) drain(stream io.ReadCloser) (done bool, err error) {
	lines := make(chan arrival, 1<<14)
	stop := make(chan struct{})
	defer close(stop)
	defer func() { _ = stream.Close() }()
	go receive(stream, lines, stop)
	for line := range lines {
		if line.err != nil {
			return false, line.err
		}
		e := event{at: line.at}
		if err := json.Unmarshal(line.text, &e); err != nil {
			return false, fmt.Errorf("decode event: %w", err)
		}
		if e.Type == "ERROR" {
			return false, fmt.Errorf("the API server says: %s", line.text)
		}
		f.version = e.Object.Metadata.ResourceVersion
		f.quiet.Reset(stalled)
		if f.see(e) {
			return true, nil
		}
	}
	return false, io.EOF
}

// arrival is an event as it came.
type arrival struct {
	text []byte
	at   time.Time
	err  error
}

// receive notes when each event came, without waiting until those before it are
// decoded.
func receive(stream io.Reader, lines chan<- arrival, stop <-chan struct{}) {
	reader := bufio.NewReaderSize(stream, 1<<16)
	for {
		text, err := reader.ReadBytes('\n')
		select {
		case lines <- arrival{text: text, at: time.Now(), err: err}:
		case <-stop:
			return
		}
		if err != nil {
			return
		}
	}
}
