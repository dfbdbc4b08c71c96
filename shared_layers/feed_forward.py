"""Position-wise feed-forward networks: MLP and SwiGLU."""

import keras
from keras import ops

from shared_layers.linear import Linear
from shared_layers.runtime import check_sizes


@keras.saving.register_keras_serializable(package="shared_layers")
def gelu_approximate(x):
    """GELU with the tanh approximation, as in GPT-2 and ALBERT (Hendrycks and Gimpel 2016, section 2).

    Args:
        x: float tensor.

    Returns:
        float tensor of the same shape.
    """
    return ops.gelu(x, approximate=True)


@keras.saving.register_keras_serializable(package="shared_layers")
class MLP(keras.layers.Layer):
    """Position-wise feed-forward network: two dense layers with an activation in between.

    Args:
        intermediate_dim: int, width of the hidden layer.
        activation: name or callable, of the hidden layer.
        dropout: float in [0, 1), after the activation.
        kernel_initializer, bias_initializer: initializers of both dense layers.

    Call arguments:
        inputs: float tensor (..., d).
        training: bool, whether dropout is active.

    Returns:
        float tensor (..., d).

    Raises:
        ValueError: an `intermediate_dim` that is not a positive int.

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
    """Gated feed-forward network: `(silu(x W1) * x W2) W3`, with W1 and W2 stored as one matrix.

    Args:
        intermediate_dim: int, width of the gate and of the gated value (each).
        dropout: float in [0, 1), after the gating.
        kernel_initializer, bias_initializer: initializers of both dense layers.

    Call arguments:
        inputs: float tensor (..., d).
        training: bool, whether dropout is active.

    Returns:
        float tensor (..., d).

    Raises:
        ValueError: an `intermediate_dim` that is not a positive int.

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
