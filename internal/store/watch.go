package store

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/pager"
	"k8s.io/utils/clock"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/keys"
	"github.com/accesstoken-dev/accesstoken-operator/internal/revocation"
)

// Reconnection waits are short: what happens meanwhile is not known here.
const (
	firstRetry  = 100 * time.Millisecond
	latestRetry = 5 * time.Second
)

// Watches keep a Store and the keys up to date. They need list and watch on
// tokenrecords, accesstokens, both kinds of revocation, serviceaccounts and
// namespaces in the whole cluster, and on the key Secret.
type Watches struct {
	// Store takes in records, revocations, and the metadata of AccessTokens, service
	// accounts and namespaces.
	Store *Store

	// Keys takes in the key Secret, nil when there is none.
	Keys func(*corev1.Secret)

	// KeyNamespace is where the key Secret is.
	KeyNamespace string

	// Freshness is told of every sign of life.
	Freshness *Freshness

	// Clock tells the time.
	Clock clock.Clock

	// Relist makes the records be read anew, whenever something comes over it.
	Relist <-chan struct{}
}

// Run watches until the context ends.
func (w *Watches) Run(ctx context.Context, config *rest.Config) error {
	ours, err := typedClient(config)
	if err != nil {
		return fmt.Errorf("build the client of TokenRecords and revocations: %w", err)
	}
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("build the client of metadata: %w", err)
	}
	core, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("build the client of the key Secret: %w", err)
	}
	var group sync.WaitGroup
	keysRead := make(chan struct{})
	records := cache.NewListWatchFromClient(ours, "tokenrecords", "", fields.Everything())
	group.Go(func() { w.watchRecords(ctx, records, keysRead) })
	group.Go(func() { w.rereadRecords(ctx, records) })
	group.Go(func() {
		resource := v1alpha1.GroupVersion.WithResource("accesstokens")
		w.watch(ctx, metadataListWatch(objects, resource), &target[*metav1.PartialObjectMetadata]{
			put: w.Store.PutOwner, remove: w.Store.DeleteOwner, replace: w.Store.ReplaceOwners, hear: w.hear(KindAccessToken),
			strip: strip[*metav1.PartialObjectMetadata],
		})
	})
	group.Go(func() {
		resource := corev1.SchemeGroupVersion.WithResource("serviceaccounts")
		w.watch(ctx, metadataListWatch(objects, resource), &target[*metav1.PartialObjectMetadata]{
			put: w.Store.PutAccount, remove: w.Store.DeleteAccount, replace: w.Store.ReplaceAccounts, hear: w.hear(KindServiceAccount),
			strip: strip[*metav1.PartialObjectMetadata],
		})
	})
	group.Go(func() {
		resource := corev1.SchemeGroupVersion.WithResource("namespaces")
		w.watch(ctx, metadataListWatch(objects, resource), &target[*metav1.PartialObjectMetadata]{
			put: w.Store.PutNamespace, remove: w.Store.DeleteNamespace, replace: w.Store.ReplaceNamespaces, hear: w.hear(KindNamespace),
			strip: strip[*metav1.PartialObjectMetadata],
		})
	})
	group.Go(func() {
		only := fields.OneTermEqualSelector("metadata.name", keys.SecretName)
		w.watch(ctx, cache.NewListWatchFromClient(core.CoreV1().RESTClient(), "secrets", w.KeyNamespace, only), w.keyTarget(sync.OnceFunc(func() { close(keysRead) })))
	})
	w.watchRevocations(ctx, &group, ours)
	group.Wait()
	return nil
}

// watchRevocations takes in both kinds, and applies what came: however many come
// at once, one look at all tokens is enough.
func (w *Watches) watchRevocations(ctx context.Context, group *sync.WaitGroup, ours rest.Interface) {
	group.Go(func() {
		w.watch(ctx, cache.NewListWatchFromClient(ours, "tokenrevocations", "", fields.Everything()),
			revocationTarget(w.Store, true, revocation.Of, w.hear(KindTokenRevocation)))
	})
	group.Go(func() {
		w.watch(ctx, cache.NewListWatchFromClient(ours, "clustertokenrevocations", "", fields.Everything()),
			revocationTarget(w.Store, false, revocation.OfCluster, w.hear(KindClusterTokenRevocation)))
	})
	group.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-w.Store.RevocationsPending():
				w.Store.ApplyRevocations()
			}
		}
	})
}

// revocationTarget takes in revocations of one kind. One that names nothing that
// can be understood revokes nothing; its status says so.
func revocationTarget[T object](to *Store, namespaced bool, read func(T) (revocation.Revocation, error), hear func()) *target[T] {
	return &target[T]{
		put: func(each T) {
			if r, err := read(each); err == nil {
				to.PutRevocation(r)
			}
		},
		remove: func(each T) { to.DeleteRevocation(revocation.RefOf(each)) },
		replace: func(objects []T) {
			all := make([]revocation.Revocation, 0, len(objects))
			for _, each := range objects {
				if r, err := read(each); err == nil {
					all = append(all, r)
				}
			}
			to.ReplaceRevocations(namespaced, all)
		},
		hear:  hear,
		strip: strip[T],
	}
}

// strip takes away what nobody reads here: whoever may write an object may fill its
// metadata, and a list is held as a whole for a moment.
func strip[T object](each T) {
	each.SetManagedFields(nil)
	each.SetOwnerReferences(nil)
	each.SetFinalizers(nil)
	each.SetLabels(nil)
	each.SetAnnotations(nil)
}

// object is one of the API server's.
type object interface {
	runtime.Object
	metav1.Object
}

