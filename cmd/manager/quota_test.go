package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/objects"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/testenv"
)

const (
	// crowd is how many AccessTokens are declared at once, by so many clients.
	crowd   = 500
	clients = 50

	// quotaLimit is how many of them may have a token.
	quotaLimit = 60
)

// TestNeverMoreTokensThanTheLimit has a crowd ask for tokens at once, under two
// managers that both believe that they lead. One is killed in the middle, and
// another takes its place. Then tokens go, and others follow.
func TestNeverMoreTokensThanTheLimit(t *testing.T) {
	for name, test := range map[string]struct {
		limits  v1alpha1.PolicyQuota
		subject *v1alpha1.TokenSubject
	}{
		"in a namespace": {v1alpha1.PolicyQuota{Tokens: ptr.To[int32](quotaLimit)}, nil},
		"as one service account": {
			v1alpha1.PolicyQuota{Tokens: ptr.To[int32](2 * crowd), TokensPerSubject: ptr.To[int32](quotaLimit)},
			&v1alpha1.TokenSubject{Kind: v1alpha1.SubjectKindServiceAccount, Name: "default"},
		},
	} {
		t.Run(name, func(t *testing.T) { testCrowd(t, test.limits, v1alpha1.AccessTokenSpec{Subject: test.subject}) })
	}
}

func testCrowd(t *testing.T, limits v1alpha1.PolicyQuota, spec v1alpha1.AccessTokenSpec) {
	g := gomega.NewWithT(t)
	namespace := testenv.Namespace(t)
	objects.Limit(t, namespace, limits)
	g.Eventually(func() error {
		return adminClient(t).Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "default"}, &corev1.ServiceAccount{})
	}).WithTimeout(soon).WithPolling(often).Should(gomega.Succeed())
	seen := follow(t, namespace)
	first := readyManager(t)
	readyManager(t)
	mark := auditMark(t)

	declared := make(chan error, 1)
	go func() { declared <- declareCrowd(t.Context(), adminClient(t), namespace, spec) }()
	g.Eventually(seen.issued).WithTimeout(later).WithPolling(often / 10).Should(gomega.BeNumerically(">", quotaLimit/4))
	first.kill(t)
	readyManager(t)
	g.Expect(<-declared).To(gomega.Succeed())
	full := func() {
		t.Helper()
		g.Eventually(func() map[string]int { return reasons(t, namespace) }).WithTimeout(2 * later).WithPolling(5 * often).
			Should(gomega.SatisfyAll(gomega.HaveKeyWithValue(v1alpha1.ReasonIssued, quotaLimit), gomega.HaveLen(2), gomega.HaveKey(v1alpha1.ReasonQuotaExceeded)))
	}
	full()
	t.Logf("%d places took %d writes of the ledger", quotaLimit, ledgerWrites(t, namespace, mark))

	for _, key := range withToken(t, namespace)[:quotaLimit/3] {
		g.Expect(adminClient(t).Delete(t.Context(), tokenOf(t, key))).To(gomega.Succeed())
	}
	full()
	revoked := withToken(t, namespace)[:quotaLimit/4]
	for _, key := range revoked {
		edit(t, key, func(at *v1alpha1.AccessToken) { at.Spec.State = v1alpha1.StateRevoked })
	}
	g.Eventually(func() map[string]int { return reasons(t, namespace) }).WithTimeout(2 * later).WithPolling(5 * often).
		Should(gomega.SatisfyAll(gomega.HaveKeyWithValue(v1alpha1.ReasonIssued, quotaLimit), gomega.HaveKeyWithValue(v1alpha1.ReasonRevoked, len(revoked))))

	most, when := seen.most(t)
	t.Logf("%d tokens were live at most, %d records in all", most, seen.issued())
	g.Expect(most).To(gomega.Equal(quotaLimit), "live tokens at resourceVersion %d", when)
}

// ledgerWrites counts those since a mark.
func ledgerWrites(t *testing.T, namespace string, mark int64) int {
	t.Helper()
	return len(keep(managerRequests(t, mark), request.Writes, func(r request) bool {
		return r.ObjectRef.Resource == "accesstokenquotas" && r.ObjectRef.Namespace == namespace
	}))
}

// declareCrowd creates the AccessTokens, each client one after the other.
func declareCrowd(ctx context.Context, admin client.Client, namespace string, spec v1alpha1.AccessTokenSpec) error {
	failures := make([]error, clients)
	var group sync.WaitGroup
	for c := range clients {
		group.Go(func() {
			for i := range crowd / clients {
				at := &v1alpha1.AccessToken{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("t-%d-%d", c, i)}, Spec: spec}
				failures[c] = errors.Join(failures[c], admin.Create(ctx, at))
			}
		})
	}
	group.Wait()
	return errors.Join(failures...)
}

