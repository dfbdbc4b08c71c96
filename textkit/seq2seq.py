"""Seq2Seq: the base of the sequence-to-sequence models: the call, generation, and the training loss."""

import functools

import keras
from keras import ops

from shared_layers.runtime import Model
from textkit.decoding import decode
from textkit.vocabulary import END, PAD, START


class Seq2Seq(Model):
    """Base of the models that read a source sequence and generate a target sequence, token by token.

    Ids are those of `textkit.vocabulary`: 0 is padding, at the end of a row. A target begins with the start token; the
    logits at position i predict token i + 1.

    A subclass defines `teacher_force` for whole targets, and three methods for generation:

    - `encode(source_ids)` -> memory, nested tensors with first axis b, constant over the steps;
    - `start(memory, max_length)` -> state, nested tensors with first axis b;
    - `step(tokens, index, state, memory)`, tokens (b,) and index () int32 -> logits (b, v) float32, alignment (b, s)
      float32, and the new state.

    Call arguments:
        inputs: dict of "source_ids" (b, s) and "target_ids" (b, t), int.
        training: bool.
        return_attention_scores: bool.

    Returns:
        logits (b, t, v) float32; or, with `return_attention_scores`, a dict of "logits", "alignment" (b, t, s) float32 and
        further scores of the model.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator()
        self._compiled_write = functools.cache(self._compile_write)

    def call(self, inputs, training=None, return_attention_scores=False):
        seen = self.teacher_force(inputs["source_ids"], inputs["target_ids"], training, return_attention_scores)
        return seen if return_attention_scores else seen["logits"]

    def generate(self, source_ids, method="greedy", max_length=64, seed=None, jit_compile=False, **options):
        """Generates a target for each source; a graph is compiled for each shape and set of options.

        Args:
            source_ids: int array (b, s).
            method: "greedy", "sample" or "beam".
            max_length: int, the maximum number of generated tokens, the end token included.
            seed: int or `None`, for "sample".
            jit_compile: bool, whether XLA compiles the graph; always on JAX.
            **options: see `textkit.decoding.decode`.

        Returns:
            dict of NumPy arrays: "ids", "lengths", "scores" and "alignment", see `textkit.decoding.decode`.

        Raises:
            ValueError: an option out of its range, or a `max_length` beyond the model's positions.
        """
        if seed is not None:
            self.seed_generator.state.assign(keras.random.SeedGenerator(seed).state)
        write = self._compiled_write(method, max_length, jit_compile, tuple(sorted(options.items())))
        return keras.tree.map_structure(ops.convert_to_numpy, write(ops.convert_to_tensor(source_ids, "int32")))

    def write(self, source_ids, method="greedy", max_length=64, **options):
        """As `generate`, but from tensors to tensors, for use in graphs such as a SavedModel.

        Args:
            source_ids: int32 tensor (b, s).
            method, max_length, **options: see `generate`.

        Returns:
            dict of tensors, see `textkit.decoding.decode`.
        """
        memory = self.encode(source_ids)
        return decode(
            self.step,
            self.start(memory, max_length),
            ops.full((ops.shape(source_ids)[0],), START, "int32"),
            max_length,
            END,
            method,
            memory=memory,
            source_length=ops.shape(source_ids)[1],
            seed=self.seed_generator,
            **options,
        )

    def _compile_write(self, method, max_length, jit_compile, options):
        def write(source_ids):
            return self.write(source_ids, method, max_length, **dict(options))

        return compile_write(self, write, jit_compile)


def compile_write(model, write, jit_compile=False):
    """Compiles a function that reads a model's weights and its `seed_generator`, on either backend.

    Args:
        model: a built model.
        write: function from nested tensors to nested tensors.
        jit_compile: bool, whether XLA compiles the graph; always on JAX.

    Returns:
        The compiled function, with the same arguments.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(write, jit_compile=jit_compile, autograph=False)
    import jax

    seed = model.seed_generator.state

    @jax.jit
    def stateless(values, inputs):
        # weights are arguments: a compiled function would keep the values that it closed over
        with keras.StatelessScope(list(zip(model.variables, values, strict=True))) as scope:
            outputs = write(inputs)
        return outputs, scope.get_current_value(seed)

    def call(inputs):
        outputs, next_seed = stateless([variable.value for variable in model.variables], inputs)
        seed.assign(next_seed)
        return outputs

    return call


