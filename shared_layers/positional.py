"""Position embeddings: learned, sinusoidal (1-D and 2-D) and rotary; resampling to another length or grid."""

import math

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="shared_layers")
class PositionEmbedding(keras.layers.Layer):
    """Learned position embedding; same arguments and weight as KerasHub's.

    Args:
        sequence_length: int, the maximum sequence length.
        initializer: initializer of the table (sequence_length, d).

    Call arguments:
        inputs: float tensor (..., n, d), of which only the shape is used.
        start_index: int, position of the first token.
        positions: int tensor (n,) or (b, n), positions of the tokens; `None` for consecutive positions from `start_index`.

    Returns:
        float tensor of the inputs' shape, to add to them.

    Raises:
        ValueError: a `sequence_length` that is not a positive int, or longer inputs.

    Reference: Gehring et al. 2017, "Convolutional Sequence to Sequence Learning", section 3.1.
    """

    def __init__(self, sequence_length, initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        if not sequence_length or int(sequence_length) <= 0:
            raise ValueError(f"`sequence_length` should be a positive int. Received: sequence_length={sequence_length}")
        self.sequence_length = int(sequence_length)
        self.initializer = keras.initializers.get(initializer)
        self.supports_masking = True

    def build(self, input_shape):
        self.position_embeddings = self.add_weight(
            name="embeddings", shape=(self.sequence_length, input_shape[-1]), initializer=self.initializer
        )

    def call(self, inputs, start_index=0, positions=None):
        length = inputs.shape[-2]
        if positions is None and length is not None and length > self.sequence_length:
            raise ValueError(
                f"The inputs should have at most sequence_length={self.sequence_length} tokens. "
                f"Received: inputs.shape={tuple(inputs.shape)}"
            )
        table = ops.convert_to_tensor(self.position_embeddings)
        if positions is None:
            rows = ops.slice(table, (start_index, 0), (ops.shape(inputs)[-2], table.shape[-1]))
        else:
            rows = ops.take(table, positions, axis=0)
        return ops.broadcast_to(rows, ops.shape(inputs))

    def get_config(self):
        return {
            **super().get_config(),
            "sequence_length": self.sequence_length,
            "initializer": keras.initializers.serialize(self.initializer),
        }

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="shared_layers")
class SinePositionEncoding(keras.layers.Layer):
    """Sinusoidal position encoding: sines in even and cosines in odd channels; same arguments as KerasHub's.

    Args:
        max_wavelength: number, the longest wavelength divided by 2 pi, in tokens.

    Call arguments:
        inputs: float tensor (b, n, d), of which only the shape is used.
        start_index: int, position of the first token.
        positions: tensor (n,) or (b, n); `None` for consecutive positions from `start_index`.

    Returns:
        float tensor of the inputs' shape. Angles are computed in float32 whatever the dtype policy, since half precision
        is too coarse for positions beyond a few hundred (KerasHub computes them in the layer's dtype).

    Reference: Vaswani et al. 2017, section 3.5.
    """

    def __init__(self, max_wavelength=10000, **kwargs):
        super().__init__(**kwargs)
        self.max_wavelength = max_wavelength
        self.supports_masking = True

    def build(self, input_shape):
        self.built = True

    def call(self, inputs, start_index=0, positions=None):
        if positions is None:
            positions = ops.arange(ops.shape(inputs)[-2]) + start_index
        angles = _angles(positions, inputs.shape[-1], self.max_wavelength)
        is_odd = np.arange(inputs.shape[-1]) % 2 == 1
        encoding = ops.where(is_odd, ops.cos(angles), ops.sin(angles))
        return ops.broadcast_to(ops.cast(encoding, self.compute_dtype), ops.shape(inputs))

    def get_config(self):
        return {**super().get_config(), "max_wavelength": self.max_wavelength}

    def compute_output_shape(self, input_shape):
        return input_shape


