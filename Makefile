# The front door. `make setup` is run by everything that needs it and does nothing when nothing is missing.
SHELL := /bin/bash
NAME ?=
ACT ?=

.PHONY: setup up lab image demo test test-rack check format bench

setup:
	@base/setup.sh

up: setup
	bin/bootwave up $(ARGS)

lab: setup
	bin/bootwave lab up --nodes 3

image: setup
	bin/bootwave image build $(ARGS)

demo: setup
	bin/bootwave demo $(if $(ACT),--act $(ACT))

check: setup
	@base/check.sh

format: setup
	node_modules/.bin/biome check --write .

test: setup check
	test/run.sh

test-rack: setup check
	test/run.sh --rack

bench: setup
	@test/bench/run.sh "$(NAME)"
