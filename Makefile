# make demo   the whole job on this machine: corpus, pretrain, bind five modalities, evaluate, report (build/demo/report.html)
# make test   the whole test suite
# make test-peers   the tests that the last `make test` skipped, on Python 3.11: torch, transformers, peft and mteb are there
# make demo-model   the demo, and from it the model that comes with the package
# make demo-captioner   films with sound, a model that writes of them, and from it the captioner that comes with the package
# make lint   ruff, and pyrefly for the types
# make docs   the site of the documentation, build/site: the pages of docs/ and the API
# All of them set up an environment first, in .venv, with the newest Python here of those that
# constraints.txt covers; it stays until `make clean`. Another Python: make PYTHON=python3.12, which
# makes an environment of another Python anew. Several beside each other: make VENV=.venv312.

VENV ?= .venv
FOUND := $(shell .ci/python $(VENV) $(PYTHON))
VERSION := $(if $(FOUND),$(shell $(FOUND) -c 'import platform; print(platform.python_version())'))
BIN := $(VENV)/bin
DEMO := build/demo
CAPTIONER := build/demo-captioner
SKIPPED := build/skipped.txt

# GLIBC_TUNABLES: a training step on CPU asks for its memory anew; huge pages save a quarter of it.

.PHONY: demo demo-model demo-captioner test test-peers skipped lint docs clean

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

# the captioner as it comes with the package, lb_jax/demo/captioner.zip
demo-captioner: $(VENV)/installed
	GLIBC_TUNABLES=glibc.malloc.hugetlb=1 $(BIN)/lb-jax demo caption --out $(CAPTIONER)
	$(BIN)/python -m lb_jax.core.shipped $(CAPTIONER)/checkpoint captioner

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2 --skipped-to=$(SKIPPED)

test-peers:
	test ! -s $(SKIPPED) || $(MAKE) VENV=.venv311 PYTHON=python3.11 skipped

skipped: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2 @$(SKIPPED)

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	.ci/types $(BIN)

docs: $(VENV)/installed-docs
	.ci/docs $(BIN)

clean:
	rm -rf build $(VENV)

$(VENV)/python-$(VERSION):
	@test -n "$(VERSION)"
	@test ! -e $(VENV) || echo "$(VENV) is not of Python $(VERSION), it is made anew"
	$(FOUND) -m venv --clear $(VENV)
	touch $@

$(VENV)/installed: setup.py constraints.txt $(VENV)/python-$(VERSION)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[search,serve,sensors]'
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@
