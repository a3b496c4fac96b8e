"""What x265 wrote under number 0, under another number: the same pictures."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from coordinator.media.cut.hevc import PPS, SPS, VPS, HevcConfiguration
from coordinator.media.cut.nal import escaped, split, unescaped

START = b"\0\0\0\1"
ANY = HevcConfiguration(head=bytes(22), arrays=())


@pytest.fixture(scope="module")
def stream() -> list[bytes]:
    """NAL units of 8 frames of 96x64 HEVC, noise, so that bytes need escaping."""
    encoder = av.CodecContext.create("libx265", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 96, 64, "yuv420p", Fraction(1, 25)
    encoder.options = {"preset": "ultrafast", "crf": "4", "x265-params": "log-level=error:bframes=2"}
    noise = np.random.default_rng(1)
    packets = []
    for number in range(8):
        frame = av.VideoFrame.from_ndarray(noise.integers(0, 255, (96, 96), np.uint8), format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    return split(b"".join(map(bytes, [*packets, *encoder.encode(None)])))


def _pictures(nals: list[bytes]) -> list[bytes]:
    decoder = av.CodecContext.create("hevc", "r")
    frames = [
        frame for packet in decoder.parse(b"".join(START + nal for nal in nals)) for frame in decoder.decode(packet)
    ]
    for packet in decoder.parse(None):
        frames += decoder.decode(packet)
    return [frame.to_ndarray().tobytes() for frame in [*frames, *decoder.decode(None)]]


@pytest.mark.parametrize("number", [15, 22, 30])
def test_a_renumbered_stream_shows_the_same(stream: list[bytes], number: int) -> None:
    renumbered = [ANY.numbered(nal, number) for nal in stream]
    assert renumbered != stream
    assert len(_pictures(stream)) == 8
    assert _pictures(renumbered) == _pictures(stream)


def test_what_is_renumbered_says_so(stream: list[bytes]) -> None:
    sets = {nal[0] >> 1 & 63: ANY.numbered(nal, 20) for nal in stream if ANY.is_set(nal)}
    assert set(sets) == {VPS, SPS, PPS}
    said = ANY.parameters_of(sets[SPS])
    assert said is not None
    assert said.number == 15
    film = HevcConfiguration(head=bytes(22), arrays=tuple((kind, (nal,)) for kind, nal in sets.items()))
    with pytest.raises(ValueError, match="taken"):
        film.free_number()  # twice is once too often


def test_a_number_that_is_not_0_is_not_touched(stream: list[bytes]) -> None:
    [pps] = [nal for nal in stream if nal[0] >> 1 & 63 == PPS][:1]
    with pytest.raises(ValueError, match="number 0"):
        ANY.numbered(ANY.numbered(pps, 20), 20)


@pytest.mark.parametrize("plain", [b"\0\0\0\0\1", b"\1\0\0\2\0\0\3", b"\0\0\4\0\0", bytes(9)])
def test_bytes_that_look_like_a_start_code_are_escaped_and_back(plain: bytes) -> None:
    assert b"\0\0\0" not in escaped(plain)
    assert b"\0\0\1" not in escaped(plain)
    assert unescaped(escaped(plain)) == plain
