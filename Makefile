# Every command a developer needs. Each target is a line or two: no logic lives here.
.PHONY: help run build check fmt test test-long fuzz distribution_test pictures bench bench-report bench-grpc bench-peers bench-instructions proto-gen deny clean ci
.DEFAULT_GOAL := help

CARGO ?= cargo
DATA  ?= ./rewardpool-data
SECONDS ?= 30

help:              ## list the targets
	@grep -hE '^[a-z_-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'
run:               ## build and start the service with samples/config.yaml
	$(CARGO) run --release --locked -- serve --config samples/config.yaml --working-dir $(DATA)
build:             ## the release binary, target/release/rewardpool
	$(CARGO) build --release --locked
check:             ## formatting, lints, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked --quiet
fmt:               ## rewrite the formatting
	$(CARGO) fmt --all
test:              ## every test, and a table of what the reliability tests tried
	./tests/run
test-long:         ## the same for a night: a million simulated lives, 1 000 kills and power cuts, …
	./tests/run-long $(PARTS)
fuzz:              ## libFuzzer on each target, SECONDS=30 each (needs nightly and cargo-fuzz)
	./fuzz/run $(SECONDS)
distribution_test: ## do the draws follow the configured weights?
	$(CARGO) run --release --locked -p rewardpool-bench -- distribution
pictures:          ## draw docs/pictures anew from the real screens (needs tmux)
	$(CARGO) test --locked -p rewardpool-server --test tui pictures -- --ignored
bench:             ## every figure beside its limit, in 10 minutes; ROWS="6 7 growth" only these
	$(CARGO) build --release --locked -p rewardpool-server -p rewardpool-bench
	./target/release/rewardpool-bench table $(if $(ROWS),--rows "$(ROWS)")
bench-report:      ## draw docs/benchmarks.md and its plots from the last `make bench`
	$(CARGO) run --release --locked -p rewardpool-bench -- report target/bench/report.json docs/benchmarks.md
bench-grpc:        ## a hundred users draw over gRPC for 80 seconds, by k6, and look at every answer
	$(CARGO) build --release --locked
	./tests/k6/run --full target/release/rewardpool
bench-peers:       ## Redis, PostgreSQL and the service in one run (apt install redis-server postgresql)
	$(CARGO) build --release --locked
	$(CARGO) run --release --locked -p rewardpool-bench -- peers
bench-instructions: ## instructions of the hot functions, beside what they were (UPDATE=1 records)
	$(CARGO) run --quiet --locked -p rewardpool-guard -- $(if $(UPDATE),--update)
proto-gen:         ## regenerate the gRPC code (needs no protoc)
	$(CARGO) xtask proto-gen
deny:              ## licences, bans and sources of the dependencies
	$(CARGO) deny --all-features --log-level error check bans licenses sources
clean:             ## remove what was built
	$(CARGO) clean
ci:                ## what the build server runs
	bash .ci/run
