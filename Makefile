# Two commands: `make quickstart` shows the whole story, `make test` proves it. Both set the machine up first.

export RASTOS_CACHE ?= $(CURDIR)/.rastos/cache
export RASTOS_STATE ?= $(CURDIR)/.rastos/state
PYTHON := $(CURDIR)/.venv/bin/python

.PHONY: help setup quickstart test test-long test-unit test-faults lint bench clean

help:
	@echo "make quickstart   kernel, image, boot, change, deploy, boot, roll back, boot: with everything it needs"
	@echo "make test         all tests: lint, unit, system, faults, boot"
	@echo "make test-long    what takes minutes each: a modular kernel compiled twice, its modules booted, more sets of packages"
	@echo "make test-faults  every fault at every step, power cuts at every write: an hour or two"
	@echo "make test-unit    the fast ones, no root needed"
	@echo "make lint         style, types, import contracts"
	@echo "make bench        ratios against pacman, btrfs and bare Python"
	@echo "make setup        only the set-up: system packages and .venv"
	@echo "make clean        remove everything built (.rastos, images, .venv)"

setup:
	@scripts/bootstrap

quickstart: setup
	@scripts/quickstart

test: setup
	@$(PYTHON) -m pytest tests

test-unit: setup
	@$(PYTHON) -m pytest tests/unit

test-long: setup
	@$(PYTHON) -m pytest -m long tests

test-faults: setup
	@RASTOS_FAULTS=long $(PYTHON) -m pytest tests/faults

lint: setup
	@$(PYTHON) -m pytest tests/lint

bench: setup
	@$(PYTHON) bench/run.py

clean:
	rm -rf .rastos .venv build rastos.egg-info
	find images -mindepth 1 ! -name README.md -delete
