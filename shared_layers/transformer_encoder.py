"""TransformerEncoder: self-attention and a feed-forward network, each on a residual branch."""

import keras

from shared_layers.drop_path import DropPath
from shared_layers.feed_forward import MLP, SwiGLU
from shared_layers.layer_normalization import LayerNormalization
from shared_layers.layer_scale import LayerScale
from shared_layers.masking import check_mask
from shared_layers.multi_head_attention import MultiHeadAttention
from shared_layers.runtime import check_sizes

FEED_FORWARD = {"mlp": MLP, "swiglu": SwiGLU}


@keras.saving.register_keras_serializable(package="shared_layers")
class TransformerEncoder(keras.layers.Layer):
    """One encoder layer, post-norm (BERT) or pre-norm (ViT).

    Drop-in replacement for KerasHub's `TransformerEncoder`: same arguments, same weights in the same order, same results.
    Adds LayerScale, stochastic depth, SwiGLU, rotary embedding and scores of the first rows only (`num_score_rows`).

    Args:
        intermediate_dim: int, width of the feed-forward network.
        num_heads: int, h; must divide the width d.
        dropout: float in [0, 1), on attention probabilities and on both branches.
        activation: name or callable, of the MLP.
        layer_norm_epsilon: float.
        kernel_initializer, bias_initializer: for every dense layer.
        normalize_first: bool, `True` for pre-norm, `False` for post-norm.
        attention_dropout: float in [0, 1), on attention probabilities; `None` for `dropout`.
        feed_forward: "mlp" or "swiglu".
        layer_scale_init: float, initial value of LayerScale; `None` for no LayerScale.
        drop_path: float in [0, 1), stochastic-depth rate of each branch.
        rotary_max_wavelength: number or `None`, as in `MultiHeadAttention`.

    Call arguments:
        inputs: float tensor (b, n, d).
        padding_mask: (b, n), nonzero = real token, not padding; by default the Keras mask.
        attention_mask: (b, n, n), nonzero = may attend; axes of size 1 broadcast.
        training: bool, whether dropout and stochastic depth are active.
        return_attention_scores: bool, whether to also return the attention probabilities.
        num_score_rows: int, with `return_attention_scores`: return only the rows of this many leading tokens.

    Returns:
        float tensor (b, n, d). With `return_attention_scores` a tuple: the output and the scores float32
        (b, h, n or `num_score_rows`, n).

    Raises:
        ValueError: sizes that are not positive or do not match, an unknown `feed_forward`, masks of another shape.

    Reference: Vaswani et al. 2017, section 3.1 (post-norm); Xiong et al. 2020 (pre-norm).
    """

    def __init__(
        self,
        intermediate_dim,
        num_heads,
        dropout=0.0,
        activation="relu",
        layer_norm_epsilon=1e-5,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        normalize_first=False,
        attention_dropout=None,
        feed_forward="mlp",
        layer_scale_init=None,
        drop_path=0.0,
        rotary_max_wavelength=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_sizes(intermediate_dim=intermediate_dim, num_heads=num_heads)
        if feed_forward not in FEED_FORWARD:
            raise ValueError(
                f"`feed_forward` should be one of {sorted(FEED_FORWARD)}. Received: feed_forward={feed_forward!r}"
            )
        self.intermediate_dim = intermediate_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.activation = keras.activations.get(activation)
        self.layer_norm_epsilon = layer_norm_epsilon
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.normalize_first = normalize_first
        self.attention_dropout = attention_dropout
        self.feed_forward = feed_forward
        self.layer_scale_init = layer_scale_init
        self.drop_path = drop_path
        self.rotary_max_wavelength = rotary_max_wavelength
        self.supports_masking = True

    def build(self, input_shape):
        width = input_shape[-1]
        if width % self.num_heads:
            raise ValueError(f"`num_heads` should divide the width {width}. Received: num_heads={self.num_heads}")
        initializers = {
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
            "dtype": self.dtype_policy,
        }
        self.attention = MultiHeadAttention(
            self.num_heads,
            width // self.num_heads,
            dropout=self.dropout if self.attention_dropout is None else self.attention_dropout,
            rotary_max_wavelength=self.rotary_max_wavelength,
            name="attention",
            **initializers,
        )
        self.attention.build(input_shape, input_shape)
        norm = {"epsilon": self.layer_norm_epsilon, "dtype": self.dtype_policy}
        self.attention_norm = LayerNormalization(name="attention_norm", **norm)
        self.attention_norm.build(input_shape)
        self.feed_forward_norm = LayerNormalization(name="feed_forward_norm", **norm)
        self.feed_forward_norm.build(input_shape)
        options = {"activation": self.activation} if self.feed_forward == "mlp" else {}
        self.feed_forward_layer = FEED_FORWARD[self.feed_forward](
            self.intermediate_dim, name="feed_forward", **options, **initializers
        )
        self.feed_forward_layer.build(input_shape)
        self.dropout_layer = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)
        self.drop_path_layer = DropPath(self.drop_path, dtype=self.dtype_policy)
        if self.layer_scale_init is not None:
            scale = {"init_value": self.layer_scale_init, "dtype": self.dtype_policy}
            self.attention_scale = LayerScale(name="attention_scale", **scale)
            self.attention_scale.build(input_shape)
            self.feed_forward_scale = LayerScale(name="feed_forward_scale", **scale)
            self.feed_forward_scale.build(input_shape)

    def call(
        self,
        inputs,
        padding_mask=None,
        attention_mask=None,
        training=None,
        return_attention_scores=False,
        num_score_rows=None,
    ):
        check_mask("padding_mask", padding_mask, tuple(inputs.shape)[:2])
        x = inputs
        branch = self.attention_norm(x) if self.normalize_first else x
        branch = self.attention(
            branch,
            branch,
            value_mask=padding_mask,
            attention_mask=attention_mask,
            training=training,
            return_attention_scores=return_attention_scores,
            num_score_rows=num_score_rows,
        )
        if return_attention_scores:
            branch, scores = branch
        x = self._add(x, branch, "attention_scale", training)
        x = x if self.normalize_first else self.attention_norm(x)

        branch = self.feed_forward_norm(x) if self.normalize_first else x
        branch = self.feed_forward_layer(branch, training=training)
        x = self._add(x, branch, "feed_forward_scale", training)
        x = x if self.normalize_first else self.feed_forward_norm(x)
        return (x, scores) if return_attention_scores else x

    def _add(self, x, branch, scale, training):
        """Adds a residual branch to x, after dropout, LayerScale and stochastic depth."""
        branch = self.dropout_layer(branch, training=training)
        if self.layer_scale_init is not None:
            branch = getattr(self, scale)(branch)
        return x + self.drop_path_layer(branch, training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "intermediate_dim": self.intermediate_dim,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "activation": keras.activations.serialize(self.activation),
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "normalize_first": self.normalize_first,
            "attention_dropout": self.attention_dropout,
            "feed_forward": self.feed_forward,
            "layer_scale_init": self.layer_scale_init,
            "drop_path": self.drop_path,
            "rotary_max_wavelength": self.rotary_max_wavelength,
        }

    def compute_output_shape(self, input_shape):
        return input_shape

    # traces `call`: Keras's default uses `compute_output_shape`, which gives only the output's shape
    compute_output_spec = keras.Operation.compute_output_spec
