package quota

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/policy"
)

// The model is an API server with the objects of one namespace, and two managers
// that both believe that they lead. Each has caches that lag behind, is slow
// between what it reads and what it writes, crashes and starts anew. People
// create, delete, revoke and ask again meanwhile, and delete the ledger.
//
// Two things are left out: a rotation, or an issue after a look at the ledger itself,
// by a manager whose cache has not seen that the token was taken back, or in the
// moment in which the other one gives the place away; and the first ledger of a
// namespace that is deleted before any manager that is left has seen it or a token.

const (
	tokenAge       = 90 * time.Second
	mostPerSubject = 3
)

// token is an AccessToken with its records.
type token struct {
	uid, subject string
	createdAt    time.Time
	state        v1alpha1.State
	asked        bool // for a new token, after the end of the one before
	deleted      bool
	finished     bool        // as its persisted status says
	generation   int         // of the spec and its annotations
	version      int         // of the object
	records      []time.Time // the end of each, by revision
	issuedAt     time.Time
}

func (t *token) live(now time.Time) bool {
	return slices.ContainsFunc(t.records, func(end time.Time) bool { return now.Before(end) })
}

// claim is what the records and the status show.
func (t *token) claim(now time.Time) Claim {
	return Claim{
		UID: t.uid, Name: t.uid, Subject: t.subject, CreatedAt: t.createdAt, Gone: t.deleted, IssuedAt: t.issuedAt,
		Finished: t.done(), Live: !t.deleted && t.live(now), Wants: !t.deleted && !t.done() && t.state == v1alpha1.StateActive,
	}
}

// done is lifecycle.Finished: an edit since takes it back.
func (t *token) done() bool {
	return t.finished && (t.state == v1alpha1.StateRevoked || t.state == v1alpha1.StateActive && !t.asked)
}

func (t *token) clone() *token {
	c := *t
	c.records = slices.Clone(t.records)
	return &c
}

// ledger is the AccessTokenQuota; nil when there is none.
type ledger struct {
	version int
	status  v1alpha1.AccessTokenQuotaStatus
}

// manager is one process.
type manager struct {
	tokens  map[string]*token // its cache
	ledger  *ledger           // its cache
	known   bool
	writing *pendingLedger
	issuing []pendingRecord
}

// pendingLedger is a ledger that was settled and is not written yet.
type pendingLedger struct {
	over   *ledger // nil: it is to be created
	next   v1alpha1.AccessTokenQuotaStatus
	closed bool // the Fence is: nothing is issued meanwhile
}

// pendingRecord is a record that is on its way to the API server.
type pendingRecord struct {
	uid      string
	revision int
	deadline time.Time
}

type model struct {
	now      time.Time
	tokens   map[string]*token
	ledger   *ledger
	versions int
	ledgers  int // how many there were
	limit    int32
	managers [2]*manager
	orphaned []pendingRecord // of crashed managers, still on their way

	bound   int // how many tokens there may be, with those from before a lower limit
	granted map[string]time.Time
}

func newModel(limit int32) *model {
	m := &model{now: noon, tokens: map[string]*token{}, limit: limit, bound: int(limit), granted: map[string]time.Time{}}
	for i := range m.managers {
		m.restart(i)
	}
	return m
}

func (m *model) times() Times { return DefaultTimes() }

func (m *model) terms() Terms {
	return Terms{Limits: policy.Quota{Tokens: m.limit, TokensPerSubject: mostPerSubject}, Now: m.now, Times: m.times()}
}

func (m *model) version() int { m.versions++; return m.versions }

// seeLedger and seeTokens bring a manager's caches up to date.
func (m *model) seeLedger(i int) {
	own := m.managers[i]
	own.ledger = m.ledger
	own.known = own.known || m.ledgers > 0
}

func (m *model) seeTokens(i int) {
	own := m.managers[i]
	own.tokens = map[string]*token{}
	for uid, t := range m.tokens {
		if !t.deleted {
			own.tokens[uid] = t.clone()
		}
	}
}

