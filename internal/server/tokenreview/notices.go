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

// notices tells once an hour about each token why it is refused here.
type notices struct {
	report func(*verify.Token, verify.Reason, []string) (told bool)

	mu   sync.Mutex
	told *cache.LRUExpireCache // by notice
}

// notice is what was told of.
type notice struct {
	id  token.ID
	why verify.Reason
}

func newNotices(report func(*verify.Token, verify.Reason, []string) bool, clock clock.PassiveClock) *notices {
	return &notices{report: report, told: cache.NewLRUExpireCacheWithClock(mostNoticed, clock)}
}

func (n *notices) tell(t *verify.Token, why verify.Reason, wanted []string) {
	if n.report != nil {
		n.once(notice{t.Key(), why}, func() bool { return n.report(t, why, wanted) })
	}
}

// once tells what was not told within the hour. What could not be told is tried
// again the next time.
func (n *notices) once(what notice, tell func() (told bool)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, told := n.told.Get(what); !told && tell() {
		n.told.Add(what, struct{}{}, noticeInterval)
	}
}
