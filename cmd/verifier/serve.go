package main

import (
	"context"
	"fmt"
	"net/http"

	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/accesstoken-dev/accesstoken-operator/internal/audit"
	"github.com/accesstoken-dev/accesstoken-operator/internal/caller"
	"github.com/accesstoken-dev/accesstoken-operator/internal/gateway"
	"github.com/accesstoken-dev/accesstoken-operator/internal/metrics"
	"github.com/accesstoken-dev/accesstoken-operator/internal/program"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/accessreview"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/extauthz"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/forwardauth"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/introspection"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/revocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/securityevents"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/tokenreview"
	"github.com/accesstoken-dev/accesstoken-operator/internal/verify"
)

// serve builds the listeners.
func (v *verifier) serve(ctx context.Context) error {
	var err error
	if v.served, err = certwatcher.New(v.certFile, v.keyFile); err != nil {
		return fmt.Errorf("--tls-cert-file %s, --tls-private-key-file %s: %w", v.certFile, v.keyFile, err)
	}
	if err := v.add(v.served); err != nil {
		return err
	}
	for _, serve := range []func(context.Context) error{v.serveWebhooks, v.serveHTTPS, v.serveExtAuthz} {
		if err := serve(ctx); err != nil {
			return err
		}
	}
	return nil
}

// serveWebhooks serves kube-apiserver, which shows a client certificate.
func (v *verifier) serveWebhooks(ctx context.Context) error {
	if v.webhookAddress == program.None {
		return nil
	}
	ca, err := server.NewClientCA(v.clientCAFile, v.clientNames, clock.RealClock{})
	if err != nil {
		return fmt.Errorf("--client-ca-file: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle(tokenreview.Path, tokenreview.New(v.around, tokenreview.Options{
		DefaultAudience: v.configuration.DefaultAudience, Kubernetes: v.configuration.Kubernetes,
		Refused: v.announce.tokenRefused,
	}))
	mux.Handle(accessreview.Path, accessreview.New(accessreview.Options{
		ScopeMappings: v.configuration.Kubernetes.ScopeMappings, Denied: v.denied,
	}))
	listener, err := server.ListenHTTPS(ctx, "webhooks", v.webhookAddress, ca.TLS(v.served, "h2", "http/1.1"), mux, v.log)
	if err != nil {
		return fmt.Errorf("--webhook-bind-address: %w", err)
	}
	return v.add(listener)
}

// denied counts a request that kube-apiserver denies for the scopes of a token,
// and writes it down where it is known which token that is.
func (v *verifier) denied(d accessreview.Denial) {
	v.answers.Count(verify.ProtocolAccessReview, verify.Verdict{Reason: verify.ReasonScopeMissing}, nil)
	if d.TokenID != "" {
		v.audit.Denied(audit.Token{ID: d.TokenID, Namespace: d.Namespace, Name: d.Name, Subject: d.User, Scopes: d.Scopes}, d.Verb, d.Path)
	}
}

// serveHTTPS serves gateways and services.
func (v *verifier) serveHTTPS(ctx context.Context) error {
	if v.address == program.None {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("/auth/", forwardauth.New(v.around, v.gatewayOptions()))
	if err := v.handleOAuth(mux); err != nil {
		return err
	}
	if err := v.handleSecurityEvents(mux); err != nil {
		return err
	}
	listener, err := server.ListenHTTPS(ctx, "https", v.address, server.ServingTLS(v.served), mux, v.log)
	if err != nil {
		return fmt.Errorf("--bind-address: %w", err)
	}
	return v.add(listener)
}

// handleOAuth adds introspection and revocation.
func (v *verifier) handleOAuth(mux *http.ServeMux) error {
	clients, err := kubernetes.NewForConfigAndClient(v.config, v.manager.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("build the client of reviews: %w", err)
	}
	callers, err := caller.New(caller.Options{
		Verifier: v.around, Kubernetes: clients, DefaultTokenAudience: v.configuration.DefaultAudience, Log: v.log.WithName("callers"),
	})
	if err != nil {
		return fmt.Errorf("set up who may introspect: %w", err)
	}
	introspect, err := introspection.New(introspection.Options{Verifier: v.around, Peek: v.decider, Callers: callers})
	if err != nil {
		return fmt.Errorf("set up introspection: %w", err)
	}
	revoke, err := revocation.New(revocation.Options{
		Verifier: v.decider, Client: v.live, Tried: v.tried, Log: v.log.WithName("revocation"),
	})
	if err != nil {
		return fmt.Errorf("set up revocation: %w", err)
	}
	mux.Handle(introspection.Path, introspect)
	mux.Handle(revocation.Path, revoke)
	return nil
}

// tried counts what came of a try to revoke a token, and writes down whether that
// proved right. To revoke what has ended is no event: nothing comes of it.
func (v *verifier) tried(request verify.Request, verdict verify.Verdict, err error) {
	v.answers.Count(request.Protocol, verdict, err)
	switch {
	case err != nil:
	case verdict.Active():
		v.audit.RevokedByHolder(verdict.Token, &request)
	case verdict.Token == nil:
		v.audit.Refused(&request, verdict)
	}
}

// handleSecurityEvents adds the receiver of security events, where any issuer is
// believed.
func (v *verifier) handleSecurityEvents(mux *http.ServeMux) error {
	issuers := v.configuration.SecurityEvents.Issuers
	if len(issuers) == 0 {
		return nil
	}
	count, err := metrics.NewSecurityEvents(ctrlmetrics.Registry, securityevents.Results())
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	events, err := securityevents.New(securityevents.Options{
		Issuers: issuers, Client: v.live, Received: count, Log: v.log.WithName("security-events"),
	})
	if err != nil {
		return fmt.Errorf("set up security events: %w", err)
	}
	mux.Handle(securityevents.Path, events)
	return nil
}

// serveExtAuthz serves Envoy.
func (v *verifier) serveExtAuthz(ctx context.Context) error {
	if v.extAuthzAddress == program.None {
		return nil
	}
	service := extauthz.New(v.around, v.gatewayOptions())
	listener, err := extauthz.Listen(ctx, v.extAuthzAddress, server.ServingTLS(v.served, "h2"), service, v.ready, clock.RealClock{})
	if err != nil {
		return fmt.Errorf("--ext-authz-bind-address: %w", err)
	}
	return v.add(listener)
}

func (v *verifier) gatewayOptions() gateway.Options {
	return gateway.Options{
		Policies: v.configuration.Policies, TrustedProxies: v.configuration.Networks(), Unverified: v.unverified, Log: v.log.WithName("gateways"),
	}
}
