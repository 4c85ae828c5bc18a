package keys

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/record"
)

// SecretName is the name of the key Secret in the operator's namespace.
const SecretName = "accesstoken-keys"

// AnnotationRotateRequestedAt on the key Secret asks for a new key: one is added
// when the newest was made before this instant (RFC 3339).
const AnnotationRotateRequestedAt = v1alpha1.Group + "/rotate-requested-at"

// ErrLost says that records exist, and the key that they were sealed with does
// not.
var ErrLost = errors.New("the key Secret is missing though records exist")

// Keeper reads the key Secret into a Ring, makes the first key and adds the
// later ones. Its methods are for one goroutine.
type Keeper struct {
	// Live reads and writes the API server without a cache.
	Live client.Client
	// Namespace is the operator's own.
	Namespace string
	// MaxAge is the age at which a new key is added; zero means never.
	MaxAge   time.Duration
	Ring     *Ring
	Clock    clock.PassiveClock
	Random   io.Reader
	Recorder events.EventRecorder
	Log      logr.Logger
	// Reopen is called when records have to be opened anew.
	Reopen func()
}

// Observe takes the Secret as it is now into the ring; nil when there is none.
func (k *Keeper) Observe(secret *corev1.Secret) {
	if secret == nil {
		if k.Ring.Status() == StatusLoaded && k.Ring.lose() {
			k.Reopen()
		}
		return
	}
	reopen, unusable := k.Ring.load(secret.Data)
	for _, id := range unusable {
		k.Log.Info("entry of the key Secret is no key of 32 bytes, it is passed over", "keyID", id)
	}
	if reopen {
		k.Reopen()
	}
}

// Maintain makes the first key where there are neither keys nor records, adds
// one that is due, and says when to be called again; zero means when the Secret
// changes. It returns ErrLost where there are records but no key. Only a leader
// calls it.
func (k *Keeper) Maintain(ctx context.Context) (next time.Duration, err error) {
	secret := &corev1.Secret{}
	err = k.Live.Get(ctx, k.key(), secret)
	switch {
	case apierrors.IsNotFound(err):
		return 0, k.makeFirst(ctx)
	case err != nil:
		return 0, fmt.Errorf("read key Secret %s: %w", k.key(), err)
	}
	k.Observe(secret)
	newest, _, ok := k.Ring.Current()
	if !ok {
		return 0, k.lost()
	}
	due, at := rotationDue(secret, newest, k.MaxAge, k.Clock.Now())
	if due {
		return 0, k.add(ctx, secret)
	}
	if at.IsZero() {
		return 0, nil
	}
	return at.Sub(k.Clock.Now()), nil
}

func (k *Keeper) key() types.NamespacedName {
	return types.NamespacedName{Namespace: k.Namespace, Name: SecretName}
}

// makeFirst creates the Secret, once: create refuses if another leader was
// faster, and records without a key mean that one was lost.
func (k *Keeper) makeFirst(ctx context.Context) error {
	records := &v1alpha1.TokenRecordList{}
	if err := k.Live.List(ctx, records, client.Limit(1)); err != nil {
		return fmt.Errorf("look for records before making the first key: %w", err)
	}
	if len(records.Items) > 0 {
		if k.Ring.lose() {
			k.Reopen()
		}
		return k.lost()
	}
	id, material, err := k.generate()
	if err != nil {
		return err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: SecretName, Namespace: k.Namespace},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{id: material},
	}
	if err := k.Live.Create(ctx, secret); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create key Secret %s: %w", k.key(), err)
	} else if err == nil {
		k.Log.Info("made the first key", "keyID", id)
		k.Observe(secret)
	}
	return nil
}

// add puts a new key beside the others. The Secret's resourceVersion goes with
// it, so that two leaders do not both add one.
func (k *Keeper) add(ctx context.Context, secret *corev1.Secret) error {
	id, material, err := k.generate()
	if err != nil {
		return err
	}
	secret = secret.DeepCopy()
	secret.Data[id] = material
	if err := k.Live.Update(ctx, secret); err != nil {
		return fmt.Errorf("add a key to Secret %s: %w", k.key(), err)
	}
	k.Observe(secret)
	k.Log.Info("added a key, new records are sealed with it", "keyID", id)
	k.Recorder.Eventf(secret, nil, corev1.EventTypeNormal, "KeyRotated", "Rotate", "added key %s; earlier keys stay for the records sealed with them", id)
	return nil
}

func (k *Keeper) lost() error {
	missing := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: SecretName, Namespace: k.Namespace},
	}
	k.Recorder.Eventf(missing, nil, corev1.EventTypeWarning, v1alpha1.ReasonKeyLost, "Load",
		"there are records but no key in Secret %s, so nothing verifies and nothing is issued: restore the Secret from a backup, or delete all tokenrecords to start anew", k.key())
	return ErrLost
}

func (k *Keeper) generate() (id string, material []byte, err error) {
	material = make([]byte, len(record.Key{})+5)
	if _, err := io.ReadFull(k.Random, material); err != nil {
		return "", nil, fmt.Errorf("read randomness for a key: %w", err)
	}
	suffix := strings.ToLower(base32.StdEncoding.EncodeToString(material[len(record.Key{}):]))
	return k.Clock.Now().UTC().Format(idLayout) + "-" + suffix, material[:len(record.Key{})], nil
}
