package accesstoken

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/quota"
)

// ledgerAge is how long a ledger that was read from the API server counts as read
// just now, unless this process gave a place away since. Many issues that were held
// up share one read: the ledger of a namespace with thousands of places is long.
const ledgerAge = time.Second

// ledgers are those that were read from the API server lately. Safe for concurrent
// use.
type ledgers struct {
	reading singleflight.Group

	mu    sync.Mutex
	known map[string]*readLedger
}

// readLedger is who held a place when a ledger was read.
type readLedger struct {
	at    time.Time
	freed uint64
	held  map[string]bool // by UID
}

func newLedgers() *ledgers { return &ledgers{known: map[string]*readLedger{}} }

// read returns the ledger of a namespace as it is, or was within a second. It is for
// an issue, within the Fence.
func (l *ledgers) read(ctx context.Context, r *Reconciler, namespace string) (*readLedger, error) {
	freed := r.Fence.Freed(namespace)
	if known := l.fresh(namespace, freed, r.Clock.Now()); known != nil {
		return known, nil
	}
	found, err, _ := l.reading.Do(namespace, func() (any, error) {
		at, ledger := r.Clock.Now(), &v1alpha1.AccessTokenQuota{}
		if err := r.Live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: v1alpha1.AccessTokenQuotaName}, ledger); err != nil {
			return nil, err
		}
		read := &readLedger{at: at, freed: freed, held: quota.HeldBy(&ledger.Status)}
		l.keep(namespace, read)
		return read, nil
	})
	if err != nil {
		return nil, err
	}
	return found.(*readLedger), nil //nolint:forcetypeassert // nothing else is returned
}

func (l *ledgers) fresh(namespace string, freed uint64, now time.Time) *readLedger {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.known[namespace]
	if known == nil || known.freed != freed || now.Sub(known.at).Abs() > ledgerAge {
		return nil
	}
	return known
}

// keep keeps a ledger, and lets go of those that no longer count.
func (l *ledgers) keep(namespace string, read *readLedger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, known := range l.known {
		if read.at.Sub(known.at).Abs() > ledgerAge {
			delete(l.known, name)
		}
	}
	l.known[namespace] = read
}
