package tokenreview

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

const (
	// noticeInterval is how often a token's owner is told the same.
	noticeInterval = time.Hour
	// mostNoticed bounds how many tokens are remembered as told about; of more, the
	// least recently refused may be told about again.
	mostNoticed = 4096
)

// notices tells once an hour about each token.
type notices struct {
	report func(*verify.Token, []string)

	mu   sync.Mutex
	told *cache.LRUExpireCache // by token.ID
}

func newNotices(report func(*verify.Token, []string), clock clock.PassiveClock) *notices {
	return &notices{report: report, told: cache.NewLRUExpireCacheWithClock(mostNoticed, clock)}
}

func (n *notices) tell(t *verify.Token, wanted []string) {
	if n.report != nil && n.first(t.Key()) {
		n.report(t, wanted)
	}
}

// first says that this token was not told about within the hour, and that to one
// caller only.
func (n *notices) first(id token.ID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, told := n.told.Get(id); told {
		return false
	}
	n.told.Add(id, struct{}{}, noticeInterval)
	return true
}
