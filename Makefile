# The two commands of the README are `make demo` and `make test`. Everything else needed is installed or named by them.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c

GO       ?= go
TAGS     := nomsgpack
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
VPKG     := github.com/prometheus/common/version
LDFLAGS  := -s -w \
	-X $(VPKG).Version=$(VERSION) \
	-X $(VPKG).Revision=$(shell git rev-parse --short HEAD 2>/dev/null || echo unknown) \
	-X $(VPKG).Branch=$(shell git rev-parse --abbrev-ref HEAD 2>/dev/null || echo unknown) \
	-X $(VPKG).BuildDate=$(shell date -u +%Y-%m-%dT%H:%M:%SZ)
LINT     := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2
FUZZTIME ?= 30s
# What applications import is in modules of its own, so that they inherit none of the relay's dependencies.
MODULES  := recorder recorder/ginrecorder recorder/example

.PHONY: help
help: ## Show what there is to make.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Run the demo: a relay, four inboxes and a page to look at.
	@$(GO) build -tags $(TAGS) -o bin/relay ./cmd/relay && exec bin/relay demo # go run would call Ctrl-C an error

.PHONY: build
build: ## Build bin/relay: static, with its version.
	CGO_ENABLED=0 $(GO) build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/relay ./cmd/relay

.PHONY: run
run: ## Run the relay with config.yaml.
	$(GO) run -tags $(TAGS) ./cmd/relay --config.file=config.yaml

.PHONY: test
test: parts ## Run all tests, with the race detector, against the real parts.
	$(GO) test -race -tags $(TAGS) -timeout 15m ./...
	for m in $(MODULES); do $(GO) -C $$m test -race ./...; done

.PHONY: quick
quick: ## Run the tests that need no real parts and no minute of patience.
	$(GO) test -short -tags $(TAGS) ./...

.PHONY: parts
parts: ## Install what the tests use (Debian packages), where that is allowed; name it elsewhere.
	@scripts/test-parts
	@for m in $(MODULES); do $(GO) -C $$m mod download; done

.PHONY: valkey
valkey: ## Run the tests of what is in Redis with Valkey 8, from Debian 13.
	scripts/valkey-server
	RELAY_TEST_REDIS_SERVER=valkey-server $(GO) test -race -tags $(TAGS) -count 1 -timeout 15m \
		./internal/redisdb ./outbox/redis ./snapshots ./internal/app ./internal/soak ./internal/acceptance

.PHONY: fmt
fmt: ## Format the code.
	$(GO) run $(LINT) fmt ./...
	for m in $(MODULES); do (cd $$m; $(GO) run $(LINT) fmt ./...); done

.PHONY: lint
lint: export GOLANGCI_LINT_CACHE = $(CURDIR)/build/lint-cache
lint: ## Run the linters. Their cache is this checkout's own: another one's would name files that are not here.
	$(GO) run $(LINT) run ./...
	$(GO) mod tidy -diff
	for m in $(MODULES); do (cd $$m; $(GO) run $(LINT) run ./...; $(GO) mod tidy -diff); done

.PHONY: golden
golden: ## Rewrite the golden files; review reads the diff.
	$(GO) test -tags $(TAGS) ./templates/... ./receivers/... -update

.PHONY: soak
soak: ## Kill relays, and Redis, under 50,000 and twice 12,000 notifications and faulty vendors; count what readers saw.
	$(GO) test -tags $(TAGS) -timeout 2h -count 1 -v -run TestNothingIsLost ./internal/soak -parallel 1 -soak.long

.PHONY: fuzz
fuzz: ## Run each fuzz test for FUZZTIME (30s).
	@scripts/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## Measure against the floor and print the table of docs/explanation/performance.md.
	$(GO) test -tags $(TAGS) -run '^$$' -bench . -benchmem -benchtime 200ms ./...
	for m in $(MODULES); do $(GO) -C $$m test -run '^$$' -bench . -benchmem -benchtime 200ms ./...; done
	$(GO) run -tags $(TAGS) ./internal/bench
	$(GO) run -tags $(TAGS) ./internal/bench -redis

.PHONY: vuln
vuln: ## Look for known vulnerabilities (needs the vulnerability database).
	$(GO) run golang.org/x/vuln/cmd/govulncheck@latest -tags $(TAGS) ./...

.PHONY: docker
docker: ## Build the image.
	docker build --build-arg VERSION=$(VERSION) -t alertrelay/relay:$(VERSION) .

.PHONY: check
check: lint test ## What CI runs.
