"""The recipe of spelling to pronunciation, small."""

import json


def test_the_recipe_runs(tmp_path, recipe):
    said = recipe("train_g2p", "--smoke", "--model", "gru_additive", "--out", tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["test"]["num_examples"] == 40
    assert f"PER {metrics['test']['per']:.2%}, WER {metrics['test']['wer']:.2%} of 40 test words" in said
