"""The optimizer that both kits train with."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="shared_layers")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam`, whose step of a weight is one operation where TensorFlow has it.

    Keras's own is 13 operations a weight, 2600 for a ViT: they are traced and optimised before the first step, and pass over
    memory one by one at every step. What TensorFlow has not (AMSGrad, sparse gradients of embeddings), and what runs on
    JAX, is Keras's.

    Args:
        rate_multipliers: dict, path of a variable -> float that its learning rate is multiplied by; 1 for all others.
        others: as `keras.optimizers.Adam`.
    """

    def __init__(self, *args, rate_multipliers=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.rate_multipliers = dict(rate_multipliers or {})

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        # a strategy hands over TensorFlow's variable, which has no path
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
    """Makes Adam whose decoupled weight decay (AdamW) is on kernels alone.

    Norms, biases, embeddings, tokens, positions, LayerScale and scales of scores do not decay.

    Args:
        variables: list of `keras.Variable`, what is to be trained.
        learning_rate: float or `keras.optimizers.schedules.LearningRateSchedule`.
        weight_decay: float, 0 for none.
        clip_norm: float, the most that the norm of all gradients together may be; or `None`.
        ema_momentum: float in [0, 1), of a moving average of the weights; or `None`.
        gradient_accumulation_steps: int, so many batches make one step of the optimizer; or `None`.
        **options: of `FusedAdam`, such as `beta_2` and `epsilon`, and `rate_multipliers`.

    Returns:
        `FusedAdam`.

    Reference:
        Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization"; what is left out follows Touvron et al. 2021
        (DeiT) and BEiT.
    """
    optimizer = FusedAdam(
        learning_rate,
        weight_decay=weight_decay or None,  # of 0 Keras would go through the motions
        global_clipnorm=clip_norm,
        use_ema=ema_momentum is not None,
        ema_momentum=0.99 if ema_momentum is None else ema_momentum,
        gradient_accumulation_steps=None if gradient_accumulation_steps == 1 else gradient_accumulation_steps,
        **options,
    )
    # By variable, since a pattern cannot say what it is not to find.
    optimizer.exclude_from_weight_decay(var_list=[variable for variable in variables if "kernel" not in variable.name])
    return optimizer
