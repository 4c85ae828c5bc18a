package keys

import (
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A keeper's work with the API server is tested in controllers/key.

// secretAt is the key Secret at a resourceVersion.
func secretAt(version string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}, Data: data}
}

func TestObserveTakesNoOlderState(t *testing.T) {
	reopened := 0
	keeper := &Keeper{Ring: NewRing(), Log: logr.Discard(), Reopen: func() { reopened++ }}
	one, both := map[string][]byte{idOld: material('a')}, map[string][]byte{idOld: material('a'), idNew: material('b')}

	keeper.Observe(secretAt("9", one))
	keeper.Observe(secretAt("10", both)) // what the keeper wrote itself
	keeper.Observe(secretAt("9", one))   // what a watch brings late
	if _, ok := keeper.Ring.Key(idNew); !ok || reopened != 0 {
		t.Fatalf("a key that was just added is gone again; records opened anew %d times", reopened)
	}
	keeper.Observe(secretAt("11", one))
	if _, ok := keeper.Ring.Key(idNew); ok || reopened != 1 {
		t.Errorf("a dropped key is still there; records opened anew %d times", reopened)
	}
}

func TestObserveOfADeletedSecret(t *testing.T) {
	reopened := 0
	keeper := &Keeper{Ring: NewRing(), Log: logr.Discard(), Reopen: func() { reopened++ }}
	keeper.Observe(nil)
	if keeper.Ring.Status() != StatusUnknown || reopened != 0 {
		t.Errorf("status %s: only the leader, who looks for records, knows whether keys are lost", keeper.Ring.Status())
	}
	keeper.Observe(secretAt("9", map[string][]byte{idOld: material('a')}))
	keeper.Observe(nil)
	if keeper.Ring.Status() != StatusLost || reopened != 1 {
		t.Errorf("status %s, opened anew %d times", keeper.Ring.Status(), reopened)
	}
	keeper.Observe(secretAt("12", map[string][]byte{idOld: material('a')}))
	if keeper.Ring.Status() != StatusLoaded || reopened != 2 {
		t.Errorf("status %s, opened anew %d times", keeper.Ring.Status(), reopened)
	}
}
