# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Clips from anywhere to frames, and what is wrong with those that cannot be used."""

import io
import itertools

import av
import numpy as np
import pytest
import torch
from PIL import Image

from hf_multimodal.modeling.video_opening import VideoError, encode_video, open_video, sample_frames

COUNT = 20
# Frame i is grey of 12 i, with a red corner at the top left.
FRAMES = np.repeat(np.arange(COUNT, dtype=np.uint8) * 12, 48 * 64 * 3).reshape(COUNT, 48, 64, 3).copy()
FRAMES[:, :24, :32] = (255, 0, 0)


def encode(container, codec, pixel_format="yuv420p", frames=FRAMES):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixel_format
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return buffer.getvalue()


MP4 = encode("mp4", "libx264")


def greys(frames):
    return frames[:, 40, 50, 0].astype(int)


@pytest.mark.parametrize(
    ("container", "codec", "pixel_format"),
    [
        ("mp4", "libx264", "yuv420p"),
        ("webm", "libvpx-vp9", "yuv420p"),
        ("matroska", "mpeg4", "yuv420p"),
        ("avi", "mpeg4", "yuv420p"),
        ("mpegts", "mpeg2video", "yuv420p"),
        ("apng", "apng", "rgb24"),
    ],
)
def test_frames_at_equal_distances_in_any_container(container, codec, pixel_format, tmp_path):
    encoded = encode(container, codec, pixel_format)
    (tmp_path / "clip").write_bytes(encoded)
    for value in (encoded, tmp_path / "clip", {"bytes": encoded, "path": None}, {"path": str(tmp_path / "clip")}):
        frames = open_video(value, num_frames=5)
        assert frames.shape == (5, 48, 64, 3)
        assert frames.dtype == np.uint8
        np.testing.assert_allclose(greys(frames), [0, 60, 120, 168, 228], atol=4)
    assert frames[2, 10, 10, 0] > 200 > 80 > frames[2, 10, 10, 1]  # the red corner: RGB, the right way up


def test_gif():
    buffer = io.BytesIO()
    pictures = [Image.fromarray(frame) for frame in FRAMES]
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:])
    np.testing.assert_allclose(greys(open_video(buffer.getvalue(), num_frames=3)), [0, 120, 228], atol=4)


def test_choice_of_frames():
    assert sample_frames(20, 5) == [0, 5, 10, 14, 19]
    assert sample_frames(8, 8) == list(range(8))
    assert sample_frames(100, 1) == [0]
    assert sample_frames(3, 5) == [0, 1, 2, 2, 2]  # the last one is repeated
    assert sample_frames(1, 2) == [0, 0]


@pytest.mark.parametrize(
    "value",
    [MP4, FRAMES, list(FRAMES), [Image.fromarray(frame) for frame in FRAMES]],
    ids=["encoded", "array", "arrays", "images"],
)
def test_a_short_clip_repeats_its_last_frame(value):
    found = greys(open_video(value, num_frames=23))
    np.testing.assert_allclose(found[:20], 12 * np.arange(20), atol=4)
    assert set(np.abs(found[20:] - found[19])) == {0}


@pytest.mark.parametrize("frames", [FRAMES[:1], FRAMES[[3, 3, 3]], FRAMES[[0, 0, 0, 5]]])
def test_encoding_keeps_frames_that_are_the_same(frames):
    np.testing.assert_array_equal(open_video(encode_video(frames), num_frames=len(frames)), frames)


