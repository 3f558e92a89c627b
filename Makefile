# make up     install what is missing, build, start in the background, run the demo
# make down   stop it (the data stays; rm -r .agentmesh/data forgets it)
# make test   everything: formatting, lints, licenses, build, all tests, a fault of each kind
# make chaos  break things under load for 30 minutes, with random seeds
#             (MINUTES=5, SEED=…, FAULT=F6 or a word of its name)
# make chaos-short  a fault of each kind, with a fixed seed
# make lint   formatting, lints and licenses only
# make api-fuzz  fuzz the API of the gateway that `make up` started
#             (tests/api-fuzz.sh short for a minute of it)
# make fuzz   each fuzz target of the parsers for 60 s
# make bench  how fast it is, as ratios (ONLY=G2a,G2b for some rows, SIZE=full for ten million events)
#             (PEERS=1 builds Outpost and svix-server first, for the rows against them)
# make logs   follow the logs of what `make up` started

.DEFAULT_GOAL := help
.PHONY: help up down test chaos chaos-short chaos-publish bench lint logs install build api-fuzz fuzz

target    := $(or $(CARGO_TARGET_DIR),target)
agentmesh := $(target)/debug/agentmesh

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

install:
	@deploy/local/install.sh

# Of the whole workspace, though only one binary comes of it: so dependencies get
# the same features here and in `make test`, and compile once.
build:
	cargo build --locked --workspace --bins

up: install build
	$(agentmesh) dev --detach
	$(agentmesh) demo
	@$(agentmesh) stack status

down:
	@if [ -x $(agentmesh) ]; then $(agentmesh) down; else echo "nothing was built, so nothing runs"; fi

test:
	@tests/run.sh all

chaos: install build
	$(target)/debug/chaos

chaos-short: install build
	$(target)/debug/chaos --short

# The same as `chaos`, with its table put into docs/RELIABILITY.md.
chaos-publish: install build
	$(target)/debug/chaos --publish

lint:
	@tests/run.sh lint

api-fuzz:
	@tests/api-fuzz.sh

fuzz:
	@fuzz/run.sh 60

# PUBLISH=1 puts the table into docs/BENCHMARKS.md. The profile is release
# without link-time optimisation; see docs/BENCHMARKS.md.
bench: install
	@deploy/local/install-bench.sh
	@case ',$(ONLY),' in ,,|*,G1,*|*,G1-*) deploy/local/install-peers.sh convoy $(if $(filter 1,$(PEERS)),outpost svix) ;; esac
	cargo build --locked --profile measure --package tests-bench
	$(target)/measure/bench $(if $(PUBLISH),--publish)

logs:
	@tail -n 50 -F .agentmesh/data/*.log .agentmesh/data/stack/logs/*.log
