package keys

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
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

// ErrLost says that records exist, and no key that they could be sealed with.
var ErrLost = errors.New("the keys are lost: records exist, and the key Secret is missing or holds no key")

// Keeper reads the key Secret into a Ring, makes the first key and adds the
// later ones. Maintain is for one goroutine; Observe may be called by others
// beside it.
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
	// Reopen is called when records have to be opened anew. It must not block.
	Reopen func()

	mu       sync.Mutex
	observed string // the resourceVersion of the last Secret taken in
}

// Observe takes the Secret as it is now into the ring; nil when there is none.
// A watch and the keeper's own reads and writes are not ordered: an older state
// than the last one is passed over, lest a key that was just added were gone
// again for a moment, and with it all records sealed meanwhile.
func (k *Keeper) Observe(secret *corev1.Secret) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if secret != nil {
		if order, err := resourceversion.CompareResourceVersion(secret.ResourceVersion, k.observed); err == nil && order < 0 {
			return
		}
		k.observed = secret.ResourceVersion
	}
	k.take(secret)
}

func (k *Keeper) take(secret *corev1.Secret) {
	if secret == nil {
		if k.Ring.Status() == StatusLoaded && k.Ring.lose() {
			k.Reopen()
		}
		return
	}
	reopen, unusable := k.Ring.load(secret.Data)
	for _, id := range unusable {
		k.Log.Info("entry of the key Secret is no key of 32 bytes under a name of at most 64 characters, it is passed over", "keyID", id)
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
		return 0, k.begin(ctx, nil)
	case err != nil:
		return 0, fmt.Errorf("read key Secret %s: %w", k.key(), err)
	}
	k.Observe(secret)
	newest, _, ok := k.Ring.Current()
	if !ok {
		return 0, k.begin(ctx, secret)
	}
	now := k.Clock.Now()
	at, ok := rotationDue(secret, newest, k.MaxAge)
	switch {
	case !ok:
		return 0, nil
	case now.Before(at):
		return at.Sub(now), nil
	}
	return 0, k.add(ctx, secret)
}

func (k *Keeper) key() types.NamespacedName {
	return types.NamespacedName{Namespace: k.Namespace, Name: SecretName}
}

// begin makes the first key, in a new Secret or in one that holds none, unless
// there are records: then keys were lost.
func (k *Keeper) begin(ctx context.Context, empty *corev1.Secret) error {
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
	if empty != nil {
		return k.add(ctx, empty)
	}
	return k.create(ctx)
}

// create makes the Secret, once: the API server refuses when another leader was
// faster.
func (k *Keeper) create(ctx context.Context) error {
	id, material, err := k.generate()
	if err != nil {
		return err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: SecretName, Namespace: k.Namespace},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{id: material},
	}
	err = k.Live.Create(ctx, secret)
	if apierrors.IsAlreadyExists(err) {
		return nil // the watch brings it
	}
	if err != nil {
		return fmt.Errorf("create key Secret %s: %w", k.key(), err)
	}
	k.Log.Info("made the first key", "keyID", id)
	k.Observe(secret)
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
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
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
	k.Log.Error(ErrLost, "nothing verifies and nothing is issued: restore the Secret from a backup, or delete all tokenrecords to start anew", "secret", k.key())
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
