package quota

import (
	"cmp"
	"strings"
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// Claim is what is known of one AccessToken.
type Claim struct {
	UID  string
	Name string

	// Subject is who its token acts as, as a PlaceHolder has it: empty for one
	// that is its own principal.
	Subject string

	// CreatedAt is when it was created: who came first is served first.
	CreatedAt time.Time

	// Wants says that its spec wants a token, and that nothing ended it for good.
	Wants bool

	// Live says that one of its tokens verifies.
	Live bool

	// Finished says that its token ended with nothing to follow, or was revoked.
	Finished bool

	// Gone says that it was deleted, or is being deleted.
	Gone bool

	// IssuedAt is when its latest token was issued, as far as is known; zero when
	// none was.
	IssuedAt time.Time
}

// Free says that it has no use for a place.
func (c Claim) Free() bool { return c.Gone || c.Finished && !c.Live }

// there says that it has a token, and so a place, whoever gave it.
func (c Claim) there() bool { return c.Live && !c.Gone && !c.Finished }

// byAge puts who was created first in front, and settles a tie by the UID.
func byAge(a, b Claim) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.UID, b.UID))
}

// byIssue puts whose token was issued first in front.
func byIssue(a, b Claim) int { return cmp.Or(a.IssuedAt.Compare(b.IssuedAt), byAge(a, b)) }

// Holds finds an AccessToken in a ledger.
func Holds(ledger *v1alpha1.AccessTokenQuotaStatus, uid string) (v1alpha1.PlaceHolder, bool) {
	for _, holder := range ledger.Holders {
		if holder.UID == uid {
			return holder, true
		}
	}
	return v1alpha1.PlaceHolder{}, false
}

// HeldBy are the UIDs of all that hold a place in a ledger.
func HeldBy(ledger *v1alpha1.AccessTokenQuotaStatus) map[string]bool {
	held := make(map[string]bool, len(ledger.Holders))
	for _, holder := range ledger.Holders {
		held[holder.UID] = true
	}
	return held
}

// Moved names the AccessTokens that are in one of two ledgers only, or got their
// place anew.
func Moved(before, after v1alpha1.AccessTokenQuotaStatus) []string {
	kept := make(map[v1alpha1.PlaceHolder]bool, len(before.Holders))
	for _, holder := range before.Holders {
		kept[holder] = true
	}
	var moved []string
	for _, holder := range after.Holders {
		if kept[holder] {
			delete(kept, holder)
		} else {
			moved = append(moved, holder.Name)
		}
	}
	for holder := range kept {
		moved = append(moved, holder.Name)
	}
	return moved
}

// SubjectOf is who an AccessToken's token acts as, as a PlaceHolder has it.
func SubjectOf(token *v1alpha1.AccessToken) string {
	if subject := token.Spec.Subject; subject != nil {
		return string(subject.Kind) + "/" + subject.Name
	}
	return ""
}

// Trusted says that a grant is so young that nobody gives the place away, whatever
// became of it since: it was not used by the last issue, and the time has not
// passed.
func Trusted(holder v1alpha1.PlaceHolder, lastIssue, now time.Time, trust time.Duration) bool {
	at := grantedAt(holder)
	return lastIssue.Before(at) && now.Before(at.Add(trust))
}

// grantedAt is the time of a grant; what cannot be read was long ago.
func grantedAt(holder v1alpha1.PlaceHolder) time.Time {
	at, err := holder.GrantedAt.Parse()
	if err != nil {
		return time.Time{}
	}
	return at
}
