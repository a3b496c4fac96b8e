# Two commands for a stranger: `make demo` and `make test`. Everything else is here too.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
CLIP   ?=

.DEFAULT_GOAL := help
.PHONY: help venv venv-test demo up test check lint types imports drift proto models bench bench-job bench-models bench-media bench-memory bench-cut bench-gateway cut-hours conformance chaos kills corpus decode-check clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

# --no-deps: the wheel's dependencies (numpy<2) are pytriton's; only its tritonserver is used
$(BIN)/.local: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt -e '.[local]'
	$(PIP) install -q -c constraints.txt --no-deps nvidia-pytriton
	@touch $@

$(BIN)/.test: $(BIN)/.local
	$(PIP) install -q -c constraints.txt -e '.[local,export,test]'
	@touch $@

venv: $(BIN)/.local ## virtual environment with the local stack

venv-test: $(BIN)/.test ## the same with everything tests and exporters need

demo: venv ## one real job through every real server; CLIP=path for a clip of your own; result in out/
	$(BIN)/python scripts/demo.py $(if $(CLIP),--clip '$(CLIP)')

up: venv ## the local stack, until Ctrl-C
	$(BIN)/framewire up

test: check ## everything: lint, types, imports, generated code, all tests
	$(BIN)/python -m pytest

check: lint types imports drift ## the checks that need no server

lint: venv-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: venv-test
	$(BIN)/mypy

imports: venv-test
	$(BIN)/lint-imports

drift: venv-test
	$(BIN)/python scripts/generate_protos.py --check
	$(BIN)/python -m exporters --check
	$(BIN)/python scripts/document_errors.py --check
	$(BIN)/python scripts/document_api.py --check

proto: venv-test ## generate code from proto/
	$(BIN)/python scripts/generate_protos.py

models: venv-test ## export the built-in models into triton_models/
	$(BIN)/python -m exporters

conformance: venv-test ## the same scenarios over every wire, and a long search for what the OpenAPI document gets wrong
	FRAMEWIRE_CONFORMANCE_EXAMPLES=200 $(BIN)/python -m pytest tests/conformance

bench-gateway: venv-test ## fan-out, GetJob and memory of one gateway process beside bare servers
	$(BIN)/python scripts/bench_gateway.py

SEED   ?= 1
ROUNDS ?= 67
chaos: venv-test ## seeded faults on real servers and on the simulator; SEED=n ROUNDS=n, ROUND=n plays one again
	PYTHONPATH=tests $(BIN)/python -m chaos --seed $(SEED) --rounds $(ROUNDS) $(if $(ROUND),--round $(ROUND))

POINTS ?= 50
kills: venv-test ## kill -9 of workers and runners at seeded moments of a real job; POINTS=n SEED=n
	PYTHONPATH=tests $(BIN)/python -m chaos.kills --points $(POINTS) --seed $(SEED)

COUNT  ?= 1000
SANDBOX ?= prefer
corpus: venv-test ## hostile and damaged files through real runners; SEED=n COUNT=n, NUMBER=n runs one damaged file
	PYTHONPATH=tests $(BIN)/python -m hostile --seed $(SEED) --count $(COUNT) --sandbox $(SANDBOX) $(if $(NUMBER),--number $(NUMBER))

bench: bench-job bench-models bench-media bench-memory bench-cut bench-gateway ## every benchmark, about half an hour on two cores

bench-job: venv-test ## one job beside the bare model loop, memory, the hop through Triton; CLIP=path for a clip of your own
	$(BIN)/python scripts/bench.py $(if $(CLIP),--clip '$(CLIP)')

bench-models: venv-test ## enhance_x2 in integers beside floats, on one core and on all, and the hop through Triton
	$(BIN)/framewire models bench enhance_x2 --beside enhance_x2_int8 --size 640x360
	$(BIN)/python scripts/bench_hop.py

bench-media: venv-test ## whole jobs beside loops without servers, and the wait for the first frame; CLIP=path
	$(BIN)/python scripts/media_bench.py $(if $(CLIP),--clip '$(CLIP)') $(if $(VAPOURSYNTH),--vapoursynth '$(VAPOURSYNTH)')
	$(BIN)/python scripts/first_frame.py

bench-memory: venv-test ## what runners hold when pictures are large; PRESET=medium, ONLY=av1
	$(BIN)/python scripts/large_pictures.py $(if $(PRESET),--preset $(PRESET)) $(if $(ONLY),--only '$(ONLY)')

TOOLS  ?= build/cut-tools
PAUSES ?= $(wildcard ../shared/media/speech_pauses_720p.mp4)
SPEECH ?= $(wildcard ../shared/media/speech_60s.wav)
bench-cut: venv-test ## cutting silence beside smartcut and auto-editor, which it installs in TOOLS; PAUSES=clip SPEECH=wav
	$(BIN)/python scripts/cut_bench.py --tools '$(TOOLS)' $(if $(PAUSES),--clip '$(PAUSES)') $(if $(SPEECH),--speech '$(SPEECH)')

HOURS  ?= 1 8
cut-hours: venv-test ## memory and time of cutting films of hours; HOURS="1 8"
	$(BIN)/python scripts/cut_hours.py $(HOURS)

FILES ?= ../shared/hostile ../shared/media
decode-check: venv-test ## compare how files are decoded with a plain PyAV loop; FILES=folders or files
	$(BIN)/python scripts/decode_check.py $(FILES)

clean: ## remove what the commands above made
	rm -rf $(VENV) out build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache
