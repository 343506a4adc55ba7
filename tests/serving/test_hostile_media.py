# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Bombs, halves, wrong kinds, archives and polyglots: each is told what is wrong, and none stays in memory."""

import base64
import gzip
import io
import struct
import zipfile
import zlib

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.serving.rows import encoded_picture, encoded_sound


def png_of(width, height):
    """A PNG that says it has so many pixels, all of them zero: some kilobytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    line = b"\0" * (1 + (width + 7) // 8)
    pixels = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zipped(name, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def svg():
    return b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'


def wav_that_lies():
    """A header that promises four gigabytes."""
    sound = bytearray(encoded_sound())
    sound[40:44] = struct.pack("<I", 0xFFFFFFF0)
    return bytes(sound)


HOSTILE = {
    "bomb": ("image", png_of(40_000, 40_000)),
    "bomb of many bytes": ("image", png_of(4000, 4000)),
    "nothing": ("image", b""),
    "one byte": ("image", b"\x89"),
    "half a picture": ("image", encoded_picture()[:-40]),
    "a header alone": ("image", encoded_picture()[:33]),
    "half a JPEG": ("image", encoded_picture("JPEG")[:200]),
    "no pixels": ("image", png_of(0, 10)),
    "strip": ("image", png_of(10_000, 2)),
    "pillar": ("image", png_of(1, 300_000)),
    "text": ("image", b"hello"),
    "sound as picture": ("image", encoded_sound()),
    "archive in an archive": ("image", zipped("a.zip", zipped("b.png", encoded_picture()))),
    "gzipped": ("image", gzip.compress(encoded_picture())),
    "SVG that reads files": ("image", svg()),
    "PostScript": ("image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\nshowpage\n"),
    "TIFF": ("image", encoded_picture("TIFF")),
    "GIF": ("image", encoded_picture("GIF")),
    "picture as sound": ("audio", encoded_picture()),
    "empty sound": ("audio", b""),
    "half a header": ("audio", encoded_sound()[:20]),
    "no samples": ("audio", encoded_sound(seconds=0)),
    "too long": ("audio", encoded_sound(seconds=6)),
    "too many samples a second": ("audio", encoded_sound(seconds=0.001, rate=1_000_003)),
}
# strange, but what they say they are
SOUND = {
    "strip": ("image", png_of(400, 10)),
    "polyglot": ("image", encoded_picture() + zipped("a.html", b"<script>")),
    "one pixel": ("image", png_of(1, 1)),
    "more promised than there is": ("audio", wav_that_lies()),
}


def post(client, modality, content):
    return client.post("/predict", json={modality: base64.b64encode(content).decode()})


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_media_are_refused_with_a_reason(client, name):
    modality, content = HOSTILE[name]
    for answer in (
        post(client, modality, content),
        client.post("/predict", data={modality: (io.BytesIO(content), "../../etc/passwd")}),
    ):
        assert (answer.status_code, answer.content_type) == (422, "application/problem+json"), name
        assert answer.json["errors"][0]["pointer"] == f"/{modality}"
        assert answer.json["errors"][0]["detail"]


@pytest.mark.parametrize("name", SOUND)
def test_strange_media_are_read(client, name):
    assert post(client, *SOUND[name]).status_code == 200, name


def test_memory_comes_back(client):
    """Each bomb would take 200 MB and more if it were decoded."""
    own = psutil.Process()
    post(client, "image", encoded_picture())
    before = own.memory_info().rss
    for _ in range(5):
        for modality, content in HOSTILE.values():
            post(client, modality, content)
    assert own.memory_info().rss - before < 150e6


VALID = {
    "png": ("image", encoded_picture()),
    "jpeg": ("image", encoded_picture("JPEG")),
    "webp": ("image", encoded_picture("WEBP")),
    "wav": ("audio", encoded_sound()),
}


@pytest.mark.parametrize("name", VALID)
def test_changed_bytes_never_bring_it_down(client, name):
    modality, content = VALID[name]

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(
        changes=st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), min_size=1, max_size=8),
        length=st.integers(1, len(content)),
    )
    def change(changes, length):
        changed = bytearray(content)
        for place, value in changes:
            changed[place] = value
        for candidate in (bytes(changed), bytes(changed[:length])):
            answer = post(client, modality, candidate)
            assert answer.status_code in (200, 422)
            assert answer.status_code == 200 or answer.content_type == "application/problem+json"

    change()
    assert Image.MAX_IMAGE_PIXELS  # nobody has switched Pillow's own guard off
    assert client.get("/readyz").status_code == 200
