package main

import (
	"context"
	"fmt"
	"net/http"

	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/accesstoken-dev/accesstoken-operator/internal/caller"
	"github.com/accesstoken-dev/accesstoken-operator/internal/gateway"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/accessreview"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/extauthz"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/forwardauth"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/introspection"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/revocation"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/tokenreview"
)

// serve builds the listeners.
func (p *program) serve(ctx context.Context) error {
	var err error
	if p.served, err = certwatcher.New(p.certFile, p.keyFile); err != nil {
		return fmt.Errorf("read the serving certificate: %w", err)
	}
	if err := p.add(p.served); err != nil {
		return err
	}
	for _, serve := range []func(context.Context) error{p.serveWebhooks, p.serveHTTPS, p.serveExtAuthz} {
		if err := serve(ctx); err != nil {
			return err
		}
	}
	return nil
}

// serveWebhooks serves kube-apiserver, which shows a client certificate.
func (p *program) serveWebhooks(ctx context.Context) error {
	if p.webhookAddress == none {
		return nil
	}
	ca, err := server.NewClientCA(p.clientCAFile, p.clientNames, clock.RealClock{})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(tokenreview.Path, tokenreview.New(p.verifier, tokenreview.Options{
		DefaultAudience: p.configuration.DefaultAudience, Kubernetes: p.configuration.Kubernetes,
		AudienceRefused: p.announce.audienceRefused,
	}))
	mux.Handle(accessreview.Path, accessreview.New(accessreview.Options{ScopeMappings: p.configuration.Kubernetes.ScopeMappings}))
	listener, err := server.ListenHTTPS(ctx, "webhooks", p.webhookAddress, ca.TLS(p.served), mux, p.log)
	if err != nil {
		return err
	}
	return p.add(listener)
}

// serveHTTPS serves gateways and services.
func (p *program) serveHTTPS(ctx context.Context) error {
	if p.address == none {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("/auth/", forwardauth.New(p.verifier, p.gatewayOptions()))
	if err := p.handleOAuth(mux); err != nil {
		return err
	}
	listener, err := server.ListenHTTPS(ctx, "https", p.address, server.ServingTLS(p.served), mux, p.log)
	if err != nil {
		return err
	}
	return p.add(listener)
}

// handleOAuth adds introspection and revocation.
func (p *program) handleOAuth(mux *http.ServeMux) error {
	clients, err := kubernetes.NewForConfigAndClient(p.config, p.manager.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("build the client of reviews: %w", err)
	}
	callers, err := caller.New(caller.Options{
		Verifier: p.verifier, Kubernetes: clients, DefaultTokenAudience: p.configuration.DefaultAudience, Log: p.log.WithName("callers"),
	})
	if err != nil {
		return fmt.Errorf("set up who may introspect: %w", err)
	}
	introspect, err := introspection.New(introspection.Options{Verifier: p.verifier, Peek: p.decider, Callers: callers})
	if err != nil {
		return fmt.Errorf("set up introspection: %w", err)
	}
	revoke, err := revocation.New(revocation.Options{Verifier: p.decider, Client: p.live, Log: p.log.WithName("revocation")})
	if err != nil {
		return fmt.Errorf("set up revocation: %w", err)
	}
	mux.Handle(introspection.Path, introspect)
	mux.Handle(revocation.Path, revoke)
	return nil
}

// serveExtAuthz serves Envoy.
func (p *program) serveExtAuthz(ctx context.Context) error {
	if p.extAuthzAddress == none {
		return nil
	}
	ready := func() error { return p.fresh(clock.RealClock{}.Now()) }
	service := extauthz.New(p.verifier, p.gatewayOptions())
	listener, err := extauthz.Listen(ctx, p.extAuthzAddress, server.ServingTLS(p.served, "h2"), service, ready, clock.RealClock{})
	if err != nil {
		return err
	}
	return p.add(listener)
}

func (p *program) gatewayOptions() gateway.Options {
	return gateway.Options{
		Policies: p.configuration.Policies, TrustedProxies: p.configuration.Networks(), Log: p.log.WithName("gateways"),
	}
}
