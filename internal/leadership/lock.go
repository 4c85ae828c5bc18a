package leadership

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// LeaseName is that of the managers' Lease, in the operator's own namespace.
const LeaseName = "accesstoken-manager"

// requestTimeout bounds a request for the Lease: half of the 10 s within which
// controller-runtime has to renew it, so that one that hangs can be repeated.
const requestTimeout = 5 * time.Second

// errSecondTerm ends a process that would lead again: what it has observed may be
// older than what another one did meanwhile.
var errSecondTerm = errors.New("the Lease was lost and taken again; the process has to start anew to lead")

// Lock is the Lease as client-go's leader election uses it. It leads for one term
// at most. It is safe for concurrent use.
type Lock struct {
	resourcelock.Interface

	term atomic.Pointer[string]
}

// NewLock returns a lock on the managers' Lease in a namespace, for this process.
func NewLock(config *rest.Config, namespace string) (*Lock, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this process in the Lease: %w", err)
	}
	identity := resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())}
	lease, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, namespace, LeaseName, identity, config, 2*requestTimeout)
	if err != nil {
		return nil, fmt.Errorf("build the lock on Lease %s/%s: %w", namespace, LeaseName, err)
	}
	return &Lock{Interface: lease}, nil
}

// Term is that in which this process leads, as HOLDER/TRANSITIONS of the Lease's
// spec; empty before it leads.
func (l *Lock) Term() string {
	if term := l.term.Load(); term != nil {
		return *term
	}
	return ""
}

// Create makes the Lease, and with it takes the lead. Where somebody deleted it while
// this process led, that would be a second term.
func (l *Lock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	if l.Term() != "" {
		return errSecondTerm
	}
	return l.lead(record, func() error { return l.Interface.Create(ctx, record) })
}

// Update takes the lead, keeps it, or gives it up.
func (l *Lock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.lead(record, func() error { return l.Interface.Update(ctx, record) })
}

func (l *Lock) lead(record resourcelock.LeaderElectionRecord, write func() error) error {
	if record.HolderIdentity != l.Identity() {
		return write()
	}
	term := record.HolderIdentity + "/" + strconv.Itoa(record.LeaderTransitions)
	if known := l.Term(); known != "" && known != term {
		return errSecondTerm
	}
	if err := write(); err != nil {
		return err
	}
	l.term.Store(&term)
	return nil
}
