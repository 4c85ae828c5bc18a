package securityevents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
)

const (
	// refreshAfter is when keys are read anew, so that one that was taken out is
	// believed no longer.
	refreshAfter = 10 * time.Minute

	// keptFor is how long keys are believed that cannot be read anew.
	keptFor = time.Hour

	// retryAfter is how soon keys are read anew for one that is missing. Whoever
	// makes events up must not have them fetched each time.
	retryAfter = 10 * time.Second

	fetchTimeout = 5 * time.Second
	mostKeys     = 1 << 20 // bytes
)

var errNoKey = errors.New("there is no such key")

// keys are those of an issuer. They are read when they are needed.
type keys struct {
	read  func(context.Context) ([]byte, error)
	clock clock.PassiveClock

	mu      sync.Mutex
	set     jose.JSONWebKeySet
	failure error
	readAt  time.Time // zero: never
	triedAt time.Time
}

func newKeys(from config.EventKeys, with *http.Client, tell clock.PassiveClock) *keys {
	k := &keys{clock: tell, read: func(context.Context) ([]byte, error) {
		return os.ReadFile(from.File)
	}}
	if from.URL != "" {
		k.read = func(ctx context.Context) ([]byte, error) { return fetch(ctx, with, from.URL) }
	}
	return k
}

// find returns the key of this ID; the only one for none. It fails with errNoKey
// where there is no such key, and else where keys could not be read.
func (k *keys) find(ctx context.Context, id string) (*jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.clock.Now()
	key := k.known(id)
	stale := k.readAt.IsZero() || now.Sub(k.readAt) >= refreshAfter
	if (key == nil || stale) && (k.triedAt.IsZero() || now.Sub(k.triedAt) >= retryAfter) {
		k.refresh(ctx, now)
		key = k.known(id)
	}
	switch {
	case k.readAt.IsZero() || now.Sub(k.readAt) >= keptFor:
		return nil, fmt.Errorf("read keys: %w", k.failure)
	case key == nil:
		return nil, errNoKey
	}
	return key, nil
}

// known is a public key that is for signatures.
func (k *keys) known(id string) *jose.JSONWebKey {
	if id == "" && len(k.set.Keys) != 1 {
		return nil
	}
	for i := range k.set.Keys {
		key := &k.set.Keys[i]
		if (id == "" || key.KeyID == id) && (key.Use == "" || key.Use == "sig") && key.Valid() && key.IsPublic() {
			return key
		}
	}
	return nil
}

func (k *keys) refresh(ctx context.Context, now time.Time) {
	k.triedAt = now
	content, err := k.read(ctx)
	var set jose.JSONWebKeySet
	if err == nil {
		err = json.Unmarshal(content, &set)
	}
	if k.failure = err; err == nil {
		k.set, k.readAt = set, now
	}
}

// newClient fetches keys: over https all the way, and not for long.
func newClient() *http.Client {
	return &http.Client{
		Timeout:       fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func fetch(ctx context.Context, with *http.Client, url string) ([]byte, error) {
	// What it is fetched for may be given up; others wait for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := with.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, mostKeys))
}
