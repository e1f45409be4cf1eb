# Needs make (3.81 or newer), bash, git and Go; everything else is built from pinned Go modules when it is first needed.

# The image that deploy, build-installer and the docker targets name.
IMG ?= ghcr.io/gini-operator/gini-operator:$(VERSION)
# What `gini-operator --version` and the start-up log line say.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
PLATFORMS ?= linux/amd64,linux/arm64,linux/s390x,linux/ppc64le

# Packages and names that the test targets are narrowed to, as in: make test-only PKG=./internal/renewal/... RUN=TestDue
PKG ?= ./...
RUN ?=
# For each package. The slowest start API servers and step a fake clock; none waits for real hours.
TEST_TIMEOUT ?= 40m
FUZZ_TIME ?= 10s

CONTAINER_TOOL ?= docker
# The kubectl of the cluster that install and deploy speak to, not the one that `make control-plane` provides.
KUBECTL ?= kubectl

CONTROLLER_GEN ?= bin/controller-gen
KUSTOMIZE ?= bin/kustomize
GOTESTSUM ?= bin/gotestsum
GOLANGCI_LINT ?= bin/golangci-lint

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# A half-written tool or file must not look finished to the next make.
.DELETE_ON_ERROR:

# hack/control-plane.sh builds with these flags too, so that what the control plane and the operator are both made of, such as client-go, is
# compiled once. -dwarf=false leaves out what the linker would only drop; GOGC lets the compiler collect less garbage, for some more memory.
GO_BUILD := CGO_ENABLED=0 GOGC=400 go build -trimpath -buildvcs=false -gcflags=all=-dwarf=false -ldflags '-s -w -X main.version=$(VERSION)'

# Tools are built for the machine that runs make, whatever GOOS and GOFLAGS ask for, and without a developer's go.work.
GO_TOOL_BUILD := GOOS= GOARCH= GOFLAGS= GOWORK=off CGO_ENABLED=0 go build