def _angles(positions, width, max_wavelength):
    """Positions (..., n) -> angles (..., n, width), each frequency twice (for its sine and its cosine)."""
    frequencies = float(max_wavelength) ** -(2 * (np.arange(width) // 2) / width)
    return ops.cast(positions, "float32")[..., None] * frequencies.astype("float32")


@keras.saving.register_keras_serializable(package="shared_layers")
class SinePositionEncoding2D(keras.layers.Layer):
    """Sinusoidal position encoding of row and column, for a grid of tokens.

    The first half of the channels encodes the column, the second half the row; each half has sines first, then cosines.

    Args:
        max_wavelength: number, as in `SinePositionEncoding`.

    Call arguments:
        inputs: float tensor (b, rows, columns, d), of which only the shape is used.

    Returns:
        float tensor of the inputs' shape.

    Raises:
        ValueError: a width that is not a multiple of 4.

    Reference: Chen et al. 2021, "An Empirical Study of Training Self-Supervised Vision Transformers" (MoCo v3), with
    this order of channels; He et al. 2022 (MAE) uses the same.
    """

    def __init__(self, max_wavelength=10000, **kwargs):
        super().__init__(**kwargs)
        self.max_wavelength = max_wavelength

    def build(self, input_shape):
        if input_shape[-1] % 4:
            raise ValueError(f"The width should be a multiple of 4. Received: input_shape={tuple(input_shape)}")
        self.built = True

    def call(self, inputs):
        _, rows, columns, width = ops.shape(inputs)
        quarter = width // 4
        frequencies = (float(self.max_wavelength) ** -(np.arange(quarter) / quarter)).astype("float32")
        column = ops.cast(ops.arange(columns), "float32")[None, :, None] * frequencies  # (1, columns, d/4)
        row = ops.cast(ops.arange(rows), "float32")[:, None, None] * frequencies  # (rows, 1, d/4)
        parts = [ops.sin(column), ops.cos(column), ops.sin(row), ops.cos(row)]
        parts = [ops.broadcast_to(part, (rows, columns, quarter)) for part in parts]
        encoding = ops.cast(ops.concatenate(parts, axis=-1), self.compute_dtype)
        return ops.broadcast_to(encoding, ops.shape(inputs))

    def get_config(self):
        return {**super().get_config(), "max_wavelength": self.max_wavelength}

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="shared_layers")
class RotaryEmbedding(keras.layers.Layer):
    """Rotary position embedding (RoPE) of queries or keys; same arguments as KerasHub's.

    Rotates pairs of channels, i and i + d/2, by an angle proportional to the position.

    Args:
        max_wavelength: number, the base of the frequencies.
        scaling_factor: float, factor by which the context is extended.
        rope_type: "linear" (positions divided by the factor), "dynamic" (NTK-aware base) or "yarn".
        beta_fast, beta_slow: float, "yarn" only: numbers of rotations between which frequencies are interpolated.
        original_max_position_embeddings: int, "yarn" only: context length in pretraining, in tokens.
        truncate: bool, "yarn" only: whether to round the interpolation range to whole channels.
        sequence_axis, feature_axis: int, the axes of positions and of channels.
        denominator_dim: int, the width by which channel indices are divided, if only part of the channels is rotated;
            `None` for the inputs' width.

    Call arguments:
        inputs: float tensor (b, n, ..., d) or with the axes named above.
        start_index: int, position of the first token.
        positions: tensor (n,) or (b, n); `None` for consecutive positions from `start_index`.

    Returns:
        float tensor of the inputs' shape.

    Raises:
        ValueError: an unknown `rope_type`, an odd width, equal axes.

    Reference: Su et al. 2021, "RoFormer", section 3.2; Peng et al. 2023, "YaRN", sections 3.1 to 3.4.
    """

    def __init__(
        self,
        max_wavelength=10000,
        scaling_factor=1.0,
        rope_type="linear",
        beta_fast=32.0,
        beta_slow=1.0,
        original_max_position_embeddings=4096,
        truncate=True,
        sequence_axis=1,
        feature_axis=-1,
        denominator_dim=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if rope_type not in ("linear", "dynamic", "yarn"):
            raise ValueError(f"`rope_type` should be 'linear', 'dynamic' or 'yarn'. Received: rope_type={rope_type!r}")
        self.max_wavelength = max_wavelength
        self.scaling_factor = scaling_factor
        self.rope_type = rope_type
        self.beta_fast = beta_fast
        self.beta_slow = beta_slow
        self.original_max_position_embeddings = original_max_position_embeddings
        self.truncate = truncate
        self.sequence_axis = sequence_axis
        self.feature_axis = feature_axis
        self.denominator_dim = denominator_dim

    def build(self, input_shape):
        rank = len(input_shape)
        if input_shape[self.feature_axis] % 2:
            raise ValueError(
                f"The rotated width should be even. Received: {input_shape[self.feature_axis]} in {tuple(input_shape)}"
            )
        if self.sequence_axis % rank == self.feature_axis % rank:
            raise ValueError(
                "`sequence_axis` and `feature_axis` should differ. "
                f"Received: sequence_axis={self.sequence_axis}, feature_axis={self.feature_axis}, rank {rank}"
            )
        self.built = True

    def call(self, inputs, start_index=0, positions=None):
        axes = (self.feature_axis, self.sequence_axis)
        inputs = ops.moveaxis(inputs, axes, (-1, 1))  # (b, n, ..., d)
        width = inputs.shape[-1]
        if positions is None:
            positions = ops.arange(ops.shape(inputs)[1]) + start_index
        angles = ops.cast(positions, "float32")[..., None] * self._frequencies(width)  # (n or b n, d/2)
        angles = ops.concatenate([angles, angles], axis=-1)
        if len(angles.shape) == 2:
            angles = angles[None]
        for _ in range(len(inputs.shape) - 3):
            angles = ops.expand_dims(angles, 2)  # (1 or b, n, 1 ..., d)
        # YaRN section 3.4: attention temperature, here applied to queries and keys
        amplitude = 0.1 * math.log(self.scaling_factor) + 1.0 if self.rope_type == "yarn" else 1.0
        cosine = ops.cast(ops.cos(angles) * amplitude, inputs.dtype)
        sine = ops.cast(ops.sin(angles) * amplitude, inputs.dtype)
        first, second = ops.split(inputs, 2, axis=-1)
        rotated = inputs * cosine + ops.concatenate([-second, first], axis=-1) * sine
        return ops.moveaxis(rotated, (-1, 1), axes)

    def _frequencies(self, width):
        """Radians per position of each pair of channels: NumPy float32 (width / 2,)."""
        exponents = np.arange(0, width, 2) / (self.denominator_dim or width)
        plain = float(self.max_wavelength) ** -exponents
        if self.rope_type == "linear":
            return (plain / self.scaling_factor).astype("float32")
        if self.rope_type == "dynamic":
            return (plain / self.scaling_factor ** (width / max(1, width - 2))).astype("float32")

        def channel_of(rotations):  # the channel that makes this many rotations over the original context
            turns = self.original_max_position_embeddings / (rotations * 2 * math.pi)
            return width * math.log(turns) / (2 * math.log(self.max_wavelength))

        low, high = channel_of(self.beta_fast), channel_of(self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, width - 1)
        interpolated = np.clip((np.arange(width // 2) - low) / max(high - low, 1e-3), 0, 1)
        # as in KerasHub, whose yarn ignores `denominator_dim`
        plain = float(self.max_wavelength) ** -(np.arange(0, width, 2) / width)
        return (plain / self.scaling_factor * interpolated + plain * (1 - interpolated)).astype("float32")

    def get_config(self):
        return {
            **super().get_config(),
            "max_wavelength": self.max_wavelength,
            "scaling_factor": self.scaling_factor,
            "rope_type": self.rope_type,
            "beta_fast": self.beta_fast,
            "beta_slow": self.beta_slow,
            "original_max_position_embeddings": self.original_max_position_embeddings,
            "truncate": self.truncate,
            "sequence_axis": self.sequence_axis,
            "feature_axis": self.feature_axis,
            "denominator_dim": self.denominator_dim,
        }

    def compute_output_shape(self, input_shape):
        return input_shape


def resample_positions(table, length):
    """Resamples a table of position embeddings to another length, bicubically.

    Args:
        table: float tensor (n, d).
        length: int, the new number of positions.

    Returns:
        float tensor (length, d).
    """
    if table.shape[0] == length:
        return table
    return ops.matmul(ops.cast(_bicubic_weights(table.shape[0], length), table.dtype), table)


def resample_grid(table, old_grid, new_grid):
    """Resamples a table of position embeddings of a grid to another grid, bicubically.

    Args:
        table: float tensor (rows * columns, d), row by row.
        old_grid: (rows, columns) of the table.
        new_grid: (rows, columns) of the result, of any aspect ratio.

    Returns:
        float tensor (new rows * new columns, d).

    Raises:
        ValueError: a table whose length is not rows * columns of `old_grid`.

    Reference: Dosovitskiy et al. 2021, section 3.2 (which does not name the kernel). The kernel is that of DINOv2 and
    Hugging Face: Keys 1981 with a = -0.75, pixel centres at half integers, not antialiased.

    Example:

    >>> import numpy as np
    >>> from shared_layers import resample_grid
    >>> resample_grid(np.ones((6, 4), "float32"), (2, 3), (5, 7)).shape.as_list()
    [35, 4]
    """
    (rows, columns), (new_rows, new_columns) = old_grid, new_grid
    if table.shape[0] != rows * columns:
        raise ValueError(
            f"The table should hold {rows} x {columns} = {rows * columns} positions. Received: {table.shape[0]}"
        )
    if (rows, columns) == (new_rows, new_columns):
        return table
    width = table.shape[-1]
    by_row = ops.reshape(table, (rows, columns * width))
    by_row = ops.matmul(ops.cast(_bicubic_weights(rows, new_rows), table.dtype), by_row)
    by_column = ops.transpose(ops.reshape(by_row, (new_rows, columns, width)), (1, 0, 2))
    by_column = ops.reshape(by_column, (columns, new_rows * width))
    by_column = ops.matmul(ops.cast(_bicubic_weights(columns, new_columns), table.dtype), by_column)
    grid = ops.transpose(ops.reshape(by_column, (new_columns, new_rows, width)), (1, 0, 2))
    return ops.reshape(grid, (new_rows * new_columns, width))


def _bicubic_weights(old, new, a=-0.75):
    """Returns float32 (new, old): row i has the weights of the old samples in the new sample i; edges are repeated."""
    weights = np.zeros((new, old), "float64")
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    for row, centre in enumerate(centres):
        first = math.floor(centre) - 1
        for sample in range(first, first + 4):
            x = abs(centre - sample)
            near = (a + 2) * x**3 - (a + 3) * x**2 + 1
            far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
            weights[row, min(max(sample, 0), old - 1)] += near if x <= 1 else far
    return weights.astype("float32")
