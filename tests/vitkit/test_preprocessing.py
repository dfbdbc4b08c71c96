import io
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from vitkit.preprocessing import normalize, prepare, read_image, resample, to_image_shape, to_picture

HEIGHT, WIDTH = 11, 13
HALVES = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


class TestReadImage:
    def test_rgb_file_is_read_as_it_is(self, tmp_path):
        pixels = noise(HEIGHT, WIDTH, 3)
        Image.fromarray(pixels).save(tmp_path / "a.png")
        for source in (tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes()):
            image = read_image(source)
            assert image.dtype == np.uint8
            np.testing.assert_array_equal(image, pixels)

    def test_grey_becomes_three_equal_channels(self):
        grey = noise(HEIGHT, WIDTH)
        np.testing.assert_array_equal(read_image(encoded(Image.fromarray(grey))), np.repeat(grey[..., None], 3, axis=2))

    def test_black_and_white(self):
        bits = noise(HEIGHT, WIDTH) > 127
        image = read_image(encoded(Image.fromarray(bits)))
        np.testing.assert_array_equal(image, np.repeat(255 * bits[..., None], 3, axis=2))

    def test_cmyk_jpeg(self):
        image = Image.new("CMYK", (WIDTH, HEIGHT), (0, 255, 255, 0))
        red = read_image(encoded(image, "JPEG", quality=95))
        assert red.shape == (HEIGHT, WIDTH, 3)
        np.testing.assert_allclose(red, np.broadcast_to([255, 0, 0], red.shape), atol=3)

    def test_palette(self):
        image = Image.new("P", (2, 1))
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.putpixel((1, 0), 1)
        np.testing.assert_array_equal(read_image(encoded(image)), [[[10, 20, 30], [40, 50, 60]]])

    def test_transparent_is_laid_over_white(self):
        clear, half, full = [0, 0, 0, 0], [0, 0, 0, 128], [0, 0, 0, 255]
        image = read_image(encoded(Image.fromarray(np.array([[clear, half, full]], "uint8"))))
        np.testing.assert_array_equal(image[0, :, 0], [255, 127, 0])

    @pytest.mark.parametrize("mode", ["P", "L", "RGB"])
    def test_one_transparent_colour_is_laid_over_white(self, mode):
        image = Image.new(mode, (2, 1))
        if mode == "P":
            image.putpalette([0, 0, 0, 40, 50, 60])
        image.putpixel((1, 0), (40, 50, 60) if mode == "RGB" else 1)
        transparent = (0, 0, 0) if mode == "RGB" else 0
        pixels = read_image(encoded(image, transparency=transparent))
        np.testing.assert_array_equal(pixels[0, 0], [255, 255, 255])
        assert pixels[0, 1].max() < 255

    def test_grey_with_alpha(self):
        image = Image.fromarray(np.array([[[100, 255], [100, 0]]], "uint8"), "LA")
        np.testing.assert_array_equal(read_image(encoded(image))[0, :, 1], [100, 255])

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_16_bit_grey_keeps_the_upper_8_bits(self, kind):
        deep = np.array([[0, 255, 256, 32768, 65535]], "uint16")
        np.testing.assert_array_equal(read_image(encoded(Image.fromarray(deep), kind))[0, :, 2], [0, 0, 1, 128, 255])

    def test_16_bit_colour_keeps_the_upper_8_bits(self):
        deep = np.array([[[0, 256, 65535]]], "uint16")
        np.testing.assert_array_equal(read_image(tf.io.encode_png(deep).numpy()), [[[0, 1, 255]]])

    @pytest.mark.parametrize("dtype", ["int32", "float32"])
    def test_32_bit_is_stretched(self, dtype):
        values = np.array([[-2, 0, 2]], dtype)
        np.testing.assert_array_equal(read_image(encoded(Image.fromarray(values), "TIFF"))[0, :, 0], [0, 127, 255])

    def test_constant_float_is_black(self):
        image = Image.fromarray(np.full((2, 3), 7, "float32"))
        np.testing.assert_array_equal(read_image(encoded(image, "TIFF")), np.zeros((2, 3, 3)))

    @pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
    def test_animation_gives_its_first_frame(self, kind):
        red, blue = (Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("red", "blue"))
        options = {"lossless": True} if kind == "WEBP" else {}
        animation = encoded(red, kind, save_all=True, append_images=[blue], **options)
        assert Image.open(io.BytesIO(animation)).n_frames == 2
        np.testing.assert_array_equal(read_image(animation), np.array(red))

    def test_one_pixel(self):
        np.testing.assert_array_equal(read_image(encoded(Image.new("RGB", (1, 1), "lime"))), [[[0, 255, 0]]])

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_exif_orientation(self, orientation, kind):
        exif = Image.Exif()
        exif[0x0112] = orientation
        ramp = np.arange(HEIGHT)[:, None] * 7 + np.arange(WIDTH) * 13
        data = encoded(Image.fromarray(np.stack([ramp, ramp // 2, ramp // 3], 2).astype("uint8")), kind, exif=exif)
        expected = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
        assert expected.shape[:2] == ((WIDTH, HEIGHT) if orientation > 4 else (HEIGHT, WIDTH))
        np.testing.assert_array_equal(read_image(data), expected)

    def test_corrupt_exif_does_not_warn(self):
        filters = list(warnings.filters)
        promised_but_missing = b"Exif\0\0II*\0\x08\0\0\0\x05\0"
        data = encoded(Image.fromarray(noise(HEIGHT, WIDTH, 3)), "JPEG", exif=promised_but_missing)
        with pytest.warns(UserWarning, match="Corrupt EXIF"):
            Image.open(io.BytesIO(data)).getexif()
        assert read_image(data).shape == (HEIGHT, WIDTH, 3)
        assert warnings.filters == filters

    def test_100_megapixels_are_read_without_a_warning(self):
        image = read_image(encoded(Image.new("1", (12_500, 8_000), 1), "TIFF", compression="group4"))
        assert image.shape == (8_000, 12_500, 3)
        assert image[-1, -1, -1] == 255

    @pytest.mark.parametrize(("size", "max_pixels"), [((13, 11), 142), ((20_000, 10_000), 178_956_970)])
    def test_more_than_max_pixels_are_refused(self, size, max_pixels, tmp_path):
        Image.new("1", size).save(tmp_path / "big.tif", compression="group4")
        with pytest.raises(ValueError, match=rf"at most {max_pixels} pixels. Received: source=.*big.tif$"):
            read_image(tmp_path / "big.tif", max_pixels)

    def test_as_many_as_max_pixels_are_read(self):
        assert read_image(encoded(Image.new("1", (13, 11))), 143).shape == (11, 13, 3)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
    def test_truncated_file_is_refused_in_one_line(self, kind, tmp_path):
        data = encoded(Image.fromarray(noise(97, 89, 3)), kind)
        for share in (0.1, 0.5, 0.9):
            path = tmp_path / f"{share}.bin"
            path.write_bytes(data[: int(share * len(data))])
            with pytest.raises(ValueError, match=rf"Expected a valid picture. Received: source=.*{share}") as caught:
                read_image(path)
            assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("data", [b"", b"no picture at all", bytes(1000)])
    def test_what_is_no_picture_is_refused(self, data):
        with pytest.raises(ValueError, match=rf"Expected a valid picture. Received: source={len(data)} bytes \(not a pic"):
            read_image(data)

    def test_damaged_png_is_refused(self):
        data = bytearray(encoded(Image.fromarray(noise(HEIGHT, WIDTH, 3))))
        data[len(data) // 2] ^= 0xFF
        with pytest.raises(ValueError, match="Expected a valid picture"):
            read_image(bytes(data))

    def test_missing_file_is_named(self):
        with pytest.raises(FileNotFoundError, match=r"no_such.jpg"):
            read_image("no_such.jpg")


class TestPrepare:
    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
    @pytest.mark.parametrize("size", [(5, 7), (29, 31), (5, 31)])
    def test_resizes_as_pillow_does(self, interpolation, size):
        pictures = noise(2, HEIGHT, WIDTH, 3)
        resized = to_image_shape(pictures, (*size, 3), interpolation).numpy()
        for picture, result in zip(pictures, resized, strict=True):
            for channel in range(3):
                plane = Image.fromarray(picture[..., channel].astype("float32"))
                expected = plane.resize(size[::-1], Image.Resampling[interpolation.upper()])
                np.testing.assert_allclose(result[..., channel], np.clip(expected, 0, 255), atol=2e-3)

    @pytest.mark.parametrize("picture_size", [(41, 59), (59, 41), (17, 19), (1, 1)])
    def test_crop_resizes_the_shorter_side_and_takes_the_middle(self, picture_size):
        picture = noise(1, *picture_size, 3)
        result = to_image_shape(picture, (14, 14, 3), "bicubic", "crop", 14 / 16).numpy()[0]
        height, width = picture_size
        size = 16 * height // min(picture_size), 16 * width // min(picture_size)
        top, left = (size[0] - 14) // 2, (size[1] - 14) // 2
        for channel in range(3):
            plane = Image.fromarray(picture[0, ..., channel].astype("float32"))
            expected = np.clip(plane.resize(size[::-1], Image.Resampling.BICUBIC), 0, 255)
            np.testing.assert_allclose(result[..., channel], expected[top : top + 14, left : left + 14], atol=2e-3)

    def test_crop_to_another_shape_covers_it(self):
        picture = np.zeros((1, 30, 90, 3), "uint8")
        picture[:, :, 30:60] = 255  # a square
        result = to_image_shape(picture, (10, 20, 3), "bilinear", "crop", 1.0).numpy()[0, ..., 0]
        np.testing.assert_allclose(result[:, 6:14], 255, atol=0.1)
        np.testing.assert_allclose(result[:, [0, 1, 2, 3, 16, 17, 18, 19]], 0, atol=0.1)

    def test_normalises(self):
        picture = np.array([[[[0, 51, 255]]]], "uint8")
        prepared = prepare(picture, (1, 1, 3), mean=(0.5, 0.1, 0.4), std=(0.5, 0.2, 0.3)).numpy()
        np.testing.assert_allclose(prepared, [[[[-1, 0.5, 2]]]], atol=1e-6)
        assert prepared.dtype == np.float32

    def test_normalize_alone_agrees(self):
        np.testing.assert_allclose(normalize(np.float32([[0, 127.5, 255]]), **HALVES), [[-1, 0, 1]], atol=1e-6)

    @pytest.mark.parametrize("dtype", ["float16", "float32"])
    def test_floats_pass_untouched(self, dtype):
        images = np.zeros((2, 5, 7, 3), dtype)
        assert prepare(images, (4, 4, 3), **HALVES) is images

    def test_pictures_of_the_right_size_are_only_normalised(self):
        pictures = noise(2, 5, 7, 3)
        expected = pictures.astype("float32") / 127.5 - 1
        np.testing.assert_allclose(prepare(pictures, (5, 7, 3), **HALVES), expected, atol=1e-6)

    @pytest.mark.parametrize("resize", ["squash", "crop"])
    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
    def test_graph_of_unknown_size_agrees(self, resize, interpolation):
        options = {"interpolation": interpolation, "resize": resize, **HALVES}
        graph = tf.function(
            lambda images: prepare(images, (6, 10, 3), **options),
            input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)],
        )
        for size in ((6, 10), (11, 13), (1, 1), (3, 29)):
            pictures = noise(2, *size, 3)
            result = graph(pictures)
            assert result.shape == (2, 6, 10, 3)
            np.testing.assert_allclose(result, prepare(pictures, (6, 10, 3), **options), atol=1e-6)

    @pytest.mark.parametrize("images", [noise(5, 7, 3), noise(2, 5, 7, 1), noise(2, 5, 7, 3).astype("int32"), [[1, 2]]])
    def test_other_arrays_are_refused(self, images):
        shape = ", ".join(map(str, np.shape(images)))
        with pytest.raises(ValueError, match=rf"Expected pictures \(b, H, W, 3\).* shape \({shape}\) and dtype"):
            prepare(images, (4, 4, 3), **HALVES)

    def test_unknown_options_are_refused(self):
        with pytest.raises(ValueError, match="Unknown interpolation; did you mean 'bicubic'"):
            prepare(noise(1, 5, 7, 3), (4, 4, 3), interpolation="bicubik", **HALVES)
        with pytest.raises(ValueError, match="Unknown resize; did you mean 'squash'"):
            prepare(noise(1, 5, 7, 3), (4, 4, 3), resize="squish", **HALVES)
        for fraction in (0, 1.5):
            with pytest.raises(ValueError, match=rf"fraction in \(0, 1\]. Received: crop_fraction={fraction}"):
                prepare(noise(1, 5, 7, 3), (4, 4, 3), resize="crop", crop_fraction=fraction, **HALVES)


class TestToPicture:
    @pytest.mark.parametrize("resize", ["squash", "crop"])
    @pytest.mark.parametrize("size", [(47, 71), (71, 47), (9, 11)])
    def test_a_slope_comes_back(self, resize, size):
        """A plane survives bilinear resizing, but for its rim: there and back, it is where it was."""
        rows, columns = np.mgrid[: size[0], : size[1]].astype("float32")
        pictures = np.stack([rows, columns, 0 * rows], axis=2)[None]
        seen = to_image_shape(pictures, (19, 23, 3), resize=resize, crop_fraction=0.8)
        back = to_picture(seen[0, ..., 0][None], size, resize, 0.8).numpy()[0]
        back_columns = to_picture(seen[0, ..., 1][None], size, resize, 0.8).numpy()[0]
        ones = to_picture(np.ones((1, 19, 23)), size, resize, 0.8).numpy()[0]
        inner = np.zeros(size, bool)
        rim = 3 + max(size) // 19
        inside_rows, inside_columns = np.flatnonzero(ones.any(1)), np.flatnonzero(ones.any(0))
        inner[inside_rows[rim:-rim, None], inside_columns[rim:-rim]] = True
        assert inner.any()
        np.testing.assert_allclose(back[inner], rows[inner], atol=0.05)
        np.testing.assert_allclose(back_columns[inner], columns[inner], atol=0.05)

    def test_what_was_cropped_is_zero(self):
        # 30 x 60 to 15 x 30, of which 10 x 10 is seen, from (2, 10): from (4, 20) in the picture.
        back = to_picture(np.ones((2, 10, 10)), (30, 60), "crop", 10 / 15).numpy()
        expected = np.zeros((2, 30, 60))
        expected[:, 4:24, 20:40] = 1
        np.testing.assert_allclose(back, expected, atol=1e-6)

    def test_squash_covers_the_whole_picture(self):
        np.testing.assert_allclose(to_picture(np.ones((1, 5, 7)), (13, 3)), np.ones((1, 13, 3)), atol=1e-6)

    def test_same_size_is_unchanged(self):
        maps = np.random.default_rng(0).random((2, 5, 7)).astype("float32")
        np.testing.assert_allclose(to_picture(maps, (5, 7)), maps, atol=1e-6)

    @pytest.mark.parametrize("resize", ["squash", "crop"])
    def test_graph_of_unknown_size_agrees(self, resize):
        graph = tf.function(
            lambda maps, size: to_picture(maps, size, resize),
            input_signature=[tf.TensorSpec((None, None, None)), tf.TensorSpec((2,), tf.int32)],
        )
        maps = np.random.default_rng(0).random((2, 5, 7)).astype("float32")
        np.testing.assert_allclose(graph(maps, np.array((17, 29), "int32")), to_picture(maps, (17, 29), resize), atol=1e-6)


def test_resample_moves_by_the_translation():
    images = np.zeros((1, 3, 5, 1), "float32")
    images[0, 1, 2] = 1
    moved = resample(images, (6, 10), (1.0, 1.0), (3.0, 4.0)).numpy()[0, ..., 0]
    assert moved[4, 6] == 1
    assert moved.sum() == 1