##@ General

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN {FS = ":.*## "; print "Usage: make TARGET [VARIABLE=value]"} \
		/^##@ / {print "\n" substr($$0, 5)} \
		/^[a-zA-Z0-9_-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: clean
clean: ## Remove what make built: bin/ (tools, control plane, programs) and dist/. Go's own caches stay.
	rm -rf bin dist
	@echo "removed bin/ and dist/; the next make builds the tools again (Go's build cache makes that quick)"

##@ Development

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Generate the DeepCopy methods of the API types.
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: $(CONTROLLER_GEN) ## Generate the CRDs and the manager's ClusterRole from markers in the code.
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:artifacts:config=config/crd/bases
	$(CONTROLLER_GEN) rbac:roleName=manager-role paths=./api/... paths=./internal/... paths=./cmd/... output:rbac:artifacts:config=config/rbac
	hack/chart.sh

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## Format the Go code and sort its imports.
	$(GOLANGCI_LINT) fmt

.PHONY: lint-fix
lint-fix: $(GOLANGCI_LINT) ## Let the linters mend what they can.
	$(GOLANGCI_LINT) run --fix

.PHONY: run
run: build ## Run the operator on this machine against the cluster of your kubeconfig.
	exec bin/manager

.PHONY: demo
demo: ## Show the operator at work: a local control plane, the Gini emulator, users and their Secrets.
	@mkdir -p bin && $(GO_BUILD) -o bin/ ./cmd/manager ./hack/demo && \
	assets="$$(hack/control-plane.sh)" && \
	KUBEBUILDER_ASSETS="$$assets" exec bin/demo

# The program is built each time: that takes a second.
NODE_BUILD = $(GO_TOOL_BUILD) -C hack/node -trimpath -buildvcs=false -ldflags '-s -w' -o "$(CURDIR)/bin/node" .

.PHONY: cluster-up
cluster-up: ## Make a cluster of one node that runs pods on this machine (Linux, root). docs/local-cluster.md
	@$(NODE_BUILD) && exec bin/node up

.PHONY: cluster-smoke
cluster-smoke: ## Try DNS, a Service, a service account and a changed Secret in that cluster.
	@$(NODE_BUILD) && exec bin/node smoke

.PHONY: cluster-down
cluster-down: ## Take that cluster away, with everything that it made.
	@$(NODE_BUILD) && exec bin/node down

.PHONY: e2e
e2e: images bin/helm $(KUSTOMIZE) ## Try the operator with pods, on that cluster or on the one of your kubeconfig. docs/install.md
	@$(if $(KUBECONFIG),KUBECONFIG='$(KUBECONFIG)') $(if $(E2E_LOAD),E2E_LOAD='$(E2E_LOAD)') hack/e2e.sh

##@ Checks

.PHONY: test
test: verify-generated vet lint ## Run everything that must pass before a commit: these three, then all tests, two kinds at a time.
	@$(MAKE) --no-print-directory -j 2 test-race test-stepwise test-charts test-tools

.PHONY: verify-generated
verify-generated: $(CONTROLLER_GEN) ## Fail where generated files are not what `make generate manifests` makes.
	@CONTROLLER_GEN="$(abspath $(CONTROLLER_GEN))" hack/verify-generated.sh

.PHONY: vet
vet: ## Run go vet.
	go vet ./...

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run the linters that .golangci.yml lists.
	$(GOLANGCI_LINT) run
	for module in test/charts hack/images hack/node hack/coredns; do \
		(cd $$module && GOWORK=off "$(abspath $(GOLANGCI_LINT))" run -c ../../.golangci.yml ./...); \
	done

.PHONY: test-only
test-only: ## Run the tests of the product alone. PKG=./internal/... and RUN=TestName narrow them.
	@$(MAKE) --no-print-directory -j 2 test-race $(if $(filter ./... ./internal/... ./internal/controller/...,$(PKG)),test-stepwise)

# What both kinds of specs need: etcd, an API server and, for what Kubernetes deletes, a controller manager.
CONTROL_PLANE = assets="$$(hack/control-plane.sh)" && manager="$$(hack/control-plane.sh kube-controller-manager)" && \
	export KUBEBUILDER_ASSETS="$$assets" TEST_ASSET_KUBE_CONTROLLER_MANAGER="$$manager"
GO_TEST = $(GOTESTSUM) --format pkgname --format-hide-empty-pkg -- -timeout $(TEST_TIMEOUT) $(if $(RUN),-run '$(RUN)')

# The race detector needs a C compiler, except on macOS; go env knows.
.PHONY: test-race
test-race: $(GOTESTSUM) ## Run all tests with the race detector, but for those that work step by step.
	@$(CONTROL_PLANE) && race=-race && \
	if [ "$$(go env CGO_ENABLED) $$(go env GOOS)" = "0 linux" ]; then \
		race=; echo "WARNING: no C compiler found, so the tests run WITHOUT the race detector. Install gcc to have it."; \
	fi; \
	SPECS='!stepwise' $(GO_TEST) $$race $(PKG)

# They work in one goroutine, where the race detector has nothing to find, and would take twice as long with it.
.PHONY: test-stepwise
test-stepwise: $(GOTESTSUM) ## Run the specs that work step by step: crash points, behaviours, faults, the wall clock.
	@$(CONTROL_PLANE) && SPECS=stepwise $(GO_TEST) ./internal/controller

# Modules of their own, so that the product's go.mod lists what it links. -count=1: Go cannot see which files helm reads.
.PHONY: test-charts
test-charts: bin/helm $(KUSTOMIZE) ## Hold the chart and config/ against each other, and try both against an API server.
	@assets="$$(hack/control-plane.sh)" && \
	KUBEBUILDER_ASSETS="$$assets" GOFLAGS= GOWORK=off go test -C test/charts -count=1 -timeout $(TEST_TIMEOUT) ./...

.PHONY: test-tools
test-tools: ## Test the programs that build images and make the cluster of one node.
	GOFLAGS= GOWORK=off go test -C hack/images -timeout $(TEST_TIMEOUT) ./...
	GOFLAGS= GOWORK=off go test -C hack/node -timeout $(TEST_TIMEOUT) ./...

.PHONY: crashpoints
crashpoints: ## Let the operator die before and after every step of every flow, where make test takes one of each kind.
	@assets="$$(hack/control-plane.sh)" && \
	KUBEBUILDER_ASSETS="$$assets" CRASHPOINTS=all go test -timeout 40m -count=1 ./internal/controller -ginkgo.focus-file 'crash.*_test.go' -ginkgo.no-color

.PHONY: simulate
simulate: ## Simulate a week with 100,000 users, where make test has 2,000.
	SIMULATE=full go test -timeout 40m -count=1 -v -run 'TestWeek' ./test/simulation

.PHONY: soak
soak: ## Let the operator work for SOAK_DURATION (10m) under random faults. SOAK_USERS (30) and SOAK_SEED repeat a run.
	@mkdir -p bin && $(GO_BUILD) -o bin/ ./cmd/manager ./hack/soak && \
	assets="$$(hack/control-plane.sh)" && \
	KUBEBUILDER_ASSETS="$$assets" exec bin/soak

.PHONY: mutants
mutants: bin/gremlins ## Change the code that decides in small ways, and see the tests fail: 90 % coverage, 85 % of the mutants.
	@GREMLINS="$(CURDIR)/bin/gremlins" hack/mutants.sh

.PHONY: fuzz
fuzz: ## Run each fuzz test for FUZZ_TIME (10s). What one finds is kept under testdata/fuzz: commit it with the fix.
	@hack/fuzz.sh $(FUZZ_TIME)

.PHONY: control-plane
control-plane: ## Provide etcd, kube-apiserver and kubectl for the tests: given, downloaded or built (5 to 15 minutes, once).
	@hack/control-plane.sh

##@ Build

.PHONY: build
build: ## Build bin/manager and bin/gini-emulator.
	$(GO_BUILD) -o bin/manager ./cmd/manager
	$(GO_BUILD) -o bin/gini-emulator ./cmd/gini-emulator

GO_IMAGES = GOOS= GOARCH= GOFLAGS= GOWORK=off go run -C hack/images . --version '$(VERSION)' --out '$(CURDIR)/dist'
SAY_IMAGES = echo "building three images for four platforms from source: 5 to 15 minutes on 2 cores the first time"

.PHONY: images
images: ## Build the images of operator, emulator and consumer for this machine into dist/images, without a container engine.
	@$(GO_IMAGES)

.PHONY: images-all
images-all: ## The same for all platforms: an OCI layout each, and dist/images.txt with the digests.
	@$(SAY_IMAGES)
	@$(GO_IMAGES) --all

.PHONY: images-push
images-push: ## Push the images for all platforms to REGISTRY (registry.example.com/team), with the credentials of docker login, and without Docker.
	@$(if $(REGISTRY),,$(error REGISTRY is not set, as in REGISTRY=registry.example.com/team))$(SAY_IMAGES)
	@$(GO_IMAGES) --all --push --registry '$(REGISTRY)'

DOCKER_ARGS = --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) \
	--build-arg CREATED=$$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd)

