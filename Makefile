# make demo   the whole job on this machine: corpus, pretrain, bind five modalities, evaluate, report (build/demo/report.html)
# make test   the whole test suite
# make demo-model   the demo, and from it the model that comes with the package
# make lint   ruff
# All three set up .venv first. Choose the interpreter with PYTHON=python3.12.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo

# GLIBC_TUNABLES: a training step on CPU asks for its memory anew; huge pages save a quarter of it.

.PHONY: demo demo-model test lint clean

demo: $(VENV)/installed
	GLIBC_TUNABLES=glibc.malloc.hugetlb=1 $(BIN)/lb-jax demo --out $(DEMO)

# the demo's model as it comes with the package, lb_jax/demo/model.zip: bound three times as long
demo-model: demo
	$(BIN)/lb-jax train --config=configs/demo_bind.py --workdir=build/demo-bind --config.steps=1200 \
		--config.init_from=$(DEMO)/pretrain --config.data.sources.main.path=$(DEMO)/corpus/train.json
	$(BIN)/python -m lb_jax.demo.trim build/demo-bind/checkpoint $(DEMO)/corpus build/demo-model
	$(BIN)/lb-jax calibrate --model build/demo-model --data $(DEMO)/corpus
	$(BIN)/lb-jax doctor --model build/demo-model --write-golden
	$(BIN)/python -m lb_jax.core.shipped build/demo-model

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf build $(VENV)

$(VENV)/installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[search,serve,sensors]'
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@
