"""Fixes for training a Keras 3 model on several replicas and workers; TensorFlow only.

Tested: one replica, two replicas and two workers give the same loss and weights for the same global batch.
"""

import types

import keras
import tensorflow as tf


class ReplicatedModel(keras.Model):
    """A `keras.Model` whose `fit`, `evaluate` and `predict` work on several replicas and workers.

    Reference: keras-team/keras#20585 (several workers), #18666 and #21366 (XLA around collectives).
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # So that `jit_compile="auto"` disables XLA if there are collectives in the training step.
        self.supports_jit = self._num_replicas == 1

    @property
    def _num_replicas(self):
        return self.distribute_strategy.num_replicas_in_sync

    def make_train_function(self, force=False):
        """Makes the training function; the optimizer sums gradients over replicas first."""
        if self.optimizer is not None:
            if self.built and not self.optimizer.built:
                # If the optimizer's variables were created inside the step, TensorFlow would trace it twice.
                with self.distribute_strategy.scope():
                    self.optimizer.build(self.trainable_variables)
            _sum_gradients_first(self.optimizer)
        return super().make_train_function(force)

    def train_step(self, data):
        """Trains on one batch; see `keras.Model.train_step`."""
        return self._reducible(super().train_step(data))

    def test_step(self, data):
        """Evaluates one batch; see `keras.Model.test_step`."""
        return self._reducible(super().test_step(data))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Computes the loss of the global batch, in which all examples (or tokens) have the same weight.

        Keras takes the mean over each replica's part of the batch and then over replicas. If the parts are uneven (rows of
        the last batch of an epoch, tokens of padded texts), examples in a smaller part would be weighted too much.
        """
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        replica = tf.distribute.get_replica_context()
        if self._num_replicas == 1 or replica is None:
            return loss
        part = tf.cast(self._mean_over(x, y, sample_weight), loss.dtype)
        parts = [part, part * tf.stop_gradient(loss)]
        whole, losses = replica.all_reduce(tf.distribute.ReduceOp.SUM, parts)
        share = tf.math.divide_no_nan(part * self._num_replicas, whole)
        # every replica reports the global loss, but has the gradient of its own part
        return share * loss + tf.stop_gradient(tf.math.divide_no_nan(losses, whole) - share * loss)

    def _mean_over(self, x, y, sample_weight):
        """Returns the denominator of this part's mean loss: the sum of its weights, or its number of rows."""
        weights = None
        if getattr(self.loss, "reduction", None) == "mean_with_sample_weight":
            # a loss that computes its own weights has a method `weights`
            weights = self.loss.weights(y, sample_weight) if hasattr(self.loss, "weights") else sample_weight
        if weights is not None:
            return tf.reduce_sum(weights)
        return tf.shape(next(leaf for leaf in keras.tree.flatten(x) if leaf is not None))[0]

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if self._num_replicas > 1 and self.steps_per_execution > 1:
            raise ValueError(
                "Several replicas need steps_per_execution=1 (Keras fails otherwise). "
                f"Received: steps_per_execution={self.steps_per_execution}"
            )
        # Keras averages a batch over replicas to find its shapes, which fails on several workers; this worker's
        # part is enough.
        if iterator is not None and self._distribute_strategy is not None:
            _, _, batches = next(iter(iterator))
            local = self.distribute_strategy.experimental_local_results
            data_batch = keras.tree.map_structure(lambda value: local(value)[0], next(batches))
            iterator = None
        super()._maybe_symbolic_build(iterator, data_batch)

    def _reducible(self, logs):
        # On several workers Keras averages each log along its first axis; a scalar has none.
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return keras.tree.map_structure(lambda value: tf.reshape(value, (1,)), logs)
        return logs


def _sum_gradients_first(optimizer):
    """Makes an optimizer sum the gradients over replicas before any other processing.

    Keras sums them last: it clips each replica's own gradients, checks for each replica separately whether they are
    finite (loss scaling), and cannot accumulate gradients or overwrite weights by their moving average, because an
    all-reduce inside a condition is not allowed. Once summed, the gradients are the same on every replica, so each runs
    the single-replica update on its own copy of the variables. With one replica this saves tracing through the strategy.
    """
    if "apply" in vars(optimizer):
        return
    apply_sums = optimizer.apply

    def apply(grads, trainable_variables=None):
        present = [grad for grad in grads if grad is not None]
        sums = iter(tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, present))
        return apply_sums([grad if grad is None else next(sums) for grad in grads], trainable_variables)

    optimizer.apply = apply
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    single_replica = next(base for base in reversed(type(inner).__mro__) if hasattr(base, "update_step"))
    for name in (
        "_apply_weight_decay",
        "_backend_update_step",
        "_backend_increment_gradient_accumulators",
        "_overwrite_model_variables_with_average_value",
    ):
        setattr(inner, name, types.MethodType(getattr(single_replica, name), inner))
