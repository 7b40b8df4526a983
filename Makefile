# make demo   the main job, start to end, on this machine
# make test   every test, real Chromium included
# The rest is for working on Countersign itself; docs/ says more.

GO      ?= go
WEB     := webworker
STAMP   := $(WEB)/node_modules/.package-lock.json

.PHONY: demo test check check-arm build web payloads bench bench-meter bench-costs bench-stack conformance probe test-trust bench-checkpoints bench-host bench-warm bench-tasks bench-hub bench-limits e2e unit race fuzz fuzz-modules fuzz-nans breaks corpus crash clean

demo: build ## ONCE=1 ends after the verification
	ONCE=$(ONCE) PORT=$(PORT) scripts/demo.sh

build:
	$(GO) build -o bin/ ./cmd/...

test: unit race web-test e2e conformance probe

# Unit tests, shared vectors, command tests on the real mains. What takes seconds
# on a quiet machine may take minutes on a busy one.
unit: need-test need-wasm $(STAMP)
	$(GO) test -timeout 30m ./...

# Packages meter, keys, policy and release start no goroutine.
race: need-test
	$(GO) test -race -timeout 30m ./internal/...

# The same bits and fuel on ARM: goldens and vectors of both engines, emulated.
check-arm: need-test need-arm
	GOARCH=arm64 CGO_ENABLED=0 $(GO) test -exec qemu-aarch64 ./internal/wasm ./internal/sandbox
	GOARCH=arm64 CGO_ENABLED=0 $(GO) test -exec qemu-aarch64 ./meter \
		-run 'TestGolden|TestPayloads|TestRewriteDeterministic|TestFuelIsWhatRuns|TestCanonical|TestCosts|TestSpecSuiteRewrites'

web-test: $(STAMP)
	cd $(WEB) && npm test

# Real Chromium against the real hub and signer.
e2e: build need-browser need-wasm $(STAMP)
	cd $(WEB) && npm run e2e

# Every payload and vector in every engine: the same outcome and fuel.
conformance: need-engines $(STAMP) ## WRITE=1 writes docs/conformance.md
	node test/conformance/run.mjs $(if $(WRITE),--write docs/conformance.md)

# The chain of trust, attacked: vectors in four engines, a lying hub, the drills.
test-trust: build need-test need-engines $(STAMP)
	node test/trust/run.mjs
	node test/trust/differential.mjs 3000
	@$(GO) test ./test/evil -count=1 -v | grep -vE 'level=|^=== '
	@$(GO) test ./cmd/signer ./cmd/hub ./cmd/verifysim ./test/journey -count=1 -v -run 'TestScripts/^(policy|root|drills|log|token)$$' | grep -E '^ *--- |^(ok|FAIL)'
	node test/probe/run.mjs

# JavaScript in the place of the runner tries every way out of the sandbox.
probe: need-engines $(STAMP)
	node test/probe/run.mjs

# What must hold beside the tests: form, lint, generated files.
check: $(STAMP)
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'gofmt -w these files'; exit 1; }
	$(GO) vet ./...
	$(GO) mod tidy -diff
	cd $(WEB) && npm run check

# Generated files: the browser bundle, the payloads' modules, the vectors.
generate: web payloads
	$(GO) test ./release -run 'TestVectors|TestInputVectors|TestTrustVectors' -update >/dev/null
	$(GO) test ./internal/translog -run TestVectors -update >/dev/null
	$(GO) test ./internal/sandbox -run TestSegmentVectors -update >/dev/null
	$(GO) test ./internal/wire -run TestVectors -update >/dev/null

web: $(STAMP)
	cd $(WEB) && npm run build

payloads: need-wasm
	payloads/build.sh

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-meter: ## what metering costs, beside wasmtime; ROUNDS=7 runs of each in PLACES=7 places
	cd bench/meter && $(GO) run . -rounds $(or $(ROUNDS),7) -places $(or $(PLACES),7)

bench-stack: build need-test ## how deep calls nest in node, Chromium and Firefox
	node bench/meter/stack/stack.mjs bin/signer

bench-costs: ## what single instructions cost in time
	cd bench/meter && $(GO) run ./costs

bench-checkpoints: ## how much of visitors' time is kept, and the curve in docs
	$(GO) run ./bench/checkpoints -svg docs/img/checkpoints.svg

