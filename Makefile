# Development of accesstoken-operator. Needs Go, git and make; `make test-race`
# also needs a C compiler, and `make e2e` installs what it needs from Debian.
#
# Variables:
#   KUBERNETES=1.34.4            run against another Kubernetes version than the pinned one
#   KUBEBUILDER_ASSETS=FOLDER    take etcd, kube-apiserver, … from here; what it lacks is built
#   TEST=./internal/token/...    what `make test` and `make test-race` test (default ./...)
#   TESTFLAGS="-run X -v"        further flags of go test
#   N=10000                      how many AccessTokens `make bench` makes, at most 10000

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

export KUBERNETES
export KUBEBUILDER_ASSETS
export GOFLAGS ?= -buildvcs=false

# One kind of build for all targets but test-race, so that packages are compiled
# once and no C compiler is needed.
export CGO_ENABLED := 0

TEST ?= ./...
TESTFLAGS ?=
BUILD := go run ./hack/dev/build

# Where `make generate` writes, and so what `make verify` wants to be unchanged.
GENERATED := api config/crd/bases config/rbac/role.yaml

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@sed -n 's/^#  \( [A-Z_]*=.*\)/ \1/p' $(firstword $(MAKEFILE_LIST))

## Run

.PHONY: controlplane
controlplane: ## build etcd, kube-apiserver, kube-controller-manager and kubectl once
	@$(BUILD) controlplane

.PHONY: demo
demo: controlplane build-manager build-verifier build-dev ## a tour of the operator on a control plane of its own; ends by itself
	@bin/dev demo

.PHONY: up
up: controlplane build-manager build-verifier build-dev ## control plane and operator in the foreground, state in .dev/
	@bin/dev up

.PHONY: run
run: ## run the operator against the cluster of the current kubeconfig
	go run ./cmd/manager --leader-elect=false

.PHONY: build
build: build-manager build-verifier ## build bin/manager and bin/verifier

.PHONY: build-manager
build-manager:
	@$(BUILD) tool . ./cmd/manager

.PHONY: build-verifier
build-verifier:
	@$(BUILD) tool . ./cmd/verifier

.PHONY: build-dev
build-dev:
	@$(BUILD) tool . ./hack/dev

## Test

.PHONY: test
test: controlplane ## test all that needs Go only, against a real control plane
	go test -timeout 20m $(TESTFLAGS) $(TEST)

.PHONY: test-race
test-race: controlplane ## the same with the race detector; needs a C compiler
	CGO_ENABLED=1 go test -race -timeout 40m $(TESTFLAGS) $(TEST)

.PHONY: e2e
e2e: controlplane build ## real consumers of the Secrets, real gateways; installs Debian packages where they are missing
	@hack/e2e-packages.sh
	go test -tags e2e -count 1 -timeout 15m $(TESTFLAGS) ./internal/testing/e2e/...

.PHONY: bench
bench: controlplane build ## measure issuing and precision; table, and JSON in .dev/bench/
	go run ./hack/bench $(if $(N),-n $(N))

## Check

.PHONY: generate
generate: bin/controller-gen ## write deepcopy, apply configurations, CRDs and RBAC
	bin/controller-gen object applyconfiguration paths=./api/...
	bin/controller-gen crd paths=./api/... output:crd:dir=config/crd/bases
	bin/controller-gen rbac:roleName=accesstoken-manager paths=./controllers/... output:rbac:dir=config/rbac

.PHONY: verify
verify: verify-generate verify-modules verify-format verify-vet ## prove that generated files, modules and format are fresh

# Checks read only what is there; the generator runs before them, never beside.
.PHONY: verify-generate
verify-generate: generate
	@changed="$$(git status --porcelain --untracked-files=all -- $(GENERATED))"; \
	if [[ -n "$$changed" ]]; then \
		echo "generated files differ from what is committed: run \`make generate\` and commit"; \
		echo "$$changed"; git --no-pager diff --stat -- $(GENERATED); exit 1; \
	fi

.PHONY: verify-modules
verify-modules:
	go mod tidy -diff
	cd hack/tools && go mod tidy -diff
	cd hack/tools/golangci-lint && go mod tidy -diff
	cd hack/controlplane && go mod tidy -diff

.PHONY: verify-format
verify-format:
	@unformatted="$$(git ls-files -z '*.go' | xargs -0 gofmt -l)"; \
	if [[ -n "$$unformatted" ]]; then echo "not formatted, run gofmt -w on:"; echo "$$unformatted"; exit 1; fi

.PHONY: verify-vet
verify-vet:
	go vet ./...
	go vet -tags e2e ./internal/testing/...

.PHONY: lint
lint: bin/golangci-lint ## style, mistakes, direction of imports, clock discipline
	bin/golangci-lint run ./...

bin/controller-gen: hack/tools/go.mod hack/tools/go.sum
	@$(BUILD) tool hack/tools sigs.k8s.io/controller-tools/cmd/controller-gen
	@touch $@

bin/golangci-lint: hack/tools/golangci-lint/go.mod hack/tools/golangci-lint/go.sum
	@$(BUILD) tool hack/tools/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@
