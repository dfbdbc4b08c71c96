"""A small model on the runtime's base, for the tests of the runtime."""

import keras
import numpy as np

from shared_layers import runtime


@keras.saving.register_keras_serializable(package="tests")
class SmallModel(runtime.Model):
    """Two dense layers, a norm and a dropout between them."""

    presets = {  # noqa: RUF012
        "small_11": {"config": {"units": 11, "num_classes": 7}},
        "small_13": {"config": {"units": 13, "num_classes": 7}, "hf": "tests/small"},
    }

    def __init__(self, units=11, num_classes=7, num_features=5, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.num_classes = num_classes
        self.num_features = num_features
        self.dropout = dropout
        self.first = keras.layers.Dense(units, activation="gelu", name="first")
        self.norm = keras.layers.LayerNormalization(name="norm")
        self.drop = keras.layers.Dropout(dropout, seed=3, name="drop")
        self.head = keras.layers.Dense(num_classes, dtype="float32", name="head")
        self.build((None, num_features))

    def build(self, input_shape):
        self.first.build(input_shape)
        self.norm.build((None, self.units))
        self.head.build((None, self.units))
        self.built = True

    def call(self, inputs, training=None):
        return self.head(self.drop(self.norm(self.first(inputs)), training=training))

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "num_classes": self.num_classes,
            "num_features": self.num_features,
            "dropout": self.dropout,
        }


def make_data(rows):
    """The same rows in every process: inputs (rows, 5) float32 and labels (rows,) int64."""
    generator = np.random.default_rng(17)
    return generator.normal(size=(rows, 5)).astype("float32"), generator.integers(0, 7, rows)


def set_same_weights(model):
    """Gives a model weights that depend on their shapes alone, whatever the backend."""
    generator = np.random.default_rng(19)
    model.set_weights([generator.normal(0.5, 0.2, weight.shape) for weight in model.get_weights()])


def compile_model(model, fused=False, **optimizer):
    """Compiles a model with AdamW, Keras's or ours, and a warm-up; `optimizer` adds to its arguments."""
    make = runtime.FusedAdam if fused else keras.optimizers.AdamW
    model.compile(
        make(runtime.WarmupCosine(0.03, 2, 12), weight_decay=0.1, **optimizer),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