bench-host: need-engines $(STAMP) ## how fast the hosts are, in browsers and in Go; WRITE=1 writes docs/host-performance.md
	node bench/host/run.mjs $(if $(WRITE),--write docs/host-performance.md)
	$(GO) test ./internal/sandbox -run '^$$' -bench 'Segment|Refill|Compile'

bench-warm: need-browser $(STAMP) ## how much faster tasks are after a warm-up
	node bench/warm/warm.mjs 5

crash: need-test ## KILLS=200 kills of a hub under load, on full, slow and failing disks; SEED=… does it again
	$(GO) test ./internal/hub -run 'TestKill(Nine|Migrating)$$' -v -timeout 0 -args -kills $(or $(KILLS),200) -seed $(or $(SEED),0)

bench-tasks: ## what an order of ten million tasks takes of a hub: docs/tasks.md
	@for decided in 0 10000 100000 1000000; do \
		$(GO) test ./internal/hub -run '^TestManyTasks$$' -count 1 -v -timeout 30m -args -tasks 10000000 -decided $$decided | grep 'decided' || exit 1; done

bench-hub: build need-test ## votes a second, waits for leases and what idle connections cost: docs/hub-performance.md
	@$(GO) run ./bench/hub

bench-limits: build ## honest workers beside hostile clients, 4 minutes: docs/hub-performance.md
	@$(GO) run ./bench/hub -hostile all -for 4s

fuzz: ## FUZZTIME=30s for each target
	scripts/fuzz.sh $(or $(FUZZTIME),30s)

fuzz-modules: need-test ## N=2000 random modules, FIRST=101 the first seed
	$(GO) test ./test/proof -run TestRandomModules -v -timeout 0 -args -first $(or $(FIRST),101) -seeds $(or $(N),2000)

breaks: need-test ## breaks every invariant of docs/spec/meter.md: the test that it names has to fail; ONLY=text
	$(GO) run ./test/breaks -only '$(ONLY)'

fuzz-nans: need-test ## N=1000 random modules full of NaNs, against wasmtime, FIRST=1 the first seed
	cd bench/meter && $(GO) run ./nans -first $(or $(FIRST),1) -seeds $(or $(N),1000)

corpus: need-wasm ## other people's modules, from npm and Debian, some compiled from source; writes docs/meter-corpus.md
	@scripts/need.sh tcl=tclsh dpkg-dev=dpkg-source make=make npm=npm
	cd bench/corpus && ./fetch.sh $(or $(CORPUS),$${TMPDIR:-/tmp}/countersign-corpus) && ./compile.sh $(or $(CORPUS),$${TMPDIR:-/tmp}/countersign-corpus) && \
		$(GO) run . -dir $(or $(CORPUS),$${TMPDIR:-/tmp}/countersign-corpus) -o ../../docs/meter-corpus.md

$(STAMP): $(WEB)/package-lock.json
	cd $(WEB) && npm ci --no-audit --no-fund
	@touch $@

.PHONY: need-test need-browser need-engines need-wasm need-arm generate web-test
need-test:
	@scripts/need.sh minisign=minisign wabt=wat2wasm binaryen=wasm-opt strace=strace \
		python3=/usr/bin/python3 python3-websockets=/usr/lib/python3/dist-packages/websockets
need-arm:
	@scripts/need.sh qemu-user=qemu-aarch64
need-browser:
	@scripts/need.sh chromium=chromium fonts-dejavu-core=/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
need-engines: need-browser
	@scripts/need.sh firefox-esr=firefox-esr webkit2gtk-driver=WebKitWebDriver xvfb=xvfb-run xauth=xauth dbus-daemon=dbus-run-session
need-wasm:
	@scripts/need.sh clang-16=clang-16 lld-16=wasm-ld-16 wasi-libc=/usr/include/wasm32-wasi/stdio.h libclang-rt-16-dev-wasm32=/usr/lib/llvm-16/lib/clang/16/lib/wasi/libclang_rt.builtins-wasm32.a \
		rustc=/usr/bin/rustc libstd-rust-dev-wasm32=/usr/lib/rustlib/wasm32-wasi

clean:
	rm -rf bin demo-data $(WEB)/node_modules
