"""LayerNormalization: Keras's, in the one form that TensorFlow's graph optimiser fuses to a single operation."""

import functools
import platform

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="shared_layers")
class LayerNormalization(keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization`, several times as fast in graphs on x86 CPUs.

    On x86, oneDNN has a fused layer norm, but TensorFlow's graph optimiser recognises only one pattern: a batch norm over a
    batch of one whose channels are the rows. Keras's separate mean, variance and scaling pass over memory a dozen times.
    Everywhere else (eager mode, other machines and backends, other axes, without scale or centre) Keras's code runs.

    Args:
        the same as for `keras.layers.LayerNormalization`.

    Call arguments:
        inputs: float tensor (..., d). The statistics are float32, whatever the dtype policy.

    Returns:
        tensor of the same shape, of the compute dtype.

    Reference:
        Ba et al. 2016, "Layer Normalization", section 3.
    """

    def call(self, inputs):
        if not self._is_fused(inputs):
            return super().call(inputs)
        normalized = _fused(self.epsilon)(ops.cast(inputs, "float32"), *map(ops.convert_to_tensor, (self.gamma, self.beta)))
        return ops.cast(normalized, self.compute_dtype)

    def _is_fused(self, inputs):
        last = self.axis in (-1, [-1], [len(inputs.shape) - 1])
        plain = last and self.center and self.scale and not self.rms_scaling
        return plain and inputs.dtype != "float64" and inputs.shape[-1] is not None and _has_operation()


def _has_operation():
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    if tf.executing_eagerly() or tf.config.list_physical_devices("GPU"):
        return False
    return platform.machine().lower() in ("x86_64", "amd64")


@functools.cache
def _fused(epsilon):
    """Makes a function of inputs (..., d), scale (d,) and centre (d,) with a custom gradient."""
    import tensorflow as tf

    @tf.custom_gradient
    def normalize(inputs, gamma, beta):
        width = inputs.shape[-1]
        # Hides the number of rows: if it were known, the ones and zeros would be constants, and the pattern not recognised.
        rows = tf.raw_ops.PlaceholderWithDefault(input=tf.reshape(tf.size(inputs) // width, (1,)), shape=(1,))
        normalized, *_ = tf.raw_ops.FusedBatchNormV3(
            x=tf.reshape(inputs, (1, -1, width, 1)),
            scale=tf.fill(rows, 1.0),
            offset=tf.fill(rows, 0.0),
            mean=tf.constant([], "float32"),
            variance=tf.constant([], "float32"),
            epsilon=epsilon,
            data_format="NCHW",
            is_training=True,
        )
        outputs = tf.reshape(normalized, tf.shape(inputs)) * gamma + beta

        def gradient(upstream):
            mean, variance = tf.nn.moments(inputs, -1, keepdims=True)
            deviation = tf.math.rsqrt(variance + epsilon)
            standard = (inputs - mean) * deviation
            scaled = upstream * gamma
            along = tf.reduce_mean(scaled * standard, -1, keepdims=True)
            to_inputs = deviation * (scaled - tf.reduce_mean(scaled, -1, keepdims=True) - standard * along)
            over = list(range(len(inputs.shape) - 1))
            return to_inputs, tf.reduce_sum(upstream * standard, over), tf.reduce_sum(upstream, over)

        outputs.set_shape(inputs.shape)
        return outputs, gradient

    return normalize
