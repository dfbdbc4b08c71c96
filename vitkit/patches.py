"""Patch embedding: pictures to tokens, with special tokens and position embeddings."""

import keras
from keras import ops

from shared_layers import resample_grid
from shared_layers.runtime import check_sizes


@keras.saving.register_keras_serializable(package="vitkit")
class PatchTokens(keras.layers.Layer):
    """Splits pictures into patches, projects each to a token, adds position embeddings and prepends special tokens.

    The order of tokens is class, distillation, registers, patches row by row. The class and distillation tokens have
    position embeddings; registers have none.

    Args:
        patch_size: int, side of a patch in pixels, p.
        hidden_dim: int, width of the tokens, d.
        grid: (rows, columns) of patches that the table of position embeddings is for; for pictures of another size the
            table is resampled bicubically.
        use_class_token, use_distillation_token: bool, whether to add these tokens.
        num_register_tokens: int, the number of register tokens.

    Call arguments:
        images: float tensor (b, H, W, channels); H and W are multiples of `patch_size`.

    Returns:
        float tensor (b, special + H/p * W/p, d).

    Raises:
        ValueError: sizes that are not positive, a picture whose sides are not multiples of `patch_size`.

    Reference: Dosovitskiy et al. 2021, section 3.1; Touvron et al. 2021 (DeiT), section 4 (distillation token); Darcet et
    al. 2023, section 2.2 (registers).
    """

    def __init__(
        self,
        patch_size,
        hidden_dim,
        grid,
        use_class_token=True,
        use_distillation_token=False,
        num_register_tokens=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_sizes(patch_size=patch_size, hidden_dim=hidden_dim)
        self.patch_size = patch_size
        self.hidden_dim = hidden_dim
        self.grid = tuple(grid)
        self.use_class_token = use_class_token
        self.use_distillation_token = use_distillation_token
        self.num_register_tokens = num_register_tokens

    def build(self, input_shape):
        small = keras.initializers.TruncatedNormal(stddev=0.02)
        self.projection = keras.layers.Conv2D(
            self.hidden_dim,
            self.patch_size,
            strides=self.patch_size,
            data_format="channels_last",
            dtype=self.dtype_policy,
            name="projection",
        )
        self.projection.build(input_shape)
        self.num_placed = int(self.use_class_token) + int(self.use_distillation_token)
        tokens = {"class_token": self.use_class_token, "distillation_token": self.use_distillation_token}
        for name, used in tokens.items():
            if used:
                setattr(self, name, self.add_weight(name=name, shape=(1, self.hidden_dim), initializer=small))
        if self.num_register_tokens:
            self.register_tokens = self.add_weight(
                name="register_tokens", shape=(self.num_register_tokens, self.hidden_dim), initializer=small
            )
        rows, columns = self.grid
        self.position_embeddings = self.add_weight(
            name="position_embeddings", shape=(self.num_placed + rows * columns, self.hidden_dim), initializer=small
        )

    def call(self, images):
        height, width = images.shape[1:3]
        check_divides(self.patch_size, height, width)
        batch, rows, columns = ops.shape(images)[0], height // self.patch_size, width // self.patch_size
        patches = ops.reshape(self.projection(images), (batch, rows * columns, self.hidden_dim))
        positions = ops.convert_to_tensor(self.position_embeddings)
        patches = patches + resample_grid(positions[self.num_placed :], self.grid, (rows, columns))
        front = [getattr(self, name) for name in ("class_token", "distillation_token") if hasattr(self, name)]
        front = [token + positions[place : place + 1] for place, token in enumerate(front)]
        if self.num_register_tokens:
            front.append(ops.convert_to_tensor(self.register_tokens))
        if not front:
            return patches
        front = ops.concatenate(front, axis=0)[None]  # (1, special, d)
        front = ops.broadcast_to(front, (batch, *front.shape[1:]))
        return ops.concatenate([ops.cast(front, patches.dtype), patches], axis=1)

    def get_config(self):
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "hidden_dim": self.hidden_dim,
            "grid": self.grid,
            "use_class_token": self.use_class_token,
            "use_distillation_token": self.use_distillation_token,
            "num_register_tokens": self.num_register_tokens,
        }

    def compute_output_shape(self, input_shape):
        special = int(self.use_class_token) + int(self.use_distillation_token) + self.num_register_tokens
        rows, columns = input_shape[1] // self.patch_size, input_shape[2] // self.patch_size
        return (input_shape[0], special + rows * columns, self.hidden_dim)


def check_divides(patch_size, height, width):
    """Checks that both sides of a picture are multiples of the patch size.

    Args:
        patch_size: int, in pixels.
        height, width: int, in pixels.

    Raises:
        ValueError: a side that is unknown or not a multiple of `patch_size`.
    """
    if not height or not width or height % patch_size or width % patch_size:
        raise ValueError(
            f"The picture's height and width should be multiples of patch_size={patch_size}. "
            f"Received: height={height}, width={width}"
        )