// seeRecords is seeTokens where the watch of records is ahead.
func (m *model) seeRecords(i int) {
	for uid, seen := range m.managers[i].tokens {
		seen.records, seen.issuedAt = slices.Clone(m.tokens[uid].records), m.tokens[uid].issuedAt
	}
}

func (m *model) refresh(i int) {
	m.seeLedger(i)
	m.seeTokens(i)
}

// restart replaces a manager by a new one, whose caches are filled. What the old
// one had sent still arrives.
func (m *model) restart(i int) {
	if old := m.managers[i]; old != nil {
		m.orphaned = append(m.orphaned, old.issuing...)
	}
	m.managers[i] = &manager{}
	m.refresh(i)
}

// settle lets a manager decide about the ledger.
func (m *model) settle(i int) {
	own := m.managers[i]
	if own.writing != nil {
		return
	}
	var claims []Claim
	for _, t := range own.tokens {
		claims = append(claims, t.claim(m.now))
	}
	base := own.ledger
	if base == nil {
		claims = nil
		for _, t := range m.tokens {
			if !t.deleted {
				claims = append(claims, t.claim(m.now))
			}
		}
		issued := slices.ContainsFunc(claims, func(c Claim) bool { return !c.IssuedAt.IsZero() })
		next, _ := Settle(Rebuild(own.known || issued, m.terms()), claims, m.terms())
		own.writing = &pendingLedger{next: next}
		return
	}
	doubtful := Doubtful(base.status, claims)
	if len(doubtful) > 0 && len(own.issuing) > 0 {
		return // the Fence is held
	}
	claims = slices.DeleteFunc(claims, func(c Claim) bool {
		return slices.ContainsFunc(doubtful, func(r Ref) bool { return r.UID == c.UID })
	})
	for _, ref := range doubtful {
		claims = append(claims, m.tokens[ref.UID].claim(m.now)) // from the API server
	}
	next, _ := Settle(base.status, claims, m.terms())
	own.writing = &pendingLedger{over: base, next: next, closed: len(doubtful) > 0}
}

// write lets a manager write what it decided about the ledger, if that is still as
// it was.
func (m *model) write(i int) {
	own := m.managers[i]
	pending := own.writing
	if pending == nil {
		return
	}
	own.writing = nil
	if m.ledger != pending.over {
		return // a conflict
	}
	m.note(pending.next)
	m.ledger = &ledger{version: m.version(), status: pending.next}
	m.ledgers++
	own.ledger, own.known = m.ledger, true // it reads its own writes
}

// note remembers who was granted a place, and lowers the bound as places come free
// that a lower limit has left.
func (m *model) note(next v1alpha1.AccessTokenQuotaStatus) {
	entitled := map[string]bool{}
	for uid, at := range m.granted {
		if m.now.Before(at.Add(m.times().Hold)) {
			entitled[uid] = true
		}
	}
	for _, holder := range next.Holders {
		entitled[holder.UID] = true
		if grantedAt(holder).Equal(m.now) {
			m.granted[holder.UID] = m.now
		}
	}
	for uid, t := range m.tokens {
		if t.claim(m.now).Live {
			entitled[uid] = true
		}
	}
	m.bound = max(int(m.limit), min(m.bound, len(entitled)))
}

// issue lets a manager look whether a token may be issued, and send its record.
func (m *model) issue(i int, uid string) {
	own := m.managers[i]
	t := own.tokens[uid]
	if t == nil || own.writing != nil && own.writing.closed || !t.claim(m.now).Wants {
		return
	}
	if t.live(m.now) {
		if m.tokens[uid].generation == t.generation {
			m.create(pendingRecord{uid: uid, revision: len(t.records), deadline: m.now}) // a rotation
		}
		return
	}
	if own.ledger == nil {
		return
	}
	holder, held := Holds(&own.ledger.status, uid)
	record := pendingRecord{uid: uid, revision: len(t.records), deadline: m.now.Add(m.times().Create)}
	switch {
	case !held:
	case Trusted(holder, t.issuedAt, m.now, m.times().Trust):
		own.issuing = append(own.issuing, record)
	case m.ledger != nil && m.tokens[uid].generation == t.generation:
		if _, held := Holds(&m.ledger.status, uid); held {
			m.create(record)
		}
	}
}

