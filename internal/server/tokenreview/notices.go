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
	report func(*verify.Token, []string) (told bool)

	mu   sync.Mutex
	told *cache.LRUExpireCache // by token.ID
}

func newNotices(report func(*verify.Token, []string) bool, clock clock.PassiveClock) *notices {
	return &notices{report: report, told: cache.NewLRUExpireCacheWithClock(mostNoticed, clock)}
}

func (n *notices) tell(t *verify.Token, wanted []string) {
	if n.report != nil {
		n.once(t.Key(), func() bool { return n.report(t, wanted) })
	}
}

// once tells about a token that was not told about within the hour. One that
// could not be told of is tried again the next time.
func (n *notices) once(id token.ID, tell func() (told bool)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, told := n.told.Get(id); !told && tell() {
		n.told.Add(id, struct{}{}, noticeInterval)
	}
}
