"""The optimizer: AdamW with weight decay on kernels only."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="shared_layers")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` with one fused TensorFlow operation per weight and step.

    Keras's step has 13 operations per weight, 2600 for a ViT, which are traced and optimised before the first step and each
    pass over memory at every step. For AMSGrad, sparse gradients of embeddings and JAX, Keras's step is used.

    Args:
        *args, **kwargs: the same as for `keras.optimizers.Adam`.
        rate_multipliers: dict, path of a variable -> float, factor for its learning rate; 1 for all others.
    """

    def __init__(self, *args, rate_multipliers=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.rate_multipliers = dict(rate_multipliers or {})

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        # under a strategy `variable` is TensorFlow's, which has no path
        path = self._trainable_variables[index].path
        learning_rate = learning_rate * self.rate_multipliers.get(path, 1.0)
        if keras.backend.backend() != "tensorflow" or self.amsgrad:
            return super().update_step(gradient, variable, learning_rate)
        import tensorflow as tf

        if isinstance(gradient, tf.IndexedSlices):
            return super().update_step(gradient, variable, learning_rate)
        dtype = variable.dtype
        step = ops.cast(self.iterations + 1, dtype)
        weight, momentum, velocity = (
            (each.value if isinstance(each, keras.Variable) else each).handle
            for each in (variable, self._momentums[index], self._velocities[index])
        )
        tf.raw_ops.ResourceApplyAdam(
            var=weight,
            m=momentum,
            v=velocity,
            beta1_power=tf.pow(ops.cast(self.beta_1, dtype), step),
            beta2_power=tf.pow(ops.cast(self.beta_2, dtype), step),
            lr=ops.cast(learning_rate, dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=ops.cast(gradient, dtype),
        )

    def get_config(self):
        return {**super().get_config(), "rate_multipliers": self.rate_multipliers}


def make_optimizer(
    variables, learning_rate, weight_decay, clip_norm=None, ema_momentum=None, gradient_accumulation_steps=None, **options
):
    """Makes AdamW (Adam with decoupled weight decay) with weight decay on kernels only.

    Norms, biases, embeddings, special tokens, positions, LayerScale and scales of scores are not decayed.

    Args:
        variables: list of `keras.Variable`, the trainable variables.
        learning_rate: float or `keras.optimizers.schedules.LearningRateSchedule`.
        weight_decay: float, 0 for none.
        clip_norm: float, the maximum global norm of the gradients; or `None`.
        ema_momentum: float in [0, 1), for a moving average of the weights; or `None`.
        gradient_accumulation_steps: int, the number of batches per update of the weights; or `None`.
        **options: further options of `FusedAdam`, such as `beta_2`, `epsilon` and `rate_multipliers`.

    Returns:
        A `FusedAdam`.

    Reference:
        Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization"; the exclusions follow Touvron et al. 2021
        (DeiT) and BEiT.
    """
    optimizer = FusedAdam(
        learning_rate,
        weight_decay=weight_decay or None,  # with 0 Keras would still compute it
        global_clipnorm=clip_norm,
        use_ema=ema_momentum is not None,
        ema_momentum=0.99 if ema_momentum is None else ema_momentum,
        gradient_accumulation_steps=None if gradient_accumulation_steps == 1 else gradient_accumulation_steps,
        **options,
    )
    # By variable, since name patterns select what to exclude, and everything but kernels is excluded.
    optimizer.exclude_from_weight_decay(var_list=[variable for variable in variables if "kernel" not in variable.name])
    return optimizer
