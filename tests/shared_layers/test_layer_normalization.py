"""LayerNormalization: the contracts, Keras's numbers, and that it is one operation where it can be."""

import platform

import keras
import numpy as np
import pytest

from shared_layers import LayerNormalization
from tests.backends import tensorflow_only
from tests.checks import check_layer

RANDOM = np.random.default_rng(29)
INPUTS = RANDOM.normal(2.0, 3.0, (3, 5, 7)).astype("float32")


def pair(width=7, **options):
    """Ours and Keras's, of the same random weights."""
    ours, theirs = LayerNormalization(**options), keras.layers.LayerNormalization(**options)
    for layer in (ours, theirs):
        layer.build((None, width))
    weights = [RANDOM.normal(size=weight.shape) for weight in theirs.get_weights()]
    for layer in (ours, theirs):
        layer.set_weights(weights)
    return ours, theirs


def test_contracts():
    check_layer(LayerNormalization, {"epsilon": 1e-6}, INPUTS)


@tensorflow_only
class TestInGraph:
    @pytest.mark.parametrize("shape", [(5, 7), (3, 5, 7), (2, 3, 5, 7), (0, 5, 7)])
    @pytest.mark.parametrize("known", [True, False])
    def test_agrees_with_keras(self, shape, known):
        import tensorflow as tf

        ours, theirs = pair(epsilon=1e-6)
        inputs = RANDOM.normal(2.0, 3.0, shape).astype("float32")
        signature = [tf.TensorSpec(shape if known else (*[None] * (len(shape) - 1), 7))]
        graph = tf.function(ours, input_signature=signature)
        assert graph.get_concrete_function().output_shapes == tf.TensorShape(signature[0].shape)
        np.testing.assert_allclose(graph(inputs), theirs(inputs), rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("jit_compile", [False, True])
    def test_gradients_agree_with_keras(self, jit_compile):
        import tensorflow as tf

        upstream = RANDOM.normal(size=INPUTS.shape).astype("float32")
        found = []
        for layer in pair(epsilon=1e-6):

            @tf.function(jit_compile=jit_compile)
            def gradients(inputs, layer=layer):
                with tf.GradientTape() as tape:
                    tape.watch(inputs)
                    loss = tf.reduce_sum(layer(inputs) * upstream)
                return tape.gradient(loss, [inputs, *(weight.value for weight in layer.trainable_variables)])

            found.append(gradients(tf.constant(INPUTS)))
        for mine, their in zip(*found, strict=True):
            np.testing.assert_allclose(mine, their, rtol=1e-4, atol=1e-5)

    def test_rows_without_variance_are_the_centre(self):
        import tensorflow as tf

        ours, _ = pair(epsilon=1e-12)
        constant = tf.function(ours)(tf.fill((3, 7), 4096.0))
        np.testing.assert_allclose(constant, np.tile(ours.get_weights()[1], (3, 1)), atol=1e-5)

    @pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
    def test_statistics_are_float32(self, dtype):
        import tensorflow as tf

        ours, theirs = pair(dtype=dtype, epsilon=1e-6)
        inputs = tf.cast(300.0 * INPUTS, ours.compute_dtype)  # whose squares float16 cannot hold
        outputs = tf.function(ours)(inputs)
        assert outputs.dtype == ours.compute_dtype
        np.testing.assert_allclose(tf.cast(outputs, "float32"), tf.cast(theirs(inputs), "float32"), rtol=1e-2, atol=1e-2)

    @pytest.mark.parametrize("options", [{"axis": 1}, {"axis": [1, 2]}, {"center": False}, {"scale": False}])
    def test_other_forms_are_keras_s(self, options):
        import tensorflow as tf

        ours, theirs = LayerNormalization(**options), keras.layers.LayerNormalization(**options)
        np.testing.assert_allclose(tf.function(ours)(INPUTS), theirs(INPUTS), rtol=1e-5, atol=1e-5)

    @pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="oneDNN's operation is of x86")
    @pytest.mark.parametrize("known", [True, False])
    def test_is_one_operation(self, known):
        assert executed_operations(known).count("_MklLayerNorm") == 1


def executed_operations(known):
    """The types of operations that TensorFlow runs for the layer in the middle of a graph."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        layer = LayerNormalization(epsilon=1e-6)
        inputs = v1.placeholder("float32", (3, 5, 7) if known else (None, None, 7))
        outputs = tf.nn.relu(layer(tf.nn.relu(inputs)))
        session.run(v1.global_variables_initializer())
        metadata = v1.RunMetadata()
        options = v1.RunOptions(output_partition_graphs=True)
        session.run(outputs, {inputs: INPUTS}, options=options, run_metadata=metadata)
    return [node.op for graph in metadata.partition_graphs for node in graph.node]
