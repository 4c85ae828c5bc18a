package main

import (
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/store"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// recorderName is who events come from.
const recorderName = "accesstoken-verifier"

// A cluster that was restored from a backup has nothing but records that verify
// nothing, and a program may try one token after the other. Metrics count all of
// it; these bounds hold for telling of each, for either kind by itself.
const (
	tellPerSecond = 1
	tellBurst     = 50
)

// announcements tell owners and operators what a request could not.
type announcements struct {
	recorder events.EventRecorder
	log      logr.Logger
	records  *rate.Limiter
	tokens   *rate.Limiter
}

func announcer(recorder events.EventRecorder, log logr.Logger) announcements {
	return announcements{
		recorder: recorder, log: log.WithName("records"),
		records: rate.NewLimiter(tellPerSecond, tellBurst), tokens: rate.NewLimiter(tellPerSecond, tellBurst),
	}
}

// refused tells of a record that verifies nothing. One whose key has not been
// seen yet is told of by the manager, if it stays so.
func (a announcements) refused(rec *v1alpha1.TokenRecord, why store.Refusal, err error) {
	if !a.records.Allow() {
		return
	}
	a.log.Info("a record verifies nothing", "namespace", rec.Namespace, "tokenID", rec.Name, "reason", string(why), "why", err.Error())
	if why == store.RefusalKeyUnknown {
		return
	}
	a.recorder.Eventf(rec, nil, corev1.EventTypeWarning, "RecordRefused", "Open", "this record verifies nothing (%s): %s", why, err)
}

// tokenRefused tells the owner of a good token why it is refused at kube-apiserver
// each time: the first thing that a newcomer tries is kubectl with a token that
// cannot be good there. It reports whether the owner is told.
func (a announcements) tokenRefused(t *verify.Token, why verify.Reason, wanted []string) (told bool) {
	if !a.tokens.Allow() {
		return false
	}
	owner := &v1alpha1.AccessToken{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "AccessToken"},
		ObjectMeta: metav1.ObjectMeta{Namespace: t.Namespace(), Name: t.Name(), UID: types.UID(t.Owner().UID())},
	}
	a.recorder.Eventf(owner, nil, corev1.EventTypeWarning, string(why), "Verify", "token %s was refused by %s", t.ID(), advice(why, wanted))
	return true
}

// advice says by whom a token was refused, why, and what to do.
func advice(why verify.Reason, wanted []string) string {
	switch why {
	case verify.ReasonNetworkUnknown:
		return "kube-apiserver or a service that asked it: a TokenReview does not tell the client's address, so no token with spec.allowedCIDRs is good there. " +
			"Create an AccessToken without them"
	case verify.ReasonScopesNotEnforced:
		return "kube-apiserver or a service that asked it, where nobody would hold it to its scopes: let kube-apiserver ask about them and set kubernetes.scopes " +
			"to Enforced in the verifier's configuration, or create an AccessToken without scopes"
	default:
		return fmt.Sprintf("an acceptor that takes tokens for %s only: create an AccessToken whose spec.audiences name it", strings.Join(wanted, ", "))
	}
}
