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

# Layers and decoding in full, models by their contracts. Thousands of small programs are compiled and run once: not worth an
# optimising compiler.
test-jax: .venv/installed
	KERAS_BACKEND=jax XLA_FLAGS=--xla_backend_optimization_level=0 $(BIN)/python -m pytest $(TWO) tests/shared_layers/*.py \
		$(addprefix tests/shared_layers/runtime/test_,presets.py optimizers.py schedules.py export.py) \
		tests/shared_layers/runtime/test_callbacks.py::test_resumed_training_is_the_same_training \
		tests/vitkit/test_backbone.py tests/vitkit/test_classifier.py::test_contracts \
		$(addprefix tests/textkit/test_,decoding.py scan.py transformer.py presets.py) \
		--deselect tests/textkit/test_decoding.py::test_a_search_that_never_ends_agrees_with_keras_nlp \
		$(addsuffix .py::test_contracts,$(addprefix tests/textkit/test_,causal_lm encoder seq2seq)) \
		'tests/textkit/test_heads.py::test_contracts[masked]' \
		tests/textkit/test_recurrent.py::test_every_cell_and_score_steps_as_it_reads_all_at_once

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
