package accesstokenquota

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/quota"
)

// memory is what a process remembers of namespaces. A new one does without.
type memory struct {
	mu         sync.Mutex
	namespaces map[string]*remembered
}

type remembered struct {
	uid types.UID

	// ledger: there was one, so that a lost ledger is told from the first one.
	ledger bool

	// rest is until when the ledger is not written again.
	rest time.Time

	// departed are AccessTokens that were deleted since the ledger was settled, with
	// the last issue that their status told of: their records may be gone too.
	departed map[string]time.Time
}

func newMemory() *memory { return &memory{namespaces: map[string]*remembered{}} }

func (m *memory) of(namespace string) *remembered {
	if m.namespaces[namespace] == nil {
		m.namespaces[namespace] = &remembered{departed: map[string]time.Time{}}
	}
	return m.namespaces[namespace]
}

func (m *memory) forget(namespace string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.namespaces, namespace)
}

// meet forgets what was remembered of another namespace that had this one's name.
func (m *memory) meet(namespace string, uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.of(namespace).uid; known != "" && known != uid {
		delete(m.namespaces, namespace)
	}
	m.of(namespace).uid = uid
}

func (m *memory) noteLedger(namespace string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(namespace).ledger = true
}

func (m *memory) hadLedger(namespace string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of(namespace).ledger
}

func (m *memory) noteWrite(namespace string, rest time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(namespace).rest = rest
}

func (m *memory) restsUntil(namespace string) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of(namespace).rest
}

func (m *memory) noteDeparted(token *v1alpha1.AccessToken) {
	at, err := token.Status.IssuedAt.Parse()
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(token.Namespace).departed[string(token.UID)] = at
}

// issuedAt is when one that was deleted was last issued a token; zero when that is
// not known.
func (m *memory) issuedAt(namespace, uid string) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of(namespace).departed[uid]
}

// keepHolders forgets those who departed and hold no place any more.
func (m *memory) keepHolders(namespace string, ledger v1alpha1.AccessTokenQuotaStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	departed := m.of(namespace).departed
	if len(departed) == 0 {
		return
	}
	held := quota.HeldBy(&ledger)
	for uid := range departed {
		if !held[uid] {
			delete(departed, uid)
		}
	}
}
