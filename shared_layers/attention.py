"""Attention: single-head attention with a choice of score functions and of soft or hard selection."""

import keras
from keras import ops

from shared_layers.masking import causal_mask, check_mask, combine_masks
from shared_layers.runtime import check_sizes, unknown_name
from shared_layers.scores import GRADIENTS, additive, concat, dot, general, hard_sample, hard_topk, scaled_dot, soft

SCORE_MODES = ("dot", "scaled_dot", "general", "additive", "concat", "concat_linear")
PROJECTED = ("additive", "concat")
SELECTIONS = ("soft", "hard_topk", "hard_sample")


@keras.saving.register_keras_serializable(package="shared_layers")
class Attention(keras.layers.Layer):
    """Single-head attention with a choice of score functions and of soft or hard selection of keys.

    Drop-in replacement for `keras.layers.Attention` (score modes "dot" and "concat") and `keras.layers.AdditiveAttention`
    (`score_mode="additive"`): same call, same weights in the same order, same results. Differences:

    - more score functions, hard selection, and a single query (b, d) without a query axis;
    - returned scores are the float32 attention weights before dropout; a query with all keys masked gets zero scores and
      zero output (Keras: the softmax without the mask);
    - `key_mask`, if there is a key, masks keys like `value_mask` (Keras ignores it).

    Args:
        use_scale: bool, whether to learn the vector v of "additive" and of "concat" with `units` (otherwise ones), the
            scalar s of w sum tanh(s (q + k)) for "concat" without `units`, and a scalar factor for the other scores.
            `None` means `True` for "additive" and if `units` is given.
        score_mode: str, the score of a query q and a key k, one of
            "dot": q . k,
            "scaled_dot": q . k / sqrt(d),
            "general": q . (W k),
            "additive": v . tanh(W q + U k), without `units` v . tanh(q + k),
            "concat": v . tanh(W [q; k]) with W stored as two matrices, without `units` Keras's w sum tanh(q + k),
            "concat_linear": w . [q; k].
        dropout: float in [0, 1), on the attention weights.
        seed: int or `None`, for dropout and sampling.
        units: int, output width of the learned projections of "additive" and "concat"; `None` for no projections.
        selection: "soft" (softmax), "hard_topk" or "hard_sample" (samples in training, takes the top keys at inference).
        num_selected: int, hard selections only: the number of keys per query.
        renormalize: bool, "hard_topk" only: weight the chosen keys by the softmax over them instead of by 1.
        gradient: "straight_through" or "reinforce", "hard_sample" only; see `shared_layers.hard_sample`.
        kernel_initializer: initializer of W, U, w and v.

    Call arguments:
        inputs: list [query, value] or [query, value, key]: float tensors (b, q, d) or (b, d), (b, k, d'), (b, k, d'').
        mask: list [query_mask, value_mask] or [query_mask, value_mask, key_mask], each bool or `None`; by default the Keras
            masks. query_mask (b, q) or (b,): zero output where `False`; value_mask (b, k) or (b, q, k), key_mask (b, k):
            `True` = may be attended to.
        training: bool, whether dropout and sampling are active.
        return_attention_scores: bool, whether to also return the attention weights.
        use_causal_mask: bool, query i attends only to keys 0 .. i.
        return_log_probability: bool, "hard_sample" only: whether to also return the log-probability of each query's sample,
            for `shared_layers.reinforce`.
        keys_are_projected: bool, whether the key is the output of `project_keys`, which a decoder calls once for all steps.

    Returns:
        output (b, q, d') or (b, d'). With `return_attention_scores` or `return_log_probability` a tuple: the output, the
        scores float32 (b, q, k) or (b, k), and the log-probabilities float32 (b, q) or (b,), zero where `query_mask` is
        `False`.

    Raises:
        ValueError: an unknown name, sizes that are not positive, an option of another score mode or selection, `inputs` or
            `mask` that are not a list of two or three, a mask of another shape, projected keys without a key; "reinforce"
            in training without `return_log_probability`, as the scores would get no gradient.

    Reference: Bahdanau et al. 2015, appendix A.1.2; Luong et al. 2015, section 3.1; Xu et al. 2015, section 4.

    Example:

    >>> import numpy as np
    >>> from shared_layers import Attention
    >>> state, memory = np.ones((2, 8), "float32"), np.ones((2, 5, 8), "float32")
    >>> context, scores = Attention(score_mode="additive", units=3)([state, memory], return_attention_scores=True)
    >>> context.shape.as_list(), scores.shape.as_list()
    ([2, 8], [2, 5])
    """

    def __init__(
        self,
        use_scale=None,
        score_mode="dot",
        dropout=0.0,
        seed=None,
        units=None,
        selection="soft",
        num_selected=1,
        renormalize=False,
        gradient="straight_through",
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        for kind, name, names in (
            ("score_mode", score_mode, SCORE_MODES),
            ("selection", selection, SELECTIONS),
            ("gradient", gradient, GRADIENTS),
        ):
            if name not in names:
                raise unknown_name(kind, name, names)
        check_sizes(num_selected=num_selected, units=1 if units is None else units)
        if units is not None and score_mode not in PROJECTED:
            raise ValueError(
                f"`units` is an option of the score modes {PROJECTED}. Received: units={units}, score_mode={score_mode!r}"
            )
        for name, value, default, selections in (
            ("num_selected", num_selected, 1, ("hard_topk", "hard_sample")),
            ("renormalize", renormalize, False, ("hard_topk",)),
            ("gradient", gradient, "straight_through", ("hard_sample",)),
        ):
            if value != default and selection not in selections:
                raise ValueError(
                    f"`{name}` is an option of the selection {' or '.join(map(repr, selections))}. "
                    f"Received: {name}={value!r}, selection={selection!r}"
                )
        self.use_scale = (score_mode == "additive" or units is not None) if use_scale is None else use_scale
        self.score_mode = score_mode
        self.dropout = dropout
        self.seed = seed
        self.units = units
        self.selection = selection
        self.num_selected = num_selected
        self.renormalize = renormalize
        self.gradient = gradient
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.dropout_layer = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy)
        if selection == "hard_sample":
            self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        check_list("inputs", input_shape)
        query_width, key_width = input_shape[0][-1], input_shape[-1][-1]

        def weight(name, *shape):
            # a clone: an initializer object returns the same values at each call
            initializer = keras.initializers.get(keras.initializers.serialize(self.kernel_initializer)) if shape else "ones"
            return self.add_weight(name=name, shape=shape, initializer=initializer)

        if self.score_mode == "general":
            self.kernel = weight("kernel", query_width, key_width)
        elif self.score_mode == "concat_linear":
            self.kernel = weight("kernel", query_width + key_width, 1)
        elif self.units is not None:
            self.query_kernel = weight("query_kernel", query_width, self.units)
            self.key_kernel = weight("key_kernel", key_width, self.units)
        if self.use_scale:
            has_vector = self.score_mode == "additive" or self.units is not None
            self.scale = weight("scale", self.units or query_width) if has_vector else weight("scale")
        if self.score_mode == "concat" and self.units is None:
            self.concat_score_weight = weight("concat_score_weight")

    def project_keys(self, key):
        """Projects the keys: U k for "additive" and "concat" with `units`; otherwise the keys unchanged.

        Args:
            key: float tensor (b, k, d'').

        Returns:
            float tensor (b, k, units) or (b, k, d'').
        """
        return key if self.units is None else ops.matmul(key, self.key_kernel)

    def call(
        self,
        inputs,
        mask=None,
        training=None,
        return_attention_scores=False,
        use_causal_mask=False,
        return_log_probability=False,
        keys_are_projected=False,
    ):
        query, value, *key = check_list("inputs", inputs)
        query_mask, value_mask, *key_mask = (None, None) if mask is None else check_list("mask", mask)
        if return_log_probability and self.selection != "hard_sample":
            raise ValueError(
                "`return_log_probability` is an option of the selection 'hard_sample'. "
                f"Received: return_log_probability=True, selection={self.selection!r}"
            )
        if training and self.selection == "hard_sample" and self.gradient == "reinforce" and not return_log_probability:
            raise ValueError(
                "With `gradient='reinforce'` the scores get their gradient only from the log-probability: pass "
                "return_log_probability=True and use `shared_layers.reinforce`. "
                "Received: training=True, return_log_probability=False"
            )
        if keys_are_projected and not key:
            raise ValueError("Projected keys should be the third input. Received: keys_are_projected=True, two inputs")
        check_mask("query_mask", query_mask, tuple(query.shape)[:-1])
        has_one_query = len(query.shape) == 2
        if has_one_query:
            query = ops.expand_dims(query, 1)  # (b, d) -> (b, 1, d)
            query_mask = None if query_mask is None else ops.expand_dims(query_mask, 1)
        key = key[0] if key else value
        key = key if keys_are_projected else self.project_keys(key)

        scores = self._score(query, key)  # (b, q, k)
        mask = self._mask(scores, value_mask, *key_mask, use_causal_mask=use_causal_mask)
        weights, log_probability = self._select(scores, mask, training)
        output = ops.matmul(self.dropout_layer(ops.cast(weights, value.dtype), training=training), value)  # (b, q, d')
        if query_mask is not None:
            query_mask = ops.cast(query_mask, "bool")
            output = ops.where(query_mask[..., None], output, 0)

        results = [output]
        if return_attention_scores:
            results.append(weights)
        if return_log_probability:
            results.append(log_probability if query_mask is None else ops.where(query_mask, log_probability, 0.0))
        results = tuple(result[:, 0] for result in results) if has_one_query else tuple(results)
        return results if len(results) > 1 else results[0]

    def _score(self, query, key):
        """(b, q, d) and (b, k, d'') or projected keys -> (b, q, k)."""
        scale = self.scale if self.use_scale else None
        if self.units is not None:
            return additive(query, key, scale, self.query_kernel)
        if self.score_mode == "additive":
            return additive(query, key, scale)
        if self.score_mode == "concat":
            # v is a scalar times ones
            inner = 1.0 if scale is None else scale
            return self.concat_score_weight * additive(inner * query, inner * key)
        if self.score_mode in ("general", "concat_linear"):
            scores = {"general": general, "concat_linear": concat}[self.score_mode](query, key, self.kernel)
        else:
            scores = {"dot": dot, "scaled_dot": scaled_dot}[self.score_mode](query, key)
        return scores if scale is None else scores * scale

    def _mask(self, scores, value_mask, key_mask=None, *, use_causal_mask):
        """Combines the masks on keys to one that broadcasts to the scores (b, q, k), or `None`."""
        b, q, k = scores.shape
        check_mask("value_mask", value_mask, (b, k), (b, q, k))
        check_mask("key_mask", key_mask, (b, k))
        masks = [causal_mask(*ops.shape(scores)[1:]) if use_causal_mask else None]
        for mask in (value_mask, key_mask):
            masks.append(mask if mask is None or len(mask.shape) == 3 else ops.expand_dims(mask, 1))  # (b, 1, k)
        return combine_masks(*masks)

    def _select(self, scores, mask, training):
        """Scores (b, q, k) -> weights (b, q, k) and the log-probability (b, q) of the sample, or `None`."""
        if self.selection == "hard_sample":
            return hard_sample(scores, self.num_selected, mask, training, self.gradient, self.seed_generator)
        if self.selection == "hard_topk":
            return hard_topk(scores, self.num_selected, mask, self.renormalize), None
        return soft(scores, mask), None

    def compute_mask(self, inputs, mask=None):
        return None if mask is None else mask[0]

    def get_config(self):
        return {
            **super().get_config(),
            "use_scale": self.use_scale,
            "score_mode": self.score_mode,
            "dropout": self.dropout,
            "seed": self.seed,
            "units": self.units,
            "selection": self.selection,
            "num_selected": self.num_selected,
            "renormalize": self.renormalize,
            "gradient": self.gradient,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }

    def compute_output_shape(self, input_shape):
        return (*input_shape[0][:-1], input_shape[1][-1])

    # traces `call`: Keras's default uses `compute_output_shape`, which gives only the output's shape
    compute_output_spec = keras.Operation.compute_output_spec


def check_list(name, items):
    """Checks that the items, or their shapes, are a list of two or three, and returns them."""
    is_list = isinstance(items, (list, tuple)) and not isinstance(items[-1], int)  # the shape of one tensor is a tuple too
    if not is_list or len(items) not in (2, 3):
        wanted = {"inputs": "[query, value] or [query, value, key]", "mask": "[query_mask, value_mask] or with a key_mask"}
        received = f"a list of {len(items)}" if is_list else f"one of shape {tuple(getattr(items, 'shape', items))}"
        raise ValueError(f"`{name}` should be a list {wanted[name]}. Received: {name}={received}")
    return items