func (w *Watches) hear(kind Kind) func() {
	return func() { w.Freshness.Hear(kind, w.Clock.Now()) }
}

// watchRecords waits for the keys with the first list. Records open with them: taken
// in before, they would all be read in vain, and their tokens not be found until they
// were read anew.
func (w *Watches) watchRecords(ctx context.Context, source cache.ListerWatcher, keysRead <-chan struct{}) {
	w.watch(ctx, source, &target[*v1alpha1.TokenRecord]{
		put: w.Store.PutRecord, remove: w.Store.DeleteRecord, hear: w.hear(KindTokenRecord), strip: strip[*v1alpha1.TokenRecord],
		replace: func(list []*v1alpha1.TokenRecord) {
			select {
			case <-ctx.Done():
			case <-keysRead:
				w.Store.ReplaceRecords(list)
			}
		},
	})
}

// rereadRecords reads all records beside the watch, so that what is revoked meanwhile
// is refused as soon as ever.
func (w *Watches) rereadRecords(ctx context.Context, source cache.ListerWithContext) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.Relist:
		}
		backoff := wait.Backoff{Duration: firstRetry, Factor: 2, Jitter: 0.5, Steps: math.MaxInt32, Cap: latestRetry}
		_ = backoff.DelayFunc().Until(ctx, true, true, func(ctx context.Context) (done bool, err error) {
			err = w.Store.RereadRecords(func() ([]*v1alpha1.TokenRecord, error) { return listRecords(ctx, source) })
			if err != nil && ctx.Err() == nil {
				utilruntime.HandleErrorWithContext(ctx, err, "could not read all records again, which is tried again")
			}
			return err == nil, nil
		})
	}
}

// listRecords reads all records, as of one moment from now on.
func listRecords(ctx context.Context, source cache.ListerWithContext) (records []*v1alpha1.TokenRecord, err error) {
	pages := pager.New(source.ListWithContext)
	err = pages.EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error {
		if rec, ok := object.(*v1alpha1.TokenRecord); ok {
			strip(rec)
			records = append(records, rec)
		}
		return nil
	})
	return records, err
}

func (w *Watches) keyTarget(read func()) *target[*corev1.Secret] {
	hear := w.hear(KindKeySecret)
	return &target[*corev1.Secret]{
		put:    w.Keys,
		remove: func(*corev1.Secret) { w.Keys(nil) },
		replace: func(secrets []*corev1.Secret) {
			if len(secrets) == 0 {
				w.Keys(nil)
				return
			}
			w.Keys(secrets[0])
		},
		hear: func() {
			hear()
			read()
		},
	}
}

func (w *Watches) watch(ctx context.Context, source cache.ListerWatcher, to reflectorTarget) {
	reflector := cache.NewReflectorWithOptions(source, to.example(), to, cache.ReflectorOptions{
		Clock:   w.Clock,
		Backoff: &wait.Backoff{Duration: firstRetry, Factor: 2, Jitter: 0.5, Steps: 10, Cap: latestRetry},
	})
	reflector.RunWithContext(ctx)
}

type reflectorTarget interface {
	cache.TransformingStore
	cache.ReflectorBookmarkStore
	example() runtime.Object
}

// target is where a reflector writes to.
type target[T runtime.Object] struct {
	put, remove func(T)
	replace     func([]T)
	hear        func()
	strip       func(T) // may be nil
}

func (t *target[T]) example() runtime.Object {
	made, _ := reflect.New(reflect.TypeFor[T]().Elem()).Interface().(runtime.Object)
	return made
}

// Add implements cache.ReflectorStore.
func (t *target[T]) Add(object any) error { return t.tell(object, t.put) }

// Update implements cache.ReflectorStore.
func (t *target[T]) Update(object any) error { return t.tell(object, t.put) }

// Delete implements cache.ReflectorStore.
func (t *target[T]) Delete(object any) error { return t.tell(object, t.remove) }

func (t *target[T]) tell(object any, what func(T)) error {
	typed, ok := object.(T)
	if !ok {
		return fmt.Errorf("watch of %T: unexpected %T", typed, object)
	}
	what(typed)
	t.hear()
	return nil
}

// Replace implements cache.ReflectorStore.
func (t *target[T]) Replace(objects []any, _ string) error {
	all := make([]T, 0, len(objects))
	for _, object := range objects {
		typed, ok := object.(T)
		if !ok {
			return fmt.Errorf("list of %T: unexpected %T", typed, object)
		}
		all = append(all, typed)
	}
	t.replace(all)
	t.hear()
	return nil
}

// Resync implements cache.ReflectorStore.
func (t *target[T]) Resync() error { return nil }

// Bookmark implements cache.ReflectorBookmarkStore.
func (t *target[T]) Bookmark(string) error {
	t.hear()
	return nil
}

// Transformer implements cache.TransformingStore.
func (t *target[T]) Transformer() cache.TransformFunc {
	return func(object any) (any, error) {
		if typed, ok := object.(T); ok && t.strip != nil {
			t.strip(typed)
		}
		return object, nil
	}
}

// typedClient decodes our kinds into their types.
func typedClient(config *rest.Config) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	metav1.AddToGroupVersion(scheme, v1alpha1.GroupVersion)
	config = rest.CopyConfig(config)
	config.GroupVersion, config.APIPath = &v1alpha1.GroupVersion, "/apis"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	return rest.RESTClientFor(config)
}

func metadataListWatch(client metadata.Interface, resource schema.GroupVersionResource) cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return client.Resource(resource).List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return client.Resource(resource).Watch(ctx, options)
		},
	}, client)
}
