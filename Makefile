# `make demo` trains, explains and exports a Vision Transformer; `make test` checks everything. Both need Python and make only.

PYTHON ?= python3
BIN := .venv/bin
# two processes, a file of tests in one of them, since its tests share what they set up
TWO := --numprocesses 2 --dist loadfile

.PHONY: demo test test-jax lint clean

demo: .venv/installed
	$(BIN)/vitkit demo --out runs/demo

test: .venv/installed lint
	$(BIN)/python -m pytest $(TWO) tests
	$(BIN)/python -m pytest --doctest-modules shared_layers vitkit textkit

# Layers in full, models by their contracts. Thousands of small programs are compiled and run once: not worth an optimising
# compiler.
test-jax: .venv/installed
	KERAS_BACKEND=jax XLA_FLAGS=--xla_backend_optimization_level=0 $(BIN)/python -m pytest $(TWO) tests/shared_layers/*.py \
		tests/shared_layers/runtime/test_callbacks.py::test_resumed_training_is_the_same_training \
		tests/shared_layers/runtime/test_optimizers.py tests/textkit/test_scan.py tests/textkit/test_transformer.py \
		'tests/vitkit/test_classifier.py::test_contracts[distilled token]' \
		$(addprefix tests/textkit/test_,'causal_lm.py::test_contracts[rotary]' 'encoder.py::test_contracts[modern]' \
		'heads.py::test_contracts[masked]' 'seq2seq.py::test_contracts[pre_norm]')

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# the exact set that was tried; setup.cfg holds the ranges
.venv/installed: setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev,jax,g2p]" -c constraints.txt
	touch $@

clean:
	rm -rf .venv runs build *.egg-info
