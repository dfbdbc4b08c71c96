"""Layers that vision and text Transformers share.

Axis letters in docstrings and shape comments: b batch, n tokens, q / k query and key lengths, h heads, d width, e and v
width of one head's keys and values, l layers, c classes, H / W picture height and width.
"""

from shared_layers.startup import quiet_command

with quiet_command():
    from shared_layers.attention import Attention
    from shared_layers.drop_path import DropPath
    from shared_layers.feed_forward import MLP, SwiGLU, gelu_approximate
    from shared_layers.layer_normalization import LayerNormalization
    from shared_layers.layer_scale import LayerScale
    from shared_layers.linear import Linear
    from shared_layers.masking import causal_mask, combine_masks, sliding_window_mask
    from shared_layers.multi_head_attention import MultiHeadAttention
    from shared_layers.positional import (
        PositionEmbedding,
        RotaryEmbedding,
        SinePositionEncoding,
        SinePositionEncoding2D,
        resample_grid,
        resample_positions,
    )
    from shared_layers.scores import (
        additive,
        concat,
        dot,
        general,
        hard_sample,
        hard_topk,
        reinforce,
        scaled_dot,
        soft,
    )
    from shared_layers.transformer_decoder import TransformerDecoder
    from shared_layers.transformer_encoder import TransformerEncoder

__all__ = [
    "MLP",
    "Attention",
    "DropPath",
    "LayerNormalization",
    "LayerScale",
    "Linear",
    "MultiHeadAttention",
    "PositionEmbedding",
    "RotaryEmbedding",
    "SinePositionEncoding",
    "SinePositionEncoding2D",
    "SwiGLU",
    "TransformerDecoder",
    "TransformerEncoder",
    "additive",
    "causal_mask",
    "combine_masks",
    "concat",
    "dot",
    "gelu_approximate",
    "general",
    "hard_sample",
    "hard_topk",
    "reinforce",
    "resample_grid",
    "resample_positions",
    "scaled_dot",
    "sliding_window_mask",
    "soft",
]
