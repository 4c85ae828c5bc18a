package revocation_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/revocation"
)

// made is when the revocations of these tests are.
var made = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

const (
	id    = "abcdefgh234567ab"
	other = "zzzzzzzz234567zz"
)

func recordOf(namespace, name, user string, created time.Time) *v1alpha1.TokenRecord {
	return &v1alpha1.TokenRecord{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(created)},
		Spec:       v1alpha1.TokenRecordSpec{Subject: v1alpha1.Subject{Name: user}},
	}
}

func own(spec v1alpha1.RevocationSpec) *v1alpha1.TokenRevocation {
	return &v1alpha1.TokenRevocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cut", CreationTimestamp: metav1.NewTime(made)},
		Spec:       v1alpha1.TokenRevocationSpec{RevocationSpec: spec},
	}
}

func wide(namespace string, spec v1alpha1.RevocationSpec) *v1alpha1.ClusterTokenRevocation {
	return &v1alpha1.ClusterTokenRevocation{
		ObjectMeta: metav1.ObjectMeta{Name: "cut", CreationTimestamp: metav1.NewTime(made)},
		Spec:       v1alpha1.ClusterTokenRevocationSpec{Namespace: namespace, RevocationSpec: spec},
	}
}

func subject(kind v1alpha1.RevokedSubjectKind, name string) v1alpha1.RevocationSpec {
	return v1alpha1.RevocationSpec{Subject: &v1alpha1.RevokedSubject{Kind: kind, Name: name}}
}

func TestARevocationMatchesWhatItNamesAndNothingElse(t *testing.T) {
	read := func(r revocation.Revocation, err error) revocation.Revocation {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	deploy := recordOf("shop", id, "accesstoken:shop:deploy", made)
	elsewhere := recordOf("billing", id, "accesstoken:billing:deploy", made)
	builder := recordOf("shop", other, "system:serviceaccount:shop:builder", made)
	maria := recordOf("shop", other, "maria", made)
	everything := []*v1alpha1.TokenRecord{deploy, elsewhere, builder, maria}
	for name, c := range map[string]struct {
		revocation revocation.Revocation
		matches    []*v1alpha1.TokenRecord
	}{
		"an AccessToken":                    {read(revocation.Of(own(subject("AccessToken", "deploy")))), []*v1alpha1.TokenRecord{deploy}},
		"a service account":                 {read(revocation.Of(own(subject("ServiceAccount", "builder")))), []*v1alpha1.TokenRecord{builder}},
		"a user in a namespace":             {read(revocation.Of(own(subject("User", "maria")))), []*v1alpha1.TokenRecord{maria}},
		"an ID in a namespace":              {read(revocation.Of(own(v1alpha1.RevocationSpec{TokenIDs: []string{id}}))), []*v1alpha1.TokenRecord{deploy}},
		"all of a namespace":                {read(revocation.Of(own(v1alpha1.RevocationSpec{All: true}))), []*v1alpha1.TokenRecord{deploy, builder, maria}},
		"an AccessToken from the cluster":   {read(revocation.OfCluster(wide("billing", subject("AccessToken", "deploy")))), []*v1alpha1.TokenRecord{elsewhere}},
		"a user anywhere":                   {read(revocation.OfCluster(wide("", subject("User", "maria")))), []*v1alpha1.TokenRecord{maria}},
		"a user elsewhere":                  {read(revocation.OfCluster(wide("billing", subject("User", "maria")))), nil},
		"an ID anywhere":                    {read(revocation.OfCluster(wide("", v1alpha1.RevocationSpec{TokenIDs: []string{id}}))), []*v1alpha1.TokenRecord{deploy, elsewhere}},
		"a namespace alone":                 {read(revocation.OfCluster(wide("shop", v1alpha1.RevocationSpec{}))), []*v1alpha1.TokenRecord{deploy, builder, maria}},
		"all of the cluster":                {read(revocation.OfCluster(wide("", v1alpha1.RevocationSpec{All: true}))), everything},
		"a name that only begins like it":   {read(revocation.Of(own(subject("AccessToken", "dep")))), nil},
		"a user who is called like another": {read(revocation.Of(own(subject("User", "deploy")))), nil},
	} {
		var got []*v1alpha1.TokenRecord
		for _, rec := range everything {
			if c.revocation.Matches(rec) {
				got = append(got, rec)
			}
		}
		if len(got) != len(c.matches) {
			t.Errorf("%s: %d match, want %d", name, len(got), len(c.matches))
			continue
		}
		for i := range got {
			if got[i] != c.matches[i] {
				t.Errorf("%s: matches %s of %s", name, got[i].Name, got[i].Namespace)
			}
		}
	}
}

func TestTheCutIsAtTheEarlierOfBeforeAndTheCreation(t *testing.T) {
	for name, c := range map[string]struct {
		before v1alpha1.Timestamp
		want   time.Time
	}{
		"absent":                 {"", made},
		"earlier":                {"2026-11-24T08:00:00Z", made.Add(-time.Hour)},
		"within a second":        {"2026-11-24T08:00:00.900000Z", made.Add(-time.Hour)},
		"in the future":          {"2999-01-01T00:00:00Z", made},
		"a moment in the future": {"2026-11-24T09:00:00.000001Z", made},
		"not to be read":         {"yesterday", made},
	} {
		r, err := revocation.Of(own(v1alpha1.RevocationSpec{All: true, Before: c.before}))
		if err != nil || !r.Before.Equal(c.want) {
			t.Errorf("%s: %s, %v, want %s", name, r.Before, err, c.want)
			continue
		}
		for offset, want := range map[time.Duration]bool{-time.Hour: true, -time.Second: true, 0: true, time.Second: false, time.Hour: false} {
			if got := r.Matches(recordOf("shop", id, "maria", c.want.Add(offset))); got != want {
				t.Errorf("%s: a token made %s after the cut: revoked %v, want %v", name, offset, got, want)
			}
		}
	}
}

func TestWhatNamesNothingRevokesNothing(t *testing.T) {
	for name, err := range map[string]error{
		"nothing at all":                 second(revocation.Of(own(v1alpha1.RevocationSpec{}))),
		"nothing in the cluster":         second(revocation.OfCluster(wide("", v1alpha1.RevocationSpec{}))),
		"two things":                     second(revocation.Of(own(v1alpha1.RevocationSpec{All: true, TokenIDs: []string{id}}))),
		"a kind of later versions":       second(revocation.Of(own(subject("Group", "admins")))),
		"a nameless user":                second(revocation.Of(own(subject("User", "")))),
		"another namespace in the name":  second(revocation.Of(own(subject("AccessToken", "x:billing:deploy")))),
		"an account of no namespace":     second(revocation.OfCluster(wide("", subject("ServiceAccount", "builder")))),
		"a subject beside the namespace": second(revocation.OfCluster(wide("shop", v1alpha1.RevocationSpec{All: true, Subject: subject("User", "maria").Subject}))),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func second(_ revocation.Revocation, err error) error { return err }
