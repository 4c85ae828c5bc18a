package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// profileAddress is where a manager that is profiled listens. It is fixed, since
// profiles are for looking at by hand.
const profileAddress = "127.0.0.1:6061"

// profileSeconds is how much of a run the CPU profile covers.
const profileSeconds = 20

func (b *bench) profileArgs() []string {
	if !b.profile {
		return nil
	}
	return []string{"--pprof-bind-address=" + profileAddress}
}

// serverProfileArgs let the API server be profiled too, by administrators.
func (b *bench) serverProfileArgs() []string {
	if !b.profile {
		return nil
	}
	return []string{"--profiling=true"}
}

// startProfile begins CPU profiles of the manager and the API server; finish
// waits for them and adds one of the manager's heap.
func (l *lab) startProfile(ctx context.Context, name string) (finish func() error) {
	if !l.profile {
		return func() error { return nil }
	}
	cpu := fmt.Sprintf("profile?seconds=%d", profileSeconds)
	done := make(chan error, 2)
	go func() { done <- l.profileManager(ctx, cpu, name+".cpu.pprof") }()
	go func() { done <- l.profileServer(ctx, cpu, name+".apiserver.pprof") }()
	return func() error {
		return errors.Join(l.profileManager(ctx, "heap?gc=1", name+".heap.pprof"), <-done, <-done)
	}
}

func (l *lab) profileManager(ctx context.Context, what, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+profileAddress+"/debug/pprof/"+what, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request) //nolint:bodyclose // keepProfile closes it
	if err != nil {
		return fmt.Errorf("profile of the manager: %w", err)
	}
	return l.keepProfile(response.Body, file)
}

func (l *lab) profileServer(ctx context.Context, what, file string) error {
	body, err := l.streams.Get().RequestURI("/debug/pprof/" + what).Stream(ctx)
	if err != nil {
		return fmt.Errorf("profile of the API server: %w", err)
	}
	return l.keepProfile(body, file)
}

func (l *lab) keepProfile(content io.ReadCloser, file string) error {
	defer func() { _ = content.Close() }()
	target, err := os.Create(filepath.Join(l.folder, file))
	if err != nil {
		return fmt.Errorf("keep a profile: %w", err)
	}
	_, copyErr := io.Copy(target, content)
	return errors.Join(copyErr, target.Close())
}