.PHONY: docker-build
docker-build: ## Build the operator's image for this machine's architecture.
	$(CONTAINER_TOOL) build $(DOCKER_ARGS) --tag $(IMG) .

.PHONY: docker-push
docker-push: ## Build the operator's image for all PLATFORMS and push it as one index.
	$(CONTAINER_TOOL) buildx build $(DOCKER_ARGS) --platform $(PLATFORMS) --tag $(IMG) --push .

.PHONY: build-installer
build-installer: $(KUSTOMIZE) ## Write dist/install.yaml: CRDs, RBAC and the operator in one file.
	@mkdir -p dist
	@$(RENDER_DEFAULT) >dist/install.yaml
	@echo "wrote dist/install.yaml, which runs $(IMG)"

##@ Deployment

.PHONY: install
install: $(KUSTOMIZE) ## Install the CRDs into the cluster of your kubeconfig.
	$(KUSTOMIZE) build config/crd | $(KUBECTL) apply --server-side -f -

.PHONY: uninstall
uninstall: $(KUSTOMIZE) ## Remove the CRDs. THIS DELETES ALL GiniClients and GiniUsers, and the Secrets that belong to them.
	$(KUSTOMIZE) build config/crd | $(KUBECTL) delete --ignore-not-found -f -

.PHONY: deploy
deploy: $(KUSTOMIZE) ## Install the CRDs and the operator, running IMG.
	@$(RENDER_DEFAULT) | $(KUBECTL) apply --server-side -f -

