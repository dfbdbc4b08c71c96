"""Linear: a dense layer over any number of trailing axes, computed as one matrix product."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="shared_layers")
class Linear(keras.layers.Layer):
    """Dense layer, `activation(x . kernel + bias)`, computed on the tokens as one 2-D matrix.

    `keras.layers.Dense` and `EinsumDense` multiply 3-D inputs through `tensordot` and `einsum`, which TensorFlow's
    graph optimiser cannot fuse with bias and activation. Here the product is always two-dimensional, so that product,
    bias and GELU are fused to one kernel on the CPU. Weights have the same shapes as in `Dense` (one input axis) and in
    the projections of `keras.layers.MultiHeadAttention` (several output or input axes), and are interchangeable.

    Args:
        output_shape: int or tuple of int, sizes of the trailing axes of the output.
        input_axes: int, the number of trailing axes of the input that are contracted.
        activation: name or callable, applied to the output; `None` for none.
        use_bias: bool, whether to add a bias.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint:
            as in `keras.layers.Dense`.

    Call arguments:
        inputs: float tensor (..., *input axes), with any number of leading axes.

    Returns:
        float tensor (..., *output_shape).

    Raises:
        ValueError: an output axis that is not a positive int.

    Example:

    >>> import numpy as np
    >>> from shared_layers import Linear
    >>> Linear((2, 3))(np.ones((5, 7, 4), "float32")).shape.as_list()
    [5, 7, 2, 3]
    """

    def __init__(
        self,
        output_shape,
        input_axes=1,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        sizes = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        if not sizes or any(not isinstance(size, int) or size <= 0 for size in sizes):
            raise ValueError(f"`output_shape` should be one or more positive ints. Received: output_shape={output_shape}")
        self.output_sizes = sizes
        self.input_axes = input_axes
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.supports_masking = True

    def build(self, input_shape):
        self.input_sizes = tuple(input_shape[-self.input_axes :])
        self.kernel = self.add_weight(
            name="kernel",
            shape=self.input_sizes + self.output_sizes,
            # a clone: an initializer object returns the same values at each call
            initializer=keras.initializers.get(keras.initializers.serialize(self.kernel_initializer)),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=self.output_sizes,
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def call(self, inputs):
        leading = ops.shape(inputs)[: -self.input_axes]
        width, out_width = math.prod(self.input_sizes), math.prod(self.output_sizes)
        tokens = ops.reshape(inputs, (-1, width))
        outputs = ops.matmul(tokens, ops.reshape(self.kernel, (width, out_width)))
        if self.use_bias:
            outputs = add_bias(outputs, ops.reshape(self.bias, (out_width,)))
        outputs = self.activation(outputs)
        return ops.reshape(outputs, (*leading, *self.output_sizes))

    def get_config(self):
        return {
            **super().get_config(),
            "output_shape": self.output_sizes,
            "input_axes": self.input_axes,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }

    def compute_output_shape(self, input_shape):
        return (*input_shape[: -self.input_axes], *self.output_sizes)


def add_bias(matrix, bias):
    """Adds (d,) to (n, d). TensorFlow fuses `BiasAdd`, not `AddV2`, with the matrix product and an exact GELU."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.nn.bias_add(matrix, bias)
    return ops.add(matrix, bias)
