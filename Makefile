# Sallyport. `make help` lists what there is to do.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-print-directory

GO       ?= go
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
ZONEINIT := internal/sandbox/namespaces/init/zoneinit
BIN      := bin/sallyport
COSIGN   := tools/bin/cosign
RUNSC    := tools/bin/runsc
RUNSC_AT := v0.0.0-20260905035102-160fafc42237
CHECKERS := tools/bin/amicontained tools/bin/kdigger
JSTOOLS  := test/sigstore-js/node_modules
DRILL_SANDBOXES ?= namespaces
FLAGS    := -trimpath -buildvcs=false

export CGO_ENABLED ?= 0

.PHONY: help build zoneinit run test check bench lint tools compat drill drill-compare escape fuzz-zone fault-zone deps clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: zoneinit ## build bin/sallyport
	$(GO) build $(FLAGS) -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./cmd/sallyport

# The init of a zone is a program of its own: a Go program starts the slower
# the more it links, and hostile code runs beside this one.
zoneinit:
	@mkdir -p $(dir $(ZONEINIT))
	$(GO) build $(FLAGS) -ldflags "-s -w -buildid=" -o $(ZONEINIT) ./cmd/zoneinit

run: deps build ## take the example shop and a published module through all zones
	$(BIN) run examples/shop --out dist/shop
	$(BIN) verify dist/shop
	$(BIN) run pkg:golang/filippo.io/age@v1.2.1 --out dist/age
	$(BIN) verify dist/age

test: deps build ## everything that must hold: format, vet, tests
	@$(MAKE) -j2 check tools
	@$(GO) run ./scripts/gotest -timeout 30m ./...

check:
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt: $$out"; exit 1; }
	$(GO) vet ./...

bench: build ## what it costs, as ratios to the same commands run plainly
	@scripts/deps bench
	@$(GO) run ./scripts/bench -sallyport $(BIN)

lint: build ## gofmt, vet, staticcheck, govulncheck
	@$(MAKE) check
	$(GO) tool -modfile=tools/go.mod staticcheck -checks all ./...
	@scripts/vulncheck

tools: $(COSIGN) $(RUNSC) $(JSTOOLS)/.package-lock.json ## what the tests use: cosign, sigstore-js, gVisor

$(COSIGN): tools/cosign/go.mod tools/cosign/go.sum
	@mkdir -p $(dir $@)
	cd tools/cosign && $(GO) build $(FLAGS) -ldflags "-s -w" -o ../bin/cosign github.com/sigstore/cosign/v3/cmd/cosign
	@touch $@

# The commit is one of gVisor's "go" branch, which holds the generated code.
$(RUNSC): Makefile
	GOBIN=$(abspath $(dir $@)) GOFLAGS= $(GO) install gvisor.dev/gvisor/runsc@$(RUNSC_AT)
	@touch $@

$(CHECKERS) &: tools/checkers/go.mod tools/checkers/go.sum
	@mkdir -p $(dir $@)
	cd tools/checkers && $(GO) build $(FLAGS) -ldflags "-s -w" -o ../bin/ tool
	@touch $(CHECKERS)

$(JSTOOLS)/.package-lock.json: test/sigstore-js/package-lock.json
	cd test/sigstore-js && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

compat: deps build ## run known modules and packages, write docs/compatibility.md
	SALLYPORT_COMPAT=1 $(GO) test -count=1 -timeout 120m -run TestCompatibility -v ./internal/cli

drill: deps build ## replay the known attacks against this set-up
	$(BIN) drill

drill-compare: deps build ## the same plainly and under other sandboxes, write docs/drill.md
	@scripts/deps bench
	$(GO) run ./scripts/drillcompare -sallyport $(BIN) -sandbox $(DRILL_SANDBOXES)

escape: deps build $(RUNSC) $(CHECKERS) ## run public checkers of containers in each sandbox (docs/escape.md)
	@scripts/deps bench
	@scripts/checkers

fault-zone: build ## make each system call fail by which a zone is made, once; all errors with SALLYPORT_TEST_ALL_FAULTS=1
	SALLYPORT_TEST_EACH_FAULT=1 $(GO) test -count=1 -timeout 60m -run TestFailsClosedAtEachSystemCall -v ./internal/sandbox/namespaces

fuzz-zone: deps zoneinit ## random system calls in a zone, FOR=30m, then everything forbidden again
	SANDBOXTEST_FUZZ=$(or $(FOR),30m) $(GO) test -count=1 -timeout 0 -run 'TestConformance$$/fuzz' -v ./internal/sandbox/namespaces

deps: ## install (root) or name (others) what the machine lacks
	@scripts/deps

clean: ## remove what make made
	rm -rf bin dist tools/bin $(JSTOOLS) $(ZONEINIT)