// create brings a record to the API server. One that is too late was given up.
func (m *model) create(r pendingRecord) {
	t := m.tokens[r.uid]
	if m.now.After(r.deadline) || len(t.records) > r.revision {
		return // of this name there is one
	}
	t.records = append(t.records, m.now.Add(tokenAge))
	t.issuedAt = m.now
}

// persist lets a manager end what is to end, and write the status of a token as it
// sees it, if it is still so.
func (m *model) persist(i int, uid string) {
	seen, t := m.managers[i].tokens[uid], m.tokens[uid]
	if seen == nil || seen.version != t.version || t.deleted {
		return // a conflict
	}
	if t.state != v1alpha1.StateActive {
		for revision := range t.records {
			t.records[revision] = minTime(t.records[revision], m.now)
		}
	}
	t.finished = t.state == v1alpha1.StateRevoked || t.state == v1alpha1.StateActive && len(t.records) > 0 && !t.live(m.now) && !t.asked
	if t.live(m.now) {
		t.asked = false
	}
	t.version = m.version()
	m.managers[i].tokens[uid] = t.clone()
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (m *model) edit(uid string, change func(*token)) {
	if t := m.tokens[uid]; t != nil && !t.deleted {
		change(t)
		t.generation++
		t.version = m.version()
	}
}

// check is what must hold at any moment.
func (m *model) check(t *rapid.T) {
	living, bySubject := 0, map[string]int{}
	for _, token := range m.tokens {
		if token.claim(m.now).Live {
			living++
			if token.subject != "" {
				bySubject[token.subject]++
			}
		}
	}
	if living > m.bound {
		t.Fatalf("%d tokens are live; %d may be (limit %d)\n%s", living, m.bound, m.limit, m)
	}
	for subject, n := range bySubject {
		if n > mostPerSubject {
			t.Fatalf("%d tokens of %s are live; %d may be\n%s", n, subject, mostPerSubject, m)
		}
	}
}

// work lets a manager do all that there is to do, as one does that nothing disturbs.
func (m *model) work(i int) {
	m.refresh(i)
	uids := slices.Sorted(maps.Keys(m.tokens))
	for _, uid := range uids {
		m.persist(i, uid)
	}
	m.settle(i)
	m.write(i)
	for _, uid := range uids {
		m.issue(i, uid)
	}
	for _, record := range m.managers[i].issuing {
		m.create(record)
	}
	m.managers[i].issuing = nil
	m.seeTokens(i)
}

// rest lets one manager work over the longest wait.
func (m *model) rest() {
	m.restart(1)
	for range 20 {
		m.now = m.now.Add(5 * time.Second)
		m.work(0)
	}
}

// fair is what must hold at rest: who waits does so since there is no room, and who
// has none of the places does not keep one.
func (m *model) fair(t *rapid.T) {
	if len(m.tokens) == 0 {
		return
	}
	used, bySubject := 0, map[string]int{}
	for _, token := range m.tokens {
		claim := token.claim(m.now)
		if m.ledger == nil {
			if !claim.Gone {
				t.Fatalf("there is no ledger\n%s", m)
			}
			continue
		}
		if _, held := Holds(&m.ledger.status, token.uid); held {
			if used++; claim.Free() {
				t.Fatalf("%s holds a place and has no use for it\n%s", token.uid, m)
			}
			bySubject[token.subject]++
		}
	}
	for _, token := range m.tokens {
		if m.ledger == nil || !token.claim(m.now).Wants {
			continue
		}
		_, held := Holds(&m.ledger.status, token.uid)
		full := used >= int(m.limit) || token.subject != "" && bySubject[token.subject] >= mostPerSubject
		if !held && !full {
			t.Fatalf("%s waits though there is room\n%s", token.uid, m)
		}
	}
}

func (m *model) String() string {
	text := fmt.Sprintf("now %s", m.now.Format(time.TimeOnly))
	if m.ledger != nil {
		text += fmt.Sprintf(", ledger %d %+v", m.ledger.version, m.ledger.status)
	}
	lines := []string{text}
	for _, uid := range slices.Sorted(maps.Keys(m.tokens)) {
		lines = append(lines, fmt.Sprintf("%s: %+v", uid, m.tokens[uid].claim(m.now)))
	}
	return strings.Join(lines, "\n")
}

func TestNeverMoreLiveTokensThanTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(rapid.Int32Range(0, 3).Draw(t, "limit"))
		which := func() int { return rapid.IntRange(0, 1).Draw(t, "manager") }
		one := func() string {
			if len(m.tokens) == 0 {
				t.Skip("no token")
			}
			return rapid.SampledFrom(slices.Sorted(maps.Keys(m.tokens))).Draw(t, "token")
		}
		state := func(s v1alpha1.State) func(*rapid.T) {
			return func(*rapid.T) { m.edit(one(), func(t *token) { t.state = s }) }
		}
		t.Repeat(map[string]func(*rapid.T){
			"": m.check,
			"create": func(t *rapid.T) {
				if len(m.tokens) == 8 {
					t.Skip("enough")
				}
				uid := fmt.Sprintf("t%02d", len(m.tokens))
				subject := rapid.SampledFrom([]string{"", "", "ServiceAccount/x"}).Draw(t, "subject")
				m.tokens[uid] = &token{uid: uid, subject: subject, createdAt: m.now, state: v1alpha1.StateActive, version: m.version()}
			},
			"delete":     func(*rapid.T) { m.edit(one(), func(t *token) { t.deleted = true }) },
			"revoke":     state(v1alpha1.StateRevoked),
			"suspend":    state(v1alpha1.StateSuspended),
			"reactivate": state(v1alpha1.StateActive),
			"ask again":  func(*rapid.T) { m.edit(one(), func(t *token) { t.asked = true }) },
			"pass": func(t *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
			},
			"change the limit": func(t *rapid.T) {
				for i := range m.managers {
					m.managers[i].writing = nil // it decides anew once it sees the policy
				}
				m.limit = rapid.Int32Range(0, 3).Draw(t, "limit")
				m.bound = max(m.bound, int(m.limit))
			},
			"lose the ledger": func(*rapid.T) {
				for i := range m.managers {
					m.managers[i].known = m.ledgers > 0
				}
				m.ledger = nil
			},
			"crash":           func(*rapid.T) { m.restart(which()) },
			"see the ledger":  func(*rapid.T) { m.seeLedger(which()) },
			"see the tokens":  func(*rapid.T) { m.seeTokens(which()) },
			"see the records": func(*rapid.T) { m.seeRecords(which()) },
			"see everything":  func(*rapid.T) { m.refresh(which()) },
			"work":            func(*rapid.T) { m.work(which()) },
			"settle":          func(*rapid.T) { m.settle(which()) },
			"settle and write": func(*rapid.T) {
				i := which()
				m.settle(i)
				m.write(i)
			},
			"write":   func(*rapid.T) { m.write(which()) },
			"issue":   func(*rapid.T) { m.issue(which(), one()) },
			"persist": func(*rapid.T) { m.persist(which(), one()) },
			"arrive": func(*rapid.T) {
				queue := &m.orphaned
				if own := m.managers[which()]; len(own.issuing) > 0 {
					queue = &own.issuing
				}
				if len(*queue) > 0 {
					m.create((*queue)[0])
					*queue = (*queue)[1:]
				}
			},
		})
		m.rest()
		m.check(t)
		m.fair(t)
	})
}
