package accesstoken_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// errStopped is what every write of a stopped process ends with.
var errStopped = errors.New("the process was stopped")

// fault decides what becomes of one write. It may carry the write out itself.
type fault func(n int, name string, write func() error) error

// stopBefore stops the process before its nth write.
func stopBefore(nth int) fault {
	return func(n int, _ string, write func() error) error {
		if n >= nth {
			return errStopped
		}
		return write()
	}
}

// stopAfter stops the process after its nth write, before it knows the outcome.
func stopAfter(nth int) fault {
	return func(n int, _ string, write func() error) error {
		if n > nth {
			return errStopped
		}
		err := write()
		if n == nth {
			return errStopped
		}
		return err
	}
}

// conflictOn answers the nth write with a conflict, without writing.
func conflictOn(nth int) fault {
	return func(n int, name string, write func() error) error {
		if n == nth {
			return conflict(name)
		}
		return write()
	}
}

// conflictAfter does the nth write and answers it with a conflict, as a
// connection does that repeats a request whose answer was lost.
func conflictAfter(nth int) fault {
	return func(n int, name string, write func() error) error {
		err := write()
		if n == nth && err == nil {
			return conflict(name)
		}
		return err
	}
}

// refuse answers the nth write as a quota does that is used up.
func refuse(nth int) fault {
	return func(n int, name string, write func() error) error {
		if n == nth {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "any"}, name, errors.New("exceeded quota: injected"))
		}
		return write()
	}
}

func conflict(name string) error {
	return apierrors.NewConflict(schema.GroupResource{Resource: "any"}, name, errors.New("injected"))
}

// pauseBefore waits before the nth write, says so, and goes on when told to.
func pauseBefore(nth int, reached chan<- struct{}, resume <-chan struct{}) fault {
	return func(n int, _ string, write func() error) error {
		if n == nth {
			close(reached)
			<-resume
		}
		return write()
	}
}

// faultyClient counts the writes of one process, notes them, and lets a fault
// decide about each.
type faultyClient struct {
	client.Client
	mu     sync.Mutex
	fault  fault
	writes []string
	// lagging is what a cache still shows of the AccessToken; nil: it is up to
	// date.
	lagging *v1alpha1.AccessToken
}

func (c *faultyClient) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if token, ok := object.(*v1alpha1.AccessToken); ok && c.lagging != nil {
		c.lagging.DeepCopyInto(token)
		return nil
	}
	return c.Client.Get(ctx, key, object, options...)
}

func (c *faultyClient) set(f fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault, c.writes = f, nil
}

func (c *faultyClient) written() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.writes...)
}

func (c *faultyClient) do(verb string, object client.Object, write func() error) error {
	c.mu.Lock()
	kind := strings.TrimPrefix(fmt.Sprintf("%T", object), "*v1alpha1.")
	if kind == "*v1.PartialObjectMetadata" {
		kind = object.GetObjectKind().GroupVersionKind().Kind
	}
	c.writes = append(c.writes, verb+" "+kind)
	n, f := len(c.writes), c.fault
	c.mu.Unlock()
	if f == nil {
		return write()
	}
	return f(n, object.GetName(), write)
}

func (c *faultyClient) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	return c.do("create", object, func() error { return c.Client.Create(ctx, object, options...) })
}

func (c *faultyClient) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	return c.do("patch", object, func() error { return c.Client.Patch(ctx, object, patch, options...) })
}

func (c *faultyClient) Delete(ctx context.Context, object client.Object, options ...client.DeleteOption) error {
	return c.do("delete", object, func() error { return c.Client.Delete(ctx, object, options...) })
}

func (c *faultyClient) Status() client.SubResourceWriter {
	return faultyStatus{SubResourceWriter: c.Client.Status(), client: c}
}

type faultyStatus struct {
	client.SubResourceWriter
	client *faultyClient
}

func (s faultyStatus) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	return s.client.do("patch status of", object, func() error { return s.SubResourceWriter.Patch(ctx, object, patch, options...) })
}
