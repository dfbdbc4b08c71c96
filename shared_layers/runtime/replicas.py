"""What Keras needs to train one model on several replicas; TensorFlow only.

Held by the tests: one replica, two replicas and two workers reach the same loss and weights from the same
global batch.
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
        # So that `jit_compile="auto"` leaves XLA off where collectives are inside the step.
        self.supports_jit = self._num_replicas == 1

    @property
    def _num_replicas(self):
        return self.distribute_strategy.num_replicas_in_sync

    def make_train_function(self, force=False):
        """Makes the function of one training step, around an optimizer that replicas can share."""
        if self.optimizer is not None:
            if self.built and not self.optimizer.built:
                # Made inside the step, the optimizer's variables would have TensorFlow trace it twice.
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
        """Computes the loss of the global batch, to whose gradient all that it is a mean over counts alike.

        Keras takes the mean over each replica's part of the batch and then over the replicas. Where the parts are uneven
        (rows of the last batch of an epoch, tokens of padded texts), the smaller one would count for too much.
        """
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        replica = tf.distribute.get_replica_context()
        if self._num_replicas == 1 or replica is None:
            return loss
        part = tf.cast(self._mean_over(x, y, sample_weight), loss.dtype)
        parts = [part, part * tf.stop_gradient(loss)]
        whole, losses = replica.all_reduce(tf.distribute.ReduceOp.SUM, parts)
        share = tf.math.divide_no_nan(part * self._num_replicas, whole)
        # every replica reports the loss of them all, and follows the gradient of its own
        return share * loss + tf.stop_gradient(tf.math.divide_no_nan(losses, whole) - share * loss)

    def _mean_over(self, x, y, sample_weight):
        """How much the loss of this part of the batch is a mean over: the sum of its weights, or as much as it has rows."""
        weights = None
        if getattr(self.loss, "reduction", None) == "mean_with_sample_weight":
            # a loss that makes weights itself has a method of that name
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
        # Keras takes the mean of a batch over replicas to learn its shapes, which fails on several workers;
        # what lies on this worker tells them as well.
        if iterator is not None and self._distribute_strategy is not None:
            _, _, batches = next(iter(iterator))
            local = self.distribute_strategy.experimental_local_results
            data_batch = keras.tree.map_structure(lambda value: local(value)[0], next(batches))
            iterator = None
        super()._maybe_symbolic_build(iterator, data_batch)

    def _reducible(self, logs):
        # On several workers Keras takes the mean of each log along its first axis; a scalar has none.
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return keras.tree.map_structure(lambda value: tf.reshape(value, (1,)), logs)
        return logs


def _sum_gradients_first(optimizer):
    """Makes an optimizer sum the gradients over the replicas before anything else is done with them.

    Keras sums them last: it clips each replica's own gradients, lets each replica judge alone whether they
    are finite (loss scaling), and cannot accumulate gradients or overwrite weights by their moving average,
    because a sum inside a condition is refused. Once they are summed every replica holds the same gradients,
    so each can do the plain, single-replica arithmetic on its own copy of the variables. With one replica it saves
    the tracing of a detour through the strategy for each of them.
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
