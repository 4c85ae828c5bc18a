package main

import (
	"context"
	"fmt"
	"net/http"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/accesstoken-dev/accesstoken-operator/internal/server"
	"github.com/accesstoken-dev/accesstoken-operator/internal/server/accessreview"
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
	for _, serve := range []func(context.Context) error{p.serveWebhooks, p.serveGateways} {
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

// serveGateways serves gateways and services.
func (p *program) serveGateways(ctx context.Context) error {
	if p.address == none {
		return nil
	}
	mux := http.NewServeMux()
	listener, err := server.ListenHTTPS(ctx, "gateways", p.address, server.ServingTLS(p.served), mux, p.log)
	if err != nil {
		return err
	}
	return p.add(listener)
}
