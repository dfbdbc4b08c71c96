"""A differentiable loop over time for both backends, also under XLA."""

import keras
from keras import ops, tree


def scan(step, carried, inputs):
    """Runs a step over the first axis of the inputs, like `jax.lax.scan`.

    On TensorFlow `keras.ops.scan` stacks the carry instead of the outputs, and XLA cannot compile its gradient, as its loop
    has no static bound.

    Args:
        step: function (carry, inputs of one step) -> (carry, outputs); nested tensors.
        carried: nested tensors, the initial carry; steps keep its structure, shapes and dtypes.
        inputs: nested tensors (t, ...), t at least 1.

    Returns:
        tuple: the final carry, and the outputs (t, ...).

    Example:

    >>> from keras import ops
    >>> from textkit.scan import scan
    >>> total, sums = scan(lambda total, x: (total + x, total + x), ops.array(0), ops.array([1, 2, 3]))
    >>> int(total), ops.convert_to_numpy(sums).tolist()
    (6, [1, 3, 6])
    """
    if keras.backend.backend() != "tensorflow":
        return ops.scan(step, carried, inputs)
    import tensorflow as tf

    inputs = tree.map_structure(tf.convert_to_tensor, inputs)
    length = ops.shape(tree.flatten(inputs)[0])[0]

    def array(x):
        return tf.TensorArray(x.dtype, size=length, element_shape=x.shape)

    def body(index, carried, written):
        carried, outputs = step(carried, tree.map_structure(lambda x: x[index], inputs))
        return index + 1, carried, tree.map_structure(lambda x, output: x.write(index, output), written, outputs)

    # the first step is outside the loop, to get the shapes and dtypes of the outputs
    carried, outputs = step(carried, tree.map_structure(lambda x: x[0], inputs))
    written = tree.map_structure(lambda output: array(output).write(0, output), outputs)
    _, carried, written = tf.while_loop(
        lambda index, carried, written: index < length, body, (1, carried, written), maximum_iterations=length - 1
    )
    return carried, tree.map_structure(lambda x: x.stack(), written)
