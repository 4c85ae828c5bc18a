package record

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
)

func TestSealRefusesWhatItWouldHaveToMend(t *testing.T) {
	v := vectorNamed(t, fullVector)
	type arguments struct {
		rec       *v1alpha1.TokenRecord
		keyID     string
		key       Key
		clusterID string
		secret    digest
	}
	age := func(seconds int64) func(*arguments) {
		return func(a *arguments) { a.rec.Spec.MaxAgeSeconds = &seconds }
	}
	for name, change := range map[string]func(*arguments){
		"no key ID":                                       func(a *arguments) { a.keyID = "" },
		"a key of zeros":                                  func(a *arguments) { a.key = Key{} },
		"no cluster ID":                                   func(a *arguments) { a.clusterID = "" },
		"no secret":                                       func(a *arguments) { a.secret = digest{} },
		"no namespace":                                    func(a *arguments) { a.rec.Namespace = "" },
		"no name":                                         func(a *arguments) { a.rec.Name = "" },
		"a name that is no token ID":                      func(a *arguments) { a.rec.Name = "deploy-shop" },
		"the ID of another revision":                      func(a *arguments) { a.rec.Name = token.DeclaredID(a.rec.Spec.AccessTokenUID, 2) },
		"no AccessToken name":                             func(a *arguments) { a.rec.Spec.AccessTokenName = "" },
		"no AccessToken UID":                              func(a *arguments) { a.rec.Spec.AccessTokenUID = "" },
		"no revision":                                     func(a *arguments) { a.rec.Spec.Revision = 0 },
		"a revision below zero":                           func(a *arguments) { a.rec.Spec.Revision = -1 },
		"no origin":                                       func(a *arguments) { a.rec.Spec.Origin = "" },
		"an unknown origin":                               func(a *arguments) { a.rec.Spec.Origin = "Found" },
		"no kind of subject":                              func(a *arguments) { a.rec.Spec.Subject.Kind = "" },
		"no subject":                                      func(a *arguments) { a.rec.Spec.Subject.Name = "" },
		"an empty list of groups":                         func(a *arguments) { a.rec.Spec.Subject.Groups = []string{} },
		"an empty list of scopes":                         func(a *arguments) { a.rec.Spec.Scopes = []string{} },
		"an empty list of audiences":                      func(a *arguments) { a.rec.Spec.Audiences = []string{} },
		"an empty list of networks":                       func(a *arguments) { a.rec.Spec.AllowedCIDRs = []v1alpha1.CIDR{} },
		"a network with host bits":                        func(a *arguments) { a.rec.Spec.AllowedCIDRs[1] = "10.0.0.1/8" },
		"a network in a longer form":                      func(a *arguments) { a.rec.Spec.AllowedCIDRs[0] = "2001:0db8::/32" },
		"a network in upper case":                         func(a *arguments) { a.rec.Spec.AllowedCIDRs[0] = "2001:DB8::/32" },
		"an address for a network":                        func(a *arguments) { a.rec.Spec.AllowedCIDRs[0] = "10.0.0.1" },
		"no time of issue":                                func(a *arguments) { a.rec.Spec.IssuedAt = "" },
		"a time of issue with a fraction":                 func(a *arguments) { a.rec.Spec.IssuedAt = "2026-11-24T09:00:00.5Z" },
		"a time of issue that is no time":                 func(a *arguments) { a.rec.Spec.IssuedAt = "today" },
		"an end with a fraction":                          func(a *arguments) { a.rec.Spec.NotAfter = "2026-11-24T09:00:00.000001Z" },
		"an end that is no time":                          func(a *arguments) { a.rec.Spec.NotAfter = "2026-13-24T09:00:00Z" },
		"an age of zero":                                  age(0),
		"an age below zero":                               age(-1),
		"an age that would wrap around":                   age(1<<63 - 1),
		"an age that use extends, without a last moment":  func(a *arguments) { a.rec.Spec.ExtendWhenUsed, a.rec.Spec.NotAfter = true, "" },
		"a last moment that use leads to, without an age": func(a *arguments) { a.rec.Spec.ExtendWhenUsed, a.rec.Spec.MaxAgeSeconds = true, nil },
		"a creator without a name":                        func(a *arguments) { a.rec.Spec.Creator.Username = "" },
		"another's subject without a creator":             func(a *arguments) { a.rec.Spec.Creator = nil },
		"another's subject without a proof":               func(a *arguments) { a.rec.Spec.Creator.Checked = "" },
		"a subject of an unknown kind":                    func(a *arguments) { a.rec.Spec.Subject.Kind = "Node" },
		"a service account without a UID":                 func(a *arguments) { a.rec.Spec.Subject.UID = "" },
		"a service account of another namespace":          func(a *arguments) { a.rec.Spec.Subject.Name = "system:serviceaccount:other:deployer" },
		"a user who is a service account":                 func(a *arguments) { a.rec.Spec.Subject.Kind = v1alpha1.SubjectKindUser },
	} {
		t.Run(name, func(t *testing.T) {
			a := arguments{v.unsealed(t), v.KeyID, v.key(), v.ClusterID, v.secretDigest()}
			change(&a)
			before := a.rec.DeepCopy()
			if err := Seal(a.rec, a.keyID, a.key, a.clusterID, a.secret); !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v, want %v", err, ErrMalformed)
			}
			if !reflect.DeepEqual(a.rec, before) {
				t.Error("the record was changed all the same")
			}
		})
	}
}

