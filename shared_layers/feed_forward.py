"""Position-wise feed-forward networks: MLP and SwiGLU."""

import keras
from keras import ops

from shared_layers.linear import Linear
from shared_layers.runtime import check_sizes


@keras.saving.register_keras_serializable(package="shared_layers")
def gelu_approximate(x):
    """GELU by a hyperbolic tangent, as GPT-2 and ALBERT have it (Hendrycks and Gimpel 2016, section 2).

    Args:
        x: float tensor.

    Returns:
        float tensor of that shape.
    """
    return ops.gelu(x, approximate=True)


@keras.saving.register_keras_serializable(package="shared_layers")
class MLP(keras.layers.Layer):
    """Two linear maps with an activation between them, the same at every position.

    Args:
        intermediate_dim: int, width between the two maps.
        activation: name or callable.
        dropout: float in [0, 1), after the activation.
        kernel_initializer, bias_initializer: of both maps.

    Call arguments:
        inputs: float tensor (..., d).
        training: bool.

    Returns:
        float tensor (..., d).

    Raises:
        ValueError: an `intermediate_dim` that is no positive int.

    Reference: Vaswani et al. 2017, section 3.3 (ReLU there; GELU in BERT and ViT).
    """

    def __init__(
        self,
        intermediate_dim,
        activation="gelu",
        dropout=0.0,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_sizes(intermediate_dim=intermediate_dim)
        self.intermediate_dim = intermediate_dim
        self.activation = keras.activations.get(activation)
        self.dropout = dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.supports_masking = True

    def build(self, input_shape):
        options = {
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
            "dtype": self.dtype_policy,
        }
        self.intermediate_dense = Linear(
            self.intermediate_dim, activation=self.activation, name="intermediate_dense", **options
        )
        self.intermediate_dense.build(input_shape)
        self.output_dense = Linear(input_shape[-1], name="output_dense", **options)
        self.output_dense.build((*input_shape[:-1], self.intermediate_dim))
        self.dropout_layer = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)

    def call(self, inputs, training=None):
        hidden = self.intermediate_dense(inputs)
        return self.output_dense(self.dropout_layer(hidden, training=training))

    def get_config(self):
        return {
            **super().get_config(),
            "intermediate_dim": self.intermediate_dim,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="shared_layers")
class SwiGLU(keras.layers.Layer):
    """Gated feed-forward network: `W3 (silu(x W1) * x W2)`, W1 and W2 as one matrix.

    Args:
        intermediate_dim: int, width of the gate and of the gated value (each).
        dropout: float in [0, 1), after the gate.
        kernel_initializer, bias_initializer: of both maps.

    Call arguments:
        inputs: float tensor (..., d).
        training: bool.

    Returns:
        float tensor (..., d).

    Raises:
        ValueError: an `intermediate_dim` that is no positive int.

    Reference: Shazeer 2020, "GLU Variants Improve Transformer", equation 6 (without bias there; with bias here, as in
    DINOv2, whose `weights_in` holds gate and value in this order).
    """

    def __init__(
        self,
        intermediate_dim,
        dropout=0.0,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_sizes(intermediate_dim=intermediate_dim)
        self.intermediate_dim = intermediate_dim
        self.dropout = dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.supports_masking = True

    def build(self, input_shape):
        options = {
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
            "dtype": self.dtype_policy,
        }
        self.gate_and_value_dense = Linear(2 * self.intermediate_dim, name="gate_and_value_dense", **options)
        self.gate_and_value_dense.build(input_shape)
        self.output_dense = Linear(input_shape[-1], name="output_dense", **options)
        self.output_dense.build((*input_shape[:-1], self.intermediate_dim))
        self.dropout_layer = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)

    def call(self, inputs, training=None):
        gate, value = ops.split(self.gate_and_value_dense(inputs), 2, axis=-1)
        hidden = ops.silu(gate) * value
        return self.output_dense(self.dropout_layer(hidden, training=training))

    def get_config(self):
        return {
            **super().get_config(),
            "intermediate_dim": self.intermediate_dim,
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }

    def compute_output_shape(self, input_shape):
        return input_shape