.PHONY: undeploy
undeploy: $(KUSTOMIZE) ## Remove the operator and the CRDs. THIS DELETES ALL GiniClients and GiniUsers, and the Secrets that belong to them.
	$(KUSTOMIZE) build config/default | $(KUBECTL) delete --ignore-not-found -f -

# kustomize writes the image's name into a file. It does so in a copy, so that deploying leaves no change to commit.
RENDER_DEFAULT = copy="$$(mktemp -d)" && trap 'rm -rf "$$copy"' EXIT && cp -R config "$$copy/" && \
	kustomize="$(abspath $(KUSTOMIZE))" && (cd "$$copy/config/manager" && "$$kustomize" edit set image controller='$(IMG)') && \
	"$$kustomize" build "$$copy/config/default"

##@ Tools

# Each tool is built again when a version in its module changes.
.PHONY: tools
tools: bin/controller-gen bin/gotestsum bin/golangci-lint bin/gremlins bin/helm bin/kustomize ## Build all tools into bin/; other targets build those they need.

TOOLS_MODULE := hack/tools/go.mod hack/tools/go.sum

bin/controller-gen: TOOL_PACKAGE := sigs.k8s.io/controller-tools/cmd/controller-gen
bin/kustomize: TOOL_PACKAGE := sigs.k8s.io/kustomize/kustomize/v5
bin/gotestsum: TOOL_PACKAGE := gotest.tools/gotestsum
bin/controller-gen bin/kustomize bin/gotestsum: $(TOOLS_MODULE)
	@echo "building $@ (about a minute the first time)"
	@$(GO_TOOL_BUILD) -C hack/tools -trimpath -buildvcs=false -ldflags '-s -w' -o "$(CURDIR)/$@" $(TOOL_PACKAGE)
	@touch $@

bin/gremlins: hack/mutants/go.mod hack/mutants/go.sum
	@echo "building $@ (about a minute the first time)"
	@$(GO_TOOL_BUILD) -C hack/mutants -trimpath -buildvcs=false -ldflags '-s -w' -o "$(CURDIR)/$@" github.com/go-gremlins/gremlins/cmd/gremlins
	@touch $@

bin/helm: hack/helm/go.mod hack/helm/go.sum
	@echo "building $@ (about 5 minutes the first time)"
	@$(GO_TOOL_BUILD) -C hack/helm -trimpath -buildvcs=false -ldflags '-s -w' -o "$(CURDIR)/$@" helm.sh/helm/v4/cmd/helm
	@touch $@

bin/golangci-lint: hack/lint/go.mod hack/lint/go.sum hack/lint/main.go
	@echo "building $@ (about 2 minutes the first time)"
	@version="$$(sed -n 's|.*github.com/golangci/golangci-lint/v2 v||p' hack/lint/go.mod)" && \
	$(GO_TOOL_BUILD) -C hack/lint -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$$version" -o "$(CURDIR)/$@" .
	@touch $@