def tied_logits(states, table):
    """Computes logits as products with the embedding table.

    Args:
        states: float tensor (b, t, d).
        table: float tensor (v, d).

    Returns:
        float32 tensor (b, t, v).
    """
    table = ops.cast(table, states.dtype)
    batch, length, width = ops.shape(states)
    tokens = ops.reshape(states, (-1, width))
    # One decoding step has few tokens: CPUs are faster with the larger factor, the table, on the left.
    if states.shape[1] == 1:
        logits = ops.transpose(ops.matmul(table, ops.transpose(tokens)))
    else:
        logits = ops.matmul(tokens, ops.transpose(table))  # (b * t, v)
    return ops.cast(ops.reshape(logits, (batch, length, table.shape[0])), "float32")


def sizes(config):
    """Selects the sizes of a configuration: `num_*`, `*_dim`, `*_size` and `*_length`.

    Args:
        config: dict of constructor arguments.

    Returns:
        dict.
    """
    endings = ("_dim", "_size", "_length")
    return {name: size for name, size in config.items() if name.startswith("num_") or name.endswith(endings)}


@keras.saving.register_keras_serializable(package="textkit")
class TokenCrossEntropy(keras.losses.Loss):
    """Cross-entropy in nats, averaged over the tokens that are not padding; for `compile`.

    Args:
        label_smoothing: float in [0, 1), the part of the target probability that is spread evenly over the vocabulary.

    Call arguments:
        y_true: int tensor (b, t), the tokens to predict; 0 is padding and has no weight.
        y_pred: float tensor (b, t, v), logits.
        sample_weight: float tensor (b, t) or (b,), or `None`.

    Returns:
        The weighted mean over the tokens, a float scalar.

    Raises:
        ValueError: a `label_smoothing` outside [0, 1).

    Reference: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7; Vaswani et al. 2017, section 5.4.

    Example: two classes of equal probability; the third position is padding,

    >>> import numpy as np
    >>> from textkit.seq2seq import TokenCrossEntropy
    >>> round(float(TokenCrossEntropy()(np.array([[1, 1, 0]]), np.zeros((1, 3, 2), "float32"))), 4)  # log 2
    0.6931
    """

    def __init__(self, label_smoothing=0.0, name="token_cross_entropy", dtype=None):
        # weighted mean: Keras's default also divides by the padding
        super().__init__(name=name, reduction="mean_with_sample_weight", dtype=dtype)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"`label_smoothing` should be in [0, 1). Received: label_smoothing={label_smoothing}")
        self.label_smoothing = label_smoothing

    def weights(self, y_true, sample_weight=None):
        """Computes the weights of the mean.

        Args:
            y_true: int tensor (b, t).
            sample_weight: float tensor (b, t) or (b,), or `None`.

        Returns:
            float32 tensor (b, t), 0 for padding.
        """
        weights = ops.cast(ops.not_equal(y_true, PAD), "float32")
        if sample_weight is None:
            return weights
        sample_weight = ops.cast(sample_weight, "float32")
        return weights * (sample_weight[:, None] if len(sample_weight.shape) == 1 else sample_weight)

    def __call__(self, y_true, y_pred, sample_weight=None):
        return super().__call__(y_true, y_pred, self.weights(y_true, sample_weight))

    def call(self, y_true, y_pred):
        loss = ops.sparse_categorical_crossentropy(ops.cast(y_true, "int32"), y_pred, from_logits=True)
        if not self.label_smoothing:
            return loss
        even = ops.logsumexp(y_pred, axis=-1) - ops.mean(y_pred, axis=-1)  # cross-entropy with the even distribution
        return (1 - self.label_smoothing) * loss + self.label_smoothing * even

    def get_config(self):
        return {"label_smoothing": self.label_smoothing, "name": self.name, "dtype": self.dtype}