// reasons counts what the AccessTokens of a namespace say.
func reasons(t *testing.T, namespace string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, at := range allTokens(t, client.InNamespace(namespace)) {
		counts[reason(at)]++
	}
	return counts
}

// withToken are the AccessTokens that have a token.
func withToken(t *testing.T, namespace string) []client.ObjectKey {
	t.Helper()
	var keys []client.ObjectKey
	for key, at := range allTokens(t, client.InNamespace(namespace)) {
		if reason(at) == v1alpha1.ReasonIssued {
			keys = append(keys, key)
		}
	}
	return keys
}

// history notes each change of an AccessToken or a record of a namespace, to replay
// them in the order in which the API server made them.
type history struct {
	mu      sync.Mutex
	changes []version
	records map[string]bool
}

// version is one version of one object.
type version struct {
	number uint64
	token  string // the UID of the AccessToken
	record string // empty: of the AccessToken itself
	good   bool   // it is there, and is neither deleted nor ended
}

func follow(t *testing.T, namespace string) *history {
	t.Helper()
	h := &history{records: map[string]bool{}}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		group.Wait()
	})
	for _, list := range []client.ObjectList{&v1alpha1.AccessTokenList{}, &v1alpha1.TokenRecordList{}} {
		if err := adminClient(t).List(ctx, list, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
		from := list.GetResourceVersion()
		group.Go(func() {
			for ctx.Err() == nil {
				from = h.watch(ctx, t, list, namespace, from)
			}
		})
	}
	return h
}

// watch notes what comes from a version on, until the API server ends the watch, as
// it does with one that is slow to read. It returns where to go on.
func (h *history) watch(ctx context.Context, t *testing.T, list client.ObjectList, namespace, from string) string {
	options := &client.ListOptions{Namespace: namespace, Raw: &metav1.ListOptions{ResourceVersion: from}}
	watcher, err := adminClient(t).Watch(ctx, list, options)
	if err != nil {
		if ctx.Err() == nil {
			t.Errorf("watch from %s: %v", from, err)
		}
		return from
	}
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		object, ok := event.Object.(client.Object)
		switch {
		case ctx.Err() != nil:
			return from
		case !ok:
			t.Errorf("watch from %s: %v", from, event.Object)
			return from
		}
		h.note(t, event)
		from = object.GetResourceVersion()
	}
	return from
}

func (h *history) note(t *testing.T, event watch.Event) {
	v := version{}
	switch object := event.Object.(type) {
	case *v1alpha1.AccessToken:
		v.token, v.good = string(object.UID), event.Type != watch.Deleted && object.DeletionTimestamp.IsZero()
		v.number = number(t, object.ResourceVersion)
	case *v1alpha1.TokenRecord:
		v.token, v.record = object.Spec.AccessTokenUID, object.Name
		v.good = event.Type != watch.Deleted && object.DeletionTimestamp.IsZero() && object.Status.RevokedAt == ""
		v.number = number(t, object.ResourceVersion)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = append(h.changes, v)
	if v.record != "" {
		h.records[v.record] = true
	}
}

func number(t *testing.T, resourceVersion string) uint64 {
	n, err := strconv.ParseUint(resourceVersion, 10, 64)
	if err != nil {
		t.Errorf("resourceVersion: %v", err)
	}
	return n
}

// issued is how many records there were so far.
func (h *history) issued() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.records)
}

// most is how many AccessTokens had a live token at most, and when for the first
// time. A token is live while its AccessToken is there and one of its records has
// not ended.
func (h *history) most(t *testing.T) (most int, when uint64) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	slices.SortStableFunc(h.changes, func(a, b version) int { return cmp.Compare(a.number, b.number) })
	declared, good := map[string]bool{}, map[string]map[string]bool{}
	for _, v := range h.changes {
		if good[v.token] == nil {
			good[v.token] = map[string]bool{}
		}
		switch {
		case v.record == "":
			declared[v.token] = v.good
		case v.good:
			good[v.token][v.record] = true
		default:
			delete(good[v.token], v.record)
		}
		live := 0
		for token, records := range good {
			if declared[token] && len(records) > 0 {
				live++
			}
		}
		if live > most {
			most, when = live, v.number
		}
	}
	return most, when
}
