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

// startProfile begins a CPU profile; finish waits for it and adds one of the
// heap.
func (b *bench) startProfile(ctx context.Context, name string) (finish func() error) {
	if !b.profile {
		return func() error { return nil }
	}
	cpu := make(chan error, 1)
	go func() {
		cpu <- b.fetchProfile(ctx, fmt.Sprintf("profile?seconds=%d", profileSeconds), name+".cpu.pprof")
	}()
	return func() error {
		return errors.Join(b.fetchProfile(ctx, "heap?gc=1", name+".heap.pprof"), <-cpu)
	}
}

func (b *bench) fetchProfile(ctx context.Context, what, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+profileAddress+"/debug/pprof/"+what, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("profile of the manager: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	target, err := os.Create(filepath.Join(b.folder, file))
	if err != nil {
		return fmt.Errorf("profile of the manager: %w", err)
	}
	_, copyErr := io.Copy(target, response.Body)
	return errors.Join(copyErr, target.Close())
}