func TestOpenSaysWhyItRefuses(t *testing.T) {
	v := vectorNamed(t, fullVector)
	for name, c := range map[string]struct {
		change func(*v1alpha1.TokenRecord, *Opener)
		want   error
	}{
		"a key that is gone":         {func(_ *v1alpha1.TokenRecord, o *Opener) { o.Keys = KeySet{"k2": v.key()} }, ErrKeyUnknown},
		"no key at all":              {func(_ *v1alpha1.TokenRecord, o *Opener) { o.Keys = KeySet(nil) }, ErrKeyUnknown},
		"a record without a key ID":  {func(r *v1alpha1.TokenRecord, _ *Opener) { r.Spec.KeyID = "" }, ErrKeyUnknown},
		"an unreadable time":         {func(r *v1alpha1.TokenRecord, _ *Opener) { r.Spec.IssuedAt = "today" }, ErrMalformed},
		"no seal":                    {func(r *v1alpha1.TokenRecord, _ *Opener) { r.Spec.Seal = "" }, ErrSealBroken},
		"a seal cut short":           {func(r *v1alpha1.TokenRecord, _ *Opener) { r.Spec.Seal = r.Spec.Seal[:62] }, ErrSealBroken},
		"no creation time":           {func(r *v1alpha1.TokenRecord, _ *Opener) { r.CreationTimestamp = metav1.Time{} }, ErrReplayed},
		"an edited, replayed record": {func(r *v1alpha1.TokenRecord, _ *Opener) { r.CreationTimestamp, r.Spec.Scopes = metav1.Time{}, nil }, ErrSealBroken},
		"an empty record": {func(r *v1alpha1.TokenRecord, o *Opener) {
			*r = v1alpha1.TokenRecord{}
			o.Keys = KeySet{"": v.key()}
		}, ErrSealBroken},
	} {
		rec, opener := v.sealed(t), v.opener()
		c.change(rec, &opener)
		if _, err := opener.Open(rec); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

func TestARecordIsGoodOnce(t *testing.T) {
	v := vectorNamed(t, minimalVector)
	for _, tolerance := range []time.Duration{0, time.Second, time.Hour} {
		bound := tolerance
		if tolerance == 0 {
			bound = 5 * time.Minute
		}
		for _, c := range []struct {
			apart    time.Duration
			replayed bool
		}{
			{0, false},
			{bound - 1, false}, {bound, false}, {bound + 1, true}, {bound + time.Second, true},
			{-bound + 1, false}, {-bound, false}, {-bound - 1, true}, {-bound - time.Second, true},
			{1<<63 - 1, true}, {-1 << 63, true},
		} {
			rec, opener := v.sealed(t), v.opener()
			opener.Tolerance = tolerance
			rec.CreationTimestamp = metav1.NewTime(issuedAt(t, rec).Add(c.apart))
			sealed, err := opener.Open(rec)
			if errors.Is(err, ErrReplayed) != c.replayed || !c.replayed && err != nil {
				t.Errorf("created %s after issue, tolerance %s: error %v, want replayed %v", c.apart, tolerance, err, c.replayed)
			}
			if sealed.Verify(v.secretDigest()) == c.replayed {
				t.Errorf("created %s after issue, tolerance %s: verifies %v", c.apart, tolerance, !c.replayed)
			}
		}
	}
}

func TestCreationTimesOfOtherZonesCompareAsInstants(t *testing.T) {
	v := vectorNamed(t, minimalVector)
	rec := v.sealed(t)
	rec.CreationTimestamp = metav1.NewTime(issuedAt(t, rec).In(time.FixedZone("", 14*3600)))
	if _, err := v.opener().Open(rec); err != nil {
		t.Error(err)
	}
}

func TestTheZeroSealedVerifiesNothing(t *testing.T) {
	if (Sealed{}).Verify(digest{}) || (Sealed{}).Verify(vectorNamed(t, minimalVector).secretDigest()) {
		t.Error("it verified")
	}
}

func TestAGeneratedTokenVerifiesFromItsText(t *testing.T) {
	v := vectorNamed(t, fullVector)
	rec := v.unsealed(t)
	made, err := token.Generate(rec.Name, strings.NewReader(strings.Repeat("any random bytes", 8)))
	if err != nil {
		t.Fatal(err)
	}
	if err := Seal(rec, v.KeyID, v.key(), v.ClusterID, made.SecretDigest()); err != nil {
		t.Fatal(err)
	}
	rec.CreationTimestamp = metav1.NewTime(issuedAt(t, rec))
	sealed, err := v.opener().Open(rec)
	if err != nil {
		t.Fatal(err)
	}
	presented, err := token.Parse(made.Reveal())
	if err != nil || presented.ID() != rec.Name || !sealed.Verify(presented.SecretDigest()) {
		t.Errorf("error %v, ID %s, verifies %v", err, presented.ID(), sealed.Verify(presented.SecretDigest()))
	}
}

func TestNoErrorShowsAKey(t *testing.T) {
	v := vectorNamed(t, fullVector)
	rec := v.sealed(t)
	rec.Spec.Seal = ""
	_, err := v.opener().Open(rec)
	text := fmt.Sprintf("%v %+v %#v", err, v.opener(), v.keys())
	if strings.Contains(text, "0x1f") || strings.Contains(text, "29 30 31") || !strings.Contains(text, redactedKey) {
		t.Error(text)
	}
}
