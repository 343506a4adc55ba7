# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Opening images: every accepted kind, every mode to RGB, and every refusal."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from hf_multimodal.modeling.image_opening import SAFE_FORMATS, ImageError, open_image

RED = (200, 30, 40)


def encode(image, image_format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=image_format, **options)
    return buffer.getvalue()


def png_that_claims(width, height):
    """A PNG whose header claims a size, and which holds no pixels."""

    def chunk(kind, payload):
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.fixture
def image():
    return Image.new("RGB", (6, 4), RED)


def test_kinds_of_value(image, tmp_path):
    path = tmp_path / "image.png"
    image.save(path)
    blob = encode(image)
    values = [image, np.asarray(image), blob, bytearray(blob), memoryview(blob), path, str(path)]
    values += [{"bytes": blob, "path": None}, {"bytes": blob, "path": "gone.png"}, {"bytes": None, "path": str(path)}]
    for value in values:
        opened = open_image(value)
        assert opened.mode == "RGB"
        assert opened.size == (6, 4)
        assert opened.getpixel((5, 3)) == RED


def test_argument_is_left_alone(image):
    opened = open_image(image)
    opened.putpixel((0, 0), (0, 0, 0))
    assert image.getpixel((0, 0)) == RED


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
def test_array_shapes(shape):
    opened = open_image(np.full(shape, 255, dtype=np.uint8))
    assert opened.size == (6, 4)
    assert opened.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("image_format", SAFE_FORMATS)
def test_formats(image, image_format):
    opened = open_image(encode(image, image_format))
    assert opened.mode == "RGB"
    assert opened.getpixel((3, 2)) == pytest.approx(RED, abs=8)  # JPEG and WEBP lose a little.


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 255), (77, 77, 77)),
        ("LA", (77, 0), (255, 255, 255)),
        ("RGBA", (*RED, 255), RED),
        ("RGBA", (*RED, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 127), (128, 128, 128)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("HSV", (0, 0, 99), (99, 99, 99)),
        # 16-bit full scale is 8-bit full scale: 65535 / 257 = 255.
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 257 * 50, (50, 50, 50)),
        ("I", 257 * 50, (50, 50, 50)),
        ("I", 1_000_000, (255, 255, 255)),
        ("F", 0.25, (0, 0, 0)),
    ],
)
def test_modes(mode, colour, expected):
    opened = open_image(Image.new(mode, (3, 3), colour))
    assert opened.mode == "RGB"
    assert opened.getpixel((1, 1)) == expected


def test_float_images_are_stretched():
    ramp = Image.fromarray(np.array([[-1.0, 0.0, 1.0]], dtype=np.float32))
    assert [open_image(ramp).getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


def test_not_a_number_becomes_zero():
    holes = Image.fromarray(np.array([[np.nan, 0.0, 1.0]], dtype=np.float32))
    assert open_image(holes).getpixel((0, 0)) == (0, 0, 0)


def test_palette_with_transparency():
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([0, 0, 0, *RED])
    palette.putpixel((1, 0), 1)
    opened = open_image(encode(palette, transparency=0))
    assert opened.getpixel((0, 0)) == (255, 255, 255)
    assert opened.getpixel((1, 0)) == RED


def test_sixteen_bit_png():
    deep = Image.fromarray(np.array([[0, 65535]], dtype=np.uint16))
    opened = open_image(encode(deep))
    assert [opened.getpixel((x, 0)) for x in (0, 1)] == [(0, 0, 0), (255, 255, 255)]


def test_exif_orientation():
    image = Image.new("RGB", (6, 4), RED)
    exif = Image.Exif()
    exif[0x0112] = 6  # The camera was turned by 90 degrees.
    assert open_image(encode(image, "JPEG", exif=exif)).size == (4, 6)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_is_passed_over(image):
    blob = encode(image, "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")
    assert open_image(blob).size == (6, 4)


def test_header_is_checked_before_decoding():
    with pytest.raises(ImageError, match=r"9000 x 8000 = 72,000,000 pixels, over the limit of 50,000,000\. Resize it"):
        open_image(png_that_claims(9_000, 8_000))


def test_max_pixels_is_inclusive(image):
    assert open_image(image, max_pixels=24).size == (6, 4)
    with pytest.raises(ImageError, match=r"6 x 4 = 24 pixels, over the limit of 23"):
        open_image(encode(image), max_pixels=23)
    with pytest.raises(ImageError, match="over the limit of 23"):
        open_image(np.asarray(image), max_pixels=23)


def test_pillows_own_warning_does_not_matter():
    blob = png_that_claims(10_000, 10_000)  # Over Pillow's warning limit of 89 million pixels.
    for action in ("error", "default"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter(action)
            with pytest.raises(ImageError, match="over the limit"):
                open_image(blob)
        assert not caught


def test_far_too_large_for_pillow():
    with pytest.raises(ImageError, match=r"far too large to decode.*Resize it"):
        open_image(png_that_claims(60_000, 60_000), max_pixels=10**12)


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_zero_size(size):
    with pytest.raises(ImageError, match=rf"no pixels: it is {size[0]} x {size[1]}.*None for an absent image"):
        open_image(Image.new("RGB", size))
    with pytest.raises(ImageError, match="no pixels"):
        open_image(np.zeros((size[1], size[0], 3), dtype=np.uint8))


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_truncated(image_format):
    noise = np.random.RandomState(0).randint(0, 256, size=(40, 40, 3), dtype=np.uint8)
    blob = encode(Image.fromarray(noise), image_format)
    with pytest.raises(ImageError, match=r"(truncated or damaged|header is damaged|not an image).*(Write|Convert)"):
        open_image(blob[: len(blob) // 2])


def test_no_bytes():
    with pytest.raises(ImageError, match=r"holds no bytes.*drop the row"):
        open_image(b"")


@pytest.mark.parametrize("blob", [b"this is text", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_other_formats(blob):
    with pytest.raises(ImageError, match=r"not an image in one of the formats that are read: PNG, JPEG.*Convert it"):
        open_image(blob)


def test_url():
    with pytest.raises(ImageError, match=r"'https://example.com/a.png' is a URL.*give its bytes or its file"):
        open_image("https://example.com/a.png")


def test_missing_file(tmp_path):
    with pytest.raises(ImageError, match=r"there is no file '.*gone.png'.*None for an absent image"):
        open_image(tmp_path / "gone.png")


def test_folder(tmp_path):
    with pytest.raises(ImageError, match=r"cannot be read.*readable file"):
        open_image(tmp_path)


def test_empty_mapping():
    with pytest.raises(ImageError, match=r"keys \['bytes', 'path'\] has neither 'bytes' nor 'path'"):
        open_image({"bytes": None, "path": None})


@pytest.mark.parametrize("value", [5, None, ["a.png"]])
def test_other_types(value):
    with pytest.raises(ImageError, match=rf"type {type(value).__name__} is not an image\. Give a PIL image"):
        open_image(value)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4, 3), np.float32), np.zeros((3, 5, 5), np.uint8), np.zeros((4,), np.uint8)]
)
def test_other_arrays(array):
    with pytest.raises(ImageError, match=r"an array of dtype .* and shape .* is not an image\. Give uint8"):
        open_image(array)
