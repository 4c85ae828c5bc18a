package store

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/testing/mint"
	"github.com/accesstoken-dev/accesstoken-operator/internal/token"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// acting is a record of a token that acts as a service account of this UID.
func acting(t *testing.T, account string) *v1alpha1.TokenRecord {
	t.Helper()
	rec, _ := mint.Record(t, "shop", "deploy", issued, func(rec *v1alpha1.TokenRecord) {
		rec.Spec.Subject = v1alpha1.Subject{Kind: v1alpha1.SubjectKindServiceAccount, Name: "system:serviceaccount:shop:deployer", UID: account}
		rec.Spec.Creator = &v1alpha1.Creator{Username: "alice", Checked: v1alpha1.CreatorCheckAdmission}
	})
	return rec
}

func (o *observed) expectAccount(rec *v1alpha1.TokenRecord, want verify.State) {
	o.Helper()
	id, err := token.ParseID(rec.Name)
	if err != nil {
		o.Fatal(err)
	}
	found := o.Lookup(id)
	if found == nil || found.Account() == nil {
		o.Fatal("the token is not found with its account")
	}
	if got := found.Account().State(); got != want {
		o.Errorf("account %d, want %d", got, want)
	}
}

func TestTheEndOfAServiceAccountIsHeardOfInEachWay(t *testing.T) {
	account := metadataOf("shop", "deployer", "sa-1", issued)
	again := metadataOf("shop", "deployer", "sa-2", issued)
	rec := acting(t, "sa-1")
	for name, end := range map[string]func(*observed){
		"deleted":              func(o *observed) { o.DeleteAccount(account) },
		"being deleted":        func(o *observed) { o.PutAccount(terminating(account)) },
		"not in a list":        func(o *observed) { o.ReplaceAccounts(nil) },
		"made again, by watch": func(o *observed) { o.DeleteAccount(account); o.PutAccount(again) },
		"made again, in list":  func(o *observed) { o.ReplaceAccounts([]*metav1.PartialObjectMetadata{again}) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, recordFirst := range []bool{true, false} {
				o := observe(t)
				if recordFirst {
					o.PutRecord(rec)
					o.expectAccount(rec, verify.StateUnseen)
				}
				o.PutAccount(account)
				o.PutRecord(rec)
				o.expectAccount(rec, verify.StateLive)
				end(o)
				o.expectAccount(rec, verify.StateGone)
				o.DeleteAccount(account)
				o.DeleteAccount(again)
				o.DeleteRecord(rec)
				o.expectEmpty()
			}
		})
	}
}

// An AccessToken whose UID is that of an account is another object, and so is an
// account of another namespace.
func TestAServiceAccountIsNotTakenForAnotherObject(t *testing.T) {
	rec := acting(t, "sa-1")
	o := observe(t)
	o.PutRecord(rec)
	o.PutOwner(metadataOf("shop", "deployer", "sa-1", issued))
	o.PutAccount(metadataOf("thief", "deployer", "sa-1", issued))
	o.expectAccount(rec, verify.StateUnseen)
	o.PutAccount(metadataOf("shop", "deployer", "sa-1", issued))
	o.expectAccount(rec, verify.StateLive)
	o.ReplaceOwners(nil)
	o.expectAccount(rec, verify.StateLive)
}