def test_a_trimmed_clip():
    """Its lead-in is there to decode the rest, and marked to be thrown away (an edit list)."""
    trimmed = io.BytesIO()
    with av.open(io.BytesIO(MP4)) as source, av.open(trimmed, "w", format="mp4") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                shift = round(0.2 / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = stream
                target.mux(packet)
    frames = open_video(trimmed.getvalue(), num_frames=2)
    np.testing.assert_allclose(greys(frames), [60, 228], atol=4)  # five frames of 25 a second are gone


def test_titles_in_other_encodings():
    titled = io.BytesIO()
    with av.open(titled, "w", format="avi") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        file.metadata["title"] = "Maller"
        for frame in FRAMES:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    frames = open_video(titled.getvalue().replace(b"Maller", b"M\xfcller"), num_frames=2)
    np.testing.assert_allclose(greys(frames), [0, 228], atol=4)


def test_a_codec_that_is_not_known():
    clip = encode("avi", "mjpeg", "yuvj420p")
    with pytest.raises(VideoError, match="encoded in a way that is not known"):
        open_video(clip.replace(b"MJPG", b"ZZZZ"), num_frames=2)


def test_arrays_and_frames_are_taken_as_they_are():
    expected = FRAMES[[0, 10, 19]]
    tensor = torch.from_numpy(FRAMES)
    arrays = (FRAMES, FRAMES.transpose(0, 3, 1, 2), tensor, tensor.permute(0, 3, 1, 2))
    for value in (*arrays, list(FRAMES), *map(encode_video, arrays), encode_video(list(FRAMES))):
        np.testing.assert_array_equal(open_video(value, num_frames=3), expected)


def test_a_clip_filmed_sideways_is_turned():
    frames = open_video(rotate_header(MP4), num_frames=2)
    assert frames.shape == (2, 64, 48, 3)
    red = frames[1, :, :, 0].astype(int) - frames[1, :, :, 1] > 100
    assert red[:32, 24:].mean() > 0.9  # a quarter turn to the right takes the top left to the top right
    assert red[32:].mean() < 0.1


def rotate_header(encoded):
    """Writes a quarter turn to the right into the track header's matrix (ISO 14496-12, 8.3.2)."""
    start = encoded.index(b"tkhd") + 4 + 4 + 20 + 8 + 8  # version, times and ids, reserved, layer to volume
    quarter = [0, 0x10000, 0, -0x10000, 0, 0, 48 << 16, 0, 0x40000000]
    matrix = b"".join(value.to_bytes(4, "big", signed=True) for value in quarter)
    return encoded[:start] + matrix + encoded[start + len(matrix) :]


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
WAVE = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00@\x1f\x00\x00\x80>\x00\x00\x02\x00\x10\x00data"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "the clip holds no bytes"),
        (b"no clip at all", "not a clip that can be read, or it is damaged"),
        (PLAYLIST, "not a clip that can be read"),
        (WAVE, "not a clip that can be read"),
        (MP4[: len(MP4) // 2], "not a clip that can be read, or it is damaged"),
        (MP4[:600] + bytes(300) + MP4[900:], "damaged"),
        ("https://example.com/a.mp4", "is a URL, and URLs are not read"),
        ("nowhere.mp4", "there is no file 'nowhere.mp4'. Correct the path, or use None for an absent clip"),
        (7, "a value of type int is not a clip"),
        ({"bytes": None, "path": None}, "a value of type NoneType is not a clip"),
        ([], "the clip has no frames"),
        (np.zeros((0, 4, 4, 3), np.uint8), "is not a clip. Give uint8 values"),
        (np.zeros((2, 4, 4, 3)), "an array of dtype float64"),
        (["frame.png"], "a frame cannot be used: there is no file"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)], "frames are of different sizes"),
    ],
    ids=itertools.count(),
)
def test_what_it_refuses(value, message):
    with pytest.raises(VideoError, match=message):
        open_video(value, num_frames=2)


def test_limits_are_checked_before_decoding():
    with pytest.raises(VideoError, match=r"frames are 64 x 48 = 3,072 pixels, over the limit of 3,000"):
        open_video(MP4, num_frames=2, max_pixels=3000)
    with pytest.raises(VideoError, match=r"longer than 0 s or 100,000 frames"):
        open_video(MP4, num_frames=2, max_seconds=0.5)
    assert open_video(MP4, num_frames=2, max_seconds=0.8).shape == (2, 48, 64, 3)


def test_errors_name_the_file(tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"bad")
    with pytest.raises(VideoError, match=r"bad\.mp4': this is not a clip"):
        open_video(str(tmp_path / "bad.mp4"), num_frames=2)


def test_what_cannot_be_encoded():
    with pytest.raises(VideoError, match="a value of type int has no frames"):
        encode_video(3)
