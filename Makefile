# `make help` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
ENGINE_NODE := engine/tests/yjs
CLIENTS_NODE := server/tests/clients
README_NODE := server/tests/readme
FUZZ_NODE := fuzz/node
PEERS_NODE := bench/peers
DEMO := demo
STATIC := x86_64-unknown-linux-musl
DEMO_SOURCES := $(shell find $(DEMO)/src $(DEMO)/public -type f) $(addprefix $(DEMO)/,index.html package.json tsconfig.json vite.config.ts)

# Written by npm at the end of an installation, so it says whether the lock file was installed since it changed.
INSTALLED := $(addsuffix /node_modules/.package-lock.json,$(ENGINE_NODE) $(FUZZ_NODE) $(CLIENTS_NODE) $(README_NODE))

HAS_NODE := node -e 'const [a, b] = process.versions.node.split("."); process.exit(a * 100 + +b >= 2019 ? 0 : 1)' 2>/dev/null \
  && npm --version >/dev/null 2>&1

.PHONY: help run demo test format lint rust-tests client-tests browser-tests conformance bench bench-y-sweet soak fuzz fixtures deny audit unit release node

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 16

run: ## build and start the server on 127.0.0.1:1234, documents in ./coscribe-data (ARGS="…" for further flags)
	@if $(HAS_NODE); then $(MAKE) --no-print-directory demo || echo "The demo could not be built: going on without." >&2; \
	else echo "There is no Node 20.19 or newer: going on without the demo." >&2; fi
	cargo run --release --locked -- serve $(ARGS)

demo: $(DEMO)/dist/index.html ## build the demo, if something of it has changed; the next build of the server takes it in

test: demo format lint deny audit unit rust-tests client-tests browser-tests ## check everything: format, lints, dependencies, Rust tests, real clients, real browsers

format: ## check the format
	cargo fmt --all --check

lint: ## clippy, warnings are errors
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --package coscribe-provider --all-targets --features tls --locked -- -D warnings

# Tests that compare with real Yjs skip themselves with a message where it is missing, but not here.
rust-tests: $(INSTALLED) ## Rust tests, among them the comparison with real Yjs
	COSCRIBE_REQUIRE_NODE=1 cargo test --workspace --locked
	cargo test --package coscribe-fuzz --features planted-bugs --test planted_bugs --test planted_waste --locked

client-tests: $(INSTALLED) ## unmodified clients, also through nginx and Caddy, and the lines and commands of README and docs/, against the real binary
	cargo build --package coscribe --locked
	server/tests/python/install
	server/tests/proxies/install
	cd $(CLIENTS_NODE) && COSCRIBE_BIN=$(TARGET)/debug/coscribe npm test
	cd $(README_NODE) && COSCRIBE_BIN=$(TARGET)/debug/coscribe npm test
	COSCRIBE_BIN=$(TARGET)/debug/coscribe cargo test --package coscribe-bench --locked --test coscribe

browser-tests: demo $(README_NODE)/node_modules/.package-lock.json ## the demo and README's editors in Chromium, against the real binary; pictures go to demo/screenshots
	node $(DEMO)/tests/chromium.mjs
	cargo build --package coscribe --locked
	cd $(DEMO) && COSCRIBE_BIN=$(TARGET)/debug/coscribe npm test
	cd $(README_NODE) && COSCRIBE_BIN=$(TARGET)/debug/coscribe npm run editors

bench: ## measure coscribe beside other servers and attack them, an hour (ARGS="--servers coscribe,relay --only 'in a room'")
	cargo build --release --locked --package coscribe --package coscribe-bench
	@$(MAKE) --no-print-directory $(PEERS_NODE)/node_modules/.package-lock.json \
	  || echo "The servers that run on Node are left out." >&2
	$(TARGET)/release/coscribe-bench suite --peers $(PEERS_NODE) --readme bench/README.md $(ARGS)

bench-y-sweet: ## build y-sweet once, for the benchmark
	cargo install y-sweet --version 0.9.1 --locked --root $(PEERS_NODE)/.cargo

soak: ## load the server for two hours, kill it now and then, and see whether everything returns to where it was (ARGS="--minutes 12 --cycles 12 --rest 25 --kills 3 --argument=--grace=2s")
	cargo build --release --locked --package coscribe --package coscribe-bench
	$(TARGET)/release/coscribe-bench soak --out bench/results $(ARGS)

fuzz: ## simulated runs and each byte target, a minute each (ARGS="--time 1h"; the byte targets need a nightly toolchain)
	cargo run --release --locked --package coscribe-fuzz -- simulate $(or $(ARGS),--time 1m)
	fuzz/bytes/run $(SECONDS_EACH)

conformance: ## the Autobahn suite against the WebSocket transport; needs Python 2.7 (CASES="12.*" for some)
	cargo build --release --package coscribe --locked
	server/tests/conformance/run $(TARGET)/release/coscribe $(TARGET)/autobahn "$(or $(CASES),*)"

fixtures: $(INSTALLED) ## make the engine's fixtures again, from real Yjs
	cd $(ENGINE_NODE) && npm run fixtures

deny: ## check licences, advisories and duplicates of the dependencies, as far as cargo-deny and its data are there
	@if ! cargo deny --version >/dev/null 2>&1; then \
	  echo "NOT CHECKED: licences and duplicates of the dependencies, for want of cargo-deny (cargo install cargo-deny --locked)" >&2; \
	else \
	  cargo deny check licenses bans sources; \
	  if cargo deny fetch db >/dev/null 2>&1; then cargo deny check advisories; \
	  else echo "NOT CHECKED: advisories by cargo-deny, whose data cannot be reached" >&2; fi; \
	fi

audit: ## check the dependencies for known vulnerabilities, as far as cargo-audit and its data are there
	@if ! cargo audit --version >/dev/null 2>&1; then \
	  echo "NOT CHECKED: known vulnerabilities, for want of cargo-audit (cargo install cargo-audit --locked)" >&2; \
	elif ! git ls-remote --quiet https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; then \
	  echo "NOT CHECKED: known vulnerabilities by cargo-audit, whose data cannot be reached" >&2; \
	else cargo audit; fi

unit: ## check how well the unit for systemd protects the machine
	packaging/check

release: demo ## make a tarball with a static binary in target/dist, and try it in an empty root (musl's target of Rust, musl-gcc, and root for the trial)
	cargo build --release --locked --package coscribe --target $(STATIC)
	packaging/release $(TARGET)/$(STATIC)/release/coscribe $(TARGET)/dist
	$(MAKE) --no-print-directory $(CLIENTS_NODE)/node_modules/.package-lock.json
	packaging/check $(TARGET)/dist/coscribe-*-x86_64-linux.tar.gz

%/node_modules/.package-lock.json: %/package-lock.json | node
	cd $* && npm ci
	touch $@

$(DEMO)/dist/index.html: $(DEMO)/node_modules/.package-lock.json $(DEMO_SOURCES)
	cd $(DEMO) && npm run build

node:
	@$(HAS_NODE) || { echo "The tests and the demo need Node 20.19 or newer and npm; the server itself does not." >&2; exit 1; }
