# make demo    a video in, a page to look at out: runs/demo/report.html (VIDEO=path for your own: runs/demo-NAME)
# make zoo     ladder models side by side (DATASET=folder, MINUTES=5 for each model)
# make nightly make ladder (every model trains, converts, agrees and builds with TensorRT-RTX) and
#              make faults (200 kills, 100,000 damaged files)
# make test    every test          make check   lint and types          make clean   remove runs/ and .venv/
# make test-fast  the tests that take seconds, for an answer in two minutes
# make docs    API reference from the docstrings: runs/docs/index.html
# make doctor  what works on this machine, and how to mend what does not

PYTHON ?= python3.11
VIDEO ?=
DATASET ?= runs/demo/dataset
MINUTES ?= 5
PY := .venv/bin/python
INSTALLED := .venv/installed
TOOLS := $(wildcard paddleseg_configs/paddleseg_tools/pyproject.toml paddleseg_configs/paddleseg_tools/paddleseg/tools/*.py)

.PHONY: demo video zoo nightly ladder faults test test-fast check docs setup doctor clean

demo: video setup
	$(PY) -m labeling.demo $(if $(VIDEO),--video "$(VIDEO)")

# Before an installation that takes minutes.
video:
	@$(if $(VIDEO),test -f "$(VIDEO)" || { echo "error: video not found: $(VIDEO)"; echo " hint: Check the path."; exit 2; },:)

zoo: setup
	$(PY) paddleseg_configs/compare.py $(DATASET) --minutes $(MINUTES) --report runs/results/zoo

nightly: ladder faults

# 360 is no multiple of 32: the padding is tried as well. The labels do not matter, so they are the cheapest there are.
ladder: setup
	$(PY) datasets/get_demo_clip.py
	$(PY) labeling/make_labels.py datasets/cache/vtest.avi --out runs/ladder/dataset --height 360 --scale 1 \
		--upscaler reference --variant gradient --every 40 --gap-seconds 2
	OMP_NUM_THREADS=1 $(PY) paddleseg_configs/check_ladder.py runs/ladder/dataset --readme
	OMP_NUM_THREADS=1 REGEN_WHOLE_LADDER=1 $(PY) -m pytest tests/export/test_tensorrt_ladder.py

faults: setup
	OMP_NUM_THREADS=1 REGEN_FUZZ_EXAMPLES=100000 $(PY) -m pytest tests/project/test_fuzz.py
	OMP_NUM_THREADS=1 $(PY) benchmarks/faults.py --kills 200

# Two workers of one thread each: faster than one after the other, and no threads that fight over two cores.
test: setup
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile

test-fast: setup
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile -m "not slow"

doctor:
	@$(if $(wildcard $(PY)),$(PY),python3) -m labeling.doctor

check: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# pdoc hides other processes from what it imports, and Paddle asks one for the C library's version.
docs: setup
	PDOC_ALLOW_EXEC=1 $(PY) -m pdoc --docformat google --output-directory runs/docs deploy export labeling paddleseg_configs

setup: $(INSTALLED)

$(INSTALLED): requirements.txt overrides.txt pyproject.toml $(TOOLS)
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: apt-get install python3.11-venv, or make PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(PY) || $(PYTHON) -m venv .venv || { echo "Cannot make a virtual environment: apt-get install python3.11-venv"; rm -rf .venv; exit 2; }
	$(PY) -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(PY) -m uv pip install --python $(PY) -r requirements.txt --overrides overrides.txt --reinstall-package regen-paddleseg-tools
	$(PY) -c "import cv2, paddle, paddleseg.tools, torch, onnxruntime"
	touch $@

clean:
	rm -rf runs .venv
