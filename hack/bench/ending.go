package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane"
)

const (
	endings       = 200
	endingsAtOnce = 500
	aimEnding     = time.Second

	// watchful is how often a token that ends is used, at each verifier.
	watchful = 5 * time.Millisecond
	// watchfulOfAll is how often many are: to ask takes CPU time from what is
	// measured, so it is part of the figure.
	watchfulOfAll = 200 * time.Millisecond
	endingTimeout = time.Minute
	retry         = 50 * time.Millisecond
)

// ending is a way in which tokens end.
type ending struct {
	name    string
	prepare func(ctx context.Context, l *lab) ([]*v1alpha1.AccessToken, error)
	end     func(ctx context.Context, l *lab, token *v1alpha1.AccessToken) error
}

var waysToEnd = []ending{
	{"revoked", together("revoked"), func(ctx context.Context, l *lab, token *v1alpha1.AccessToken) error {
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"state":"Revoked"}}`))
		return l.admin.Patch(ctx, token, patch)
	}},
	{"deleted", together("deleted"), func(ctx context.Context, l *lab, token *v1alpha1.AccessToken) error {
		return l.admin.Delete(ctx, token)
	}},
	{"deleted, its record orphaned", orphanable, func(ctx context.Context, l *lab, token *v1alpha1.AccessToken) error {
		return l.admin.Delete(ctx, token, client.PropagationPolicy(metav1.DeletePropagationOrphan))
	}},
	{"namespace deleted, held up by a pod", heldUp, func(ctx context.Context, l *lab, token *v1alpha1.AccessToken) error {
		return l.admin.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: token.Namespace}})
	}},
}

// measureEnding has tokens end in each way while two verifiers know many others,
// and looks when each of them begins to refuse; time counts from before the
// request is sent. Then it looks how soon a verifier that starts is ready.
func measureEnding(ctx context.Context, b *bench, r *results) (err error) {
	verifier := filepath.Join(b.scratch, "verifier")
	if err := b.build(ctx, "verifier", verifier); err != nil {
		return err
	}
	l, err := b.openLabWith(ctx, &controlplane.Verifier{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.shut()) }()
	if err := l.startManager(ctx); err != nil {
		return err
	}
	b.say("issuing %d tokens", b.loaded)
	if err := l.createNamespace(ctx, "loaded"); err != nil {
		return err
	}
	if _, err := l.issue(ctx, "loaded", b.loaded, declared); err != nil {
		return err
	}
	acceptors, stop, err := l.startAcceptors(ctx, verifier)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, way := range waysToEnd {
		b.say("%d tokens, %s", endings, way.name)
		took, err := l.endOneByOne(ctx, way, acceptors)
		if err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		r.reportEnding(fmt.Sprintf("%s: until refused by two verifiers, ", way.name), took)
	}
	b.say("%d tokens deleted at once", endingsAtOnce)
	took, all, err := l.endAtOnce(ctx, acceptors)
	if err != nil {
		return fmt.Errorf("deleted at once: %w", err)
	}
	name := fmt.Sprintf("%d deleted at once: ", endingsAtOnce)
	r.reportEnding(name+"each until refused by two verifiers, ", took)
	r.add(name+"from the first request to the last refusal", milliseconds(all), "ms", aim{})
	return l.measureStart(ctx, verifier, r)
}

func (r *results) reportEnding(name string, took spread) {
	r.add(name+"p50", milliseconds(took.quantile(0.5)), "ms", aim{})
	r.add(name+"p99", milliseconds(took.quantile(0.99)), "ms", atMost(milliseconds(aimEnding)))
}

func (l *lab) endOneByOne(ctx context.Context, way ending, acceptors []*acceptor) (took spread, err error) {
	tokens, err := way.prepare(ctx, l)
	if err != nil {
		return nil, err
	}
	for _, token := range tokens {
		text, err := l.textOf(ctx, token)
		if err != nil {
			return nil, err
		}
		for _, a := range acceptors {
			if _, err := a.await(ctx, text, http.StatusOK); err != nil {
				return nil, err
			}
		}
		refused := make([]time.Time, len(acceptors))
		began, ended := time.Now(), make(chan error, 1)
		go func() { ended <- way.end(ctx, l, token) }()
		err = parallel(ctx, len(acceptors), func(ctx context.Context, i int) (err error) {
			refused[i], err = acceptors[i].await(ctx, text, http.StatusUnauthorized)
			return err
		})
		if err := errors.Join(err, <-ended); err != nil {
			return nil, err
		}
		for _, at := range refused {
			took = append(took, at.Sub(began))
		}
	}
	return took, nil
}

// endAtOnce deletes many tokens, as many at once as there are writers, while each
// verifier is asked about all of them in turn.
func (l *lab) endAtOnce(ctx context.Context, acceptors []*acceptor) (took spread, all time.Duration, err error) {
	tokens, err := l.issueIn(ctx, "crowd", endingsAtOnce)
	if err != nil {
		return nil, 0, err
	}
	texts := make([]string, len(tokens))
	for i, token := range tokens {
		if texts[i], err = l.textOf(ctx, token); err != nil {
			return nil, 0, err
		}
		for _, a := range acceptors {
			if _, err := a.await(ctx, texts[i], http.StatusOK); err != nil {
				return nil, 0, err
			}
		}
	}
	sent, refused := make([]time.Time, len(tokens)), make([][]time.Time, len(acceptors))
	began, ended := time.Now(), make(chan error, 1)
	go func() {
		ended <- parallel(ctx, len(tokens), func(ctx context.Context, i int) error {
			sent[i] = time.Now()
			return l.admin.Delete(ctx, tokens[i])
		})
	}()
	err = parallel(ctx, len(acceptors), func(ctx context.Context, i int) (err error) {
		refused[i], err = acceptors[i].awaitAll(ctx, texts, http.StatusUnauthorized, watchfulOfAll)
		return err
	})
	if err := errors.Join(err, <-ended); err != nil {
		return nil, 0, err
	}
	for _, at := range refused {
		for i := range tokens {
			took = append(took, at[i].Sub(sent[i]))
			all = max(all, at[i].Sub(began))
		}
	}
	return took, all, nil
}

// textOf reads the token of an AccessToken.
func (l *lab) textOf(ctx context.Context, token *v1alpha1.AccessToken) (string, error) {
	secret := &corev1.Secret{}
	if err := l.admin.Get(ctx, client.ObjectKeyFromObject(token), secret); err != nil {
		return "", fmt.Errorf("read the Secret of %s: %w", token.Name, err)
	}
	return string(secret.Data["token"]), nil
}

// together issues tokens in one namespace.
func together(namespace string) func(context.Context, *lab) ([]*v1alpha1.AccessToken, error) {
	return func(ctx context.Context, l *lab) ([]*v1alpha1.AccessToken, error) {
		return l.issueIn(ctx, namespace, endings)
	}
}

func (l *lab) issueIn(ctx context.Context, namespace string, n int) ([]*v1alpha1.AccessToken, error) {
	if err := l.createNamespace(ctx, namespace); err != nil {
		return nil, err
	}
	run, err := l.issue(ctx, namespace, n, declared)
	if err != nil {
		return nil, err
	}
	return run.tokens, nil
}

// orphanable takes away the policy that refuses to leave records behind.
func orphanable(ctx context.Context, l *lab) ([]*v1alpha1.AccessToken, error) {
	tokens, err := l.issueIn(ctx, "orphaned", endings)
	if err != nil {
		return nil, err
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "accesstoken-no-orphans.accesstoken.dev"}}
	if err := l.admin.Delete(ctx, binding); err != nil {
		return nil, fmt.Errorf("delete the binding of a policy: %w", err)
	}
	var refusal error
	err = wait.PollUntilContextTimeout(ctx, retry, endingTimeout, true, func(ctx context.Context) (bool, error) {
		refusal = l.admin.Delete(ctx, tokens[0], client.PropagationPolicy(metav1.DeletePropagationOrphan), client.DryRunAll)
		return refusal == nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("a policy is still in force: %w", errors.Join(err, refusal))
	}
	return tokens, nil
}

// heldUp issues each token in a namespace of its own, with a pod that does not
// go: it keeps all else in the namespace from being deleted.
func heldUp(ctx context.Context, l *lab) ([]*v1alpha1.AccessToken, error) {
	tokens := make([]*v1alpha1.AccessToken, endings)
	for i := range tokens {
		namespace := fmt.Sprintf("held-up-%d", i)
		issued, err := l.issueIn(ctx, namespace, 1)
		if err != nil {
			return nil, err
		}
		if err := l.holdUp(ctx, namespace); err != nil {
			return nil, fmt.Errorf("create a pod in %s: %w", namespace, err)
		}
		tokens[i] = issued[0]
	}
	return tokens, nil
}

func (l *lab) holdUp(ctx context.Context, namespace string) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "draining", Finalizers: []string{"example.com/draining"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "example.com/main"}}},
	}
	// It needs a service account, which is made a moment after its namespace.
	return wait.PollUntilContextTimeout(ctx, retry, endingTimeout, true, func(ctx context.Context) (bool, error) {
		return l.admin.Create(ctx, pod.DeepCopy()) == nil, nil
	})
}
