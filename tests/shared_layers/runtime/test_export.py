import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared_layers import runtime
from tests.backends import tensorflow_only
from tests.shared_layers.runtime.small_model import SmallModel, make_data, set_same_weights

# TensorFlow 2.21 imports Keras if it can; here neither can be imported.
CLIENT = """
import json, sys
sys.modules["keras"] = sys.modules["shared_layers"] = None
import tensorflow as tf
served = tf.saved_model.load(sys.argv[1]).signatures
inputs = tf.constant(json.loads(sys.argv[2]))
logits = served["serving_default"](inputs=inputs)["logits"]
named = served["explain"](inputs=inputs, names=tf.constant(["seven", "?"]))["shifted"]
print(json.dumps([logits.numpy().tolist(), named.numpy().tolist()]))
"""


@tensorflow_only
def test_serves_where_keras_cannot_be_imported(tmp_path):
    model = SmallModel(dropout=0.3)
    set_same_weights(model)
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["seven"], [7.0]), 0.0)
    inputs, _ = make_data(2)
    spec = tf.TensorSpec((None, 5), name="inputs")

    def explain(inputs, names):
        return {"shifted": model(inputs, training=False) + table.lookup(names)[:, None]}

    runtime.export_saved_model(
        tmp_path / "model",
        {
            "serving_default": (lambda inputs: {"logits": model(inputs, training=False)}, [spec]),
            "explain": (explain, [spec, tf.TensorSpec((None,), tf.string, name="names")]),
        },
        model.variables,
        assets=[table],
    )
    answer = subprocess.run(
        [sys.executable, "-c", CLIENT, str(tmp_path / "model"), json.dumps(inputs.tolist())],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    logits, shifted = json.loads(answer.stdout)
    expected = model(inputs, training=False).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    np.testing.assert_allclose(shifted, expected + [[7.0], [0.0]], atol=1e-6)


@tensorflow_only
def test_a_failure_leaves_the_previous_model(tmp_path):
    def export(function):
        spec = tf.TensorSpec((None,), name="inputs")
        runtime.export_saved_model(tmp_path / "model", {"serving_default": (function, [spec])}, [])

    def fail(inputs):
        raise ZeroDivisionError

    export(lambda inputs: {"outputs": inputs + 1.0})
    with pytest.raises(ZeroDivisionError):
        export(fail)
    served = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    assert served(tf.constant([2.0]))["outputs"].numpy() == 3.0
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


@tensorflow_only
def test_refuses_a_folder_with_something_else(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"one with saved_model.pb in it. Received: folder="):
        runtime.export_saved_model(tmp_path, {}, [])


def test_needs_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"A SavedModel needs Keras's TensorFlow backend. Received: KERAS_BACKEND=jax"):
        runtime.export_saved_model(tmp_path / "model", {}, [])
    assert list(tmp_path.iterdir()) == []
