package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
	"github.com/accesstoken-dev/accesstoken-operator/internal/config"
	"github.com/accesstoken-dev/accesstoken-operator/internal/controlplane/operator"
)

// acceptorConfig has one policy, and writes nothing of what is accepted.
const acceptorConfig = "apiVersion: " + config.APIVersion + "\nkind: " + config.Kind + "\npolicies: [{name: shop}]\naudit: {accepted: None}\n"

const (
	starts   = 5
	aimStart = 1.3
)

// acceptor is a verifier, as a gateway sees it.
type acceptor struct {
	*operator.Verifier
	client *http.Client
}

// startAcceptors runs two verifiers.
func (l *lab) startAcceptors(ctx context.Context, program string) (acceptors []*acceptor, stop func() error, err error) {
	stop = func() error {
		var errs []error
		for _, a := range acceptors {
			errs = append(errs, a.Stop())
		}
		return errors.Join(errs...)
	}
	authority, err := os.ReadFile(l.ControlPlane.Verifier().ClientCAFile)
	if err != nil {
		return nil, nil, fmt.Errorf("authority of the verifiers' certificates: %w", err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	for _, name := range []string{"verifier-a", "verifier-b"} {
		verifier, err := operator.StartVerifier(ctx, l.ControlPlane, operator.VerifierOptions{Name: name, Program: program, Config: acceptorConfig})
		if err != nil {
			return nil, nil, errors.Join(err, stop())
		}
		transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trusted}}
		acceptors = append(acceptors, &acceptor{verifier, &http.Client{Transport: transport, Timeout: endingTimeout}})
	}
	return acceptors, stop, nil
}

// use uses a token, and returns how that was answered.
func (a *acceptor) use(ctx context.Context, text string) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL()+"/auth/forwarded/shop", nil) //nolint:gosec // a verifier that was started here
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+text)
	request.Header.Set("X-Forwarded-Method", http.MethodGet)
	request.Header.Set("X-Forwarded-Uri", "/")
	response, err := a.client.Do(request) //nolint:gosec // as above
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// await uses a token until it is answered so, and says when that was.
func (a *acceptor) await(ctx context.Context, text string, status int) (at time.Time, err error) {
	answered, err := a.awaitAll(ctx, []string{text}, status, watchful)
	if err != nil {
		return time.Time{}, err
	}
	return answered[0], nil
}

// awaitAll uses tokens in turn, every so often, until each is answered so.
func (a *acceptor) awaitAll(ctx context.Context, texts []string, status int, every time.Duration) (at []time.Time, err error) {
	at = make([]time.Time, len(texts))
	err = wait.PollUntilContextTimeout(ctx, every, endingTimeout, true, func(ctx context.Context) (all bool, err error) {
		all = true
		for i, text := range texts {
			if !at[i].IsZero() {
				continue
			}
			switch answered, err := a.use(ctx, text); {
			case err != nil:
				return false, err
			case answered == status:
				at[i] = time.Now()
			default:
				all = false
			}
		}
		return all, nil
	})
	if err != nil {
		return nil, fmt.Errorf("wait for the answer %d of %s: %w", status, a.Name(), err)
	}
	return at, nil
}

// measureStart starts a verifier anew, again and again, and between lists and
// decodes the records that it has to read.
func (l *lab) measureStart(ctx context.Context, program string, r *results) error {
	records := &v1alpha1.TokenRecordList{}
	var took, floor spread
	for i := range starts {
		l.say("start to ready, %d of %d", i+1, starts)
		began := time.Now()
		bare, err := client.New(l.Config(), client.Options{Scheme: l.admin.Scheme()})
		if err != nil {
			return fmt.Errorf("client of the API server: %w", err)
		}
		if err := bare.List(ctx, records); err != nil {
			return fmt.Errorf("list records: %w", err)
		}
		floor = append(floor, time.Since(began))
		began = time.Now()
		verifier, err := operator.StartVerifier(ctx, l.ControlPlane, operator.VerifierOptions{Name: "verifier-start", Program: program, Config: acceptorConfig})
		if err != nil {
			return err
		}
		took = append(took, time.Since(began))
		if err := verifier.Stop(); err != nil {
			return err
		}
	}
	half, base := took.quantile(0.5), floor.quantile(0.5)
	r.addBeside(fmt.Sprintf("verifier with %d records: start to ready", len(records.Items)), milliseconds(half), milliseconds(base), "ms", mostRatio(aimStart))
	return nil
}
