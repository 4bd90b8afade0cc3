# `make help` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
ENGINE_NODE := engine/tests/yjs
CLIENTS_NODE := server/tests/clients

# Written by npm at the end of an installation, so it says whether the lock file was installed since it changed.
INSTALLED := $(ENGINE_NODE)/node_modules/.package-lock.json $(CLIENTS_NODE)/node_modules/.package-lock.json

.PHONY: help run test format lint rust-tests client-tests fixtures deny node

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 16

run: ## build and start the server on 127.0.0.1:1234, documents in ./coscribe-data (ARGS="…" for further flags)
	cargo run --release --locked -- serve $(ARGS)

test: format lint rust-tests client-tests ## check everything: format, lints, Rust tests, tests with real clients

format: ## check the format
	cargo fmt --all --check

lint: ## clippy, warnings are errors
	cargo clippy --workspace --all-targets --locked -- -D warnings

# Tests that compare with real Yjs skip themselves with a message where it is missing, but not here.
rust-tests: $(INSTALLED) ## Rust tests, among them the comparison with real Yjs
	COSCRIBE_REQUIRE_NODE=1 cargo test --workspace --locked

client-tests: $(INSTALLED) ## unmodified clients against the real binary
	cargo build --package coscribe --locked
	cd $(CLIENTS_NODE) && COSCRIBE_BIN=$(TARGET)/debug/coscribe npm test

fixtures: $(INSTALLED) ## make the engine's fixtures again, from real Yjs
	cd $(ENGINE_NODE) && npm run fixtures

deny: ## check licences, advisories and duplicates of the dependencies
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check; \
	else echo "cargo-deny is not installed: cargo install cargo-deny --locked"; fi

%/node_modules/.package-lock.json: %/package-lock.json | node
	cd $* && npm ci
	touch $@

node:
	@node -e 'const [a, b] = process.versions.node.split("."); process.exit(a * 100 + +b >= 2011 ? 0 : 1)' 2>/dev/null \
	  && npm --version >/dev/null 2>&1 \
	  || { echo "The tests need Node 20.11 or newer and npm, for real Yjs and its clients; the server itself does not." >&2; exit 1; }
