"""Encoders: the same frames give the same stream, and units that were encoded apart make one track."""

from __future__ import annotations

import contextlib
import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, make_clip, moving_square
from numpy.typing import NDArray

from coordinator.media import codecs
from coordinator.media.assemble import Units, assemble
from coordinator.media.codecs import EncoderSettings, add_encoder, check_size, choose_encoding, diet
from coordinator.media.colour import Colour, Converter
from coordinator.media.encode import UnitEncoder
from coordinator.media.hdr import ContentLight, MasteringDisplay
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import VideoFacts, inspect
from coordinator.media.timeline import Stamp
from framewire.errors import StepError
from framewire.steps.output import PRESETS

CODECS = ["h264", "hevc", "av1"]
SIZE = (128, 96)
BT2020_PQ = Colour(tag=9, range=1, primaries=9, transfer=16)
GRADED = MasteringDisplay(
    points=tuple(Fraction(n, 50_000) for n in (34_000, 16_000, 13_250, 34_500, 7500, 3000, 15_635, 16_450)),
    darkest=Fraction(1, 10_000),
    brightest=Fraction(1000),
)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> VideoFacts:
    clip = Clip(width=SIZE[0], height=SIZE[1], frames=2, sounds=())
    return inspect(make_clip(tmp_path_factory.mktemp("facts") / "in.mp4", clip)).video


def pictures(first: int, count: int, facts: VideoFacts, depth: int) -> list[av.VideoFrame]:
    converter, clip = Converter(facts.colour), Clip(width=SIZE[0], height=SIZE[1])
    frames = []
    for number in range(first, first + count):
        rgb = av.VideoFrame.from_ndarray(moving_square(clip, number), format="rgb24")
        frame = converter.to_yuv(rgb, depth=depth)
        frame.pts, frame.time_base = number * 512, facts.time_base
        frames.append(frame)
    return frames


def encode(path: Path, facts: VideoFacts, settings: EncoderSettings, frames: list[av.VideoFrame]) -> tuple[bytes, list]:
    """Description and packets of one unit."""
    with av.open(str(path), "w", format="mp4") as output:
        stream = add_encoder(output, facts, width=SIZE[0], height=SIZE[1], settings=settings)
        packets = [packet for frame in [*frames, None] for packet in stream.encode(frame)]
        kept = [(packet.pts, bytes(packet)) for packet in packets]
        for packet in packets:
            output.mux(packet)
        return stream.codec_context.extradata or b"", kept


def luma(frame: av.VideoFrame) -> NDArray[np.int64]:
    plane, kind = frame.planes[0], np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    return np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)[:, : plane.width].astype(int)


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_frames_give_the_same_stream(tmp_path: Path, facts: VideoFacts, codec: str) -> None:
    settings = EncoderSettings(codec=codec, crf=23)
    once, again = (
        encode(tmp_path / f"{name}.mp4", facts, settings, pictures(0, 30, facts, 8)) for name in ("once", "again")
    )
    assert once == again


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("codec", CODECS)
def test_units_follow_each_other_in_one_track(tmp_path: Path, facts: VideoFacts, codec: str, depth: int) -> None:
    # lossless, so that a frame that leans on another unit would show
    settings = EncoderSettings(codec=codec, crf=0, preset="superfast", depth=depth)
    source = make_clip(tmp_path / "in.mp4", Clip(width=SIZE[0], height=SIZE[1], frames=24, sounds=()))
    frames = [pictures(first, 12, facts, depth) for first in (0, 12)]
    units = [unit_of(tmp_path / f"{number}.unit", facts, settings, pictures) for number, pictures in enumerate(frames)]
    parts = Units(paths=[unit.path for unit in units], reordering=max(u.reordering for u in units), last_duration=512)
    assemble(tmp_path / "out.mp4", parts, source, facts, MediaLimits())
    with av.open(str(tmp_path / "out.mp4")) as result:
        decoded = list(result.decode(video=0))
    expected = [frame for unit in frames for frame in unit]
    assert [frame.pts for frame in decoded] == [number * 512 for number in range(24)]
    assert {frame.format.components[0].bits for frame in decoded} == {depth}
    for before, after in zip(expected, decoded, strict=True):
        assert np.array_equal(luma(before), luma(after))


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("codec", CODECS)
def test_units_have_one_description(tmp_path: Path, facts: VideoFacts, codec: str, depth: int) -> None:
    settings = EncoderSettings(codec=codec, depth=depth)
    one, other = (
        encode(tmp_path / f"{first}.mp4", facts, settings, pictures(first, count, facts, depth))
        for first, count in ((0, 30), (7, 3))
    )
    assert one[0] == other[0] != b""


def unit_of(path: Path, facts: VideoFacts, settings: EncoderSettings, frames: list[av.VideoFrame]) -> UnitEncoder:
    unit = UnitEncoder(path, facts, width=SIZE[0], height=SIZE[1], settings=settings)
    for frame in frames:
        unit.encode(frame, Stamp(pts=frame.pts or 0, duration=512))
    unit.close()
    return unit


@pytest.mark.parametrize("codec", CODECS)
def test_high_dynamic_range_is_written_into_the_stream(tmp_path: Path, facts: VideoFacts, codec: str) -> None:
    bright = dataclasses.replace(
        facts, depth=10, colour=BT2020_PQ, mastering=GRADED, light=ContentLight(most=1000, most_average=400)
    )
    path = tmp_path / "hdr.mp4"
    encode(path, bright, EncoderSettings(codec=codec, preset="ultrafast"), pictures(0, 3, bright, 10))
    found = inspect(path).video
    assert (found.depth, found.colour) == (10, BT2020_PQ)
    assert found.light == bright.light
    assert found.mastering is not None
    for before, after in zip(GRADED.points, found.mastering.points, strict=True):
        assert float(after) == pytest.approx(float(before), abs=1e-4)
    assert float(found.mastering.brightest) == pytest.approx(1000)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_where_chroma_lies_is_written_into_the_stream(tmp_path: Path, facts: VideoFacts, codec: str) -> None:
    sited = dataclasses.replace(facts, colour=dataclasses.replace(facts.colour, place="topleft"))
    encode(tmp_path / "out.mp4", sited, EncoderSettings(codec=codec), pictures(0, 3, sited, 8))
    assert inspect(tmp_path / "out.mp4").video.colour.place == "topleft"


def test_apple_finds_hevc_under_its_own_name(tmp_path: Path, facts: VideoFacts) -> None:
    encode(tmp_path / "out.mp4", facts, EncoderSettings(codec="hevc"), pictures(0, 3, facts, 8))
    assert b"hvc1" in (tmp_path / "out.mp4").read_bytes()


def test_every_preset_is_one_that_every_encoder_has(tmp_path: Path, facts: VideoFacts) -> None:
    for preset in PRESETS:
        for codec in CODECS:
            assert choose_encoding(EncoderSettings(codec=codec, preset=preset), facts).options


def test_without_a_gpu_it_is_encoded_in_software_and_said(facts: VideoFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "_opens", lambda encoder, depth: False)
    chosen = choose_encoding(EncoderSettings(codec="hevc", hardware=True), facts)
    assert chosen.encoder == "libx265"
    assert chosen.remarks == ("encoded in software (libx265): no GPU here can encode this",)


def test_with_a_gpu_it_is_encoded_there(facts: VideoFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "_opens", lambda encoder, depth: True)
    assert choose_encoding(EncoderSettings(codec="av1", hardware=True), facts).encoder == "av1_nvenc"
    assert choose_encoding(EncoderSettings(codec="h264", hardware=True, crf=0), facts).encoder == "libx264"


def test_depth_is_the_inputs_unless_asked_for(facts: VideoFacts) -> None:
    deep = dataclasses.replace(facts, depth=12, sampling="4:2:2")
    assert choose_encoding(EncoderSettings(), facts).depth == 8
    assert choose_encoding(EncoderSettings(depth=10), facts).depth == 10
    assert choose_encoding(EncoderSettings(), deep).depth == 10
    assert choose_encoding(EncoderSettings(depth=8), deep).remarks == (
        "the picture was reduced from 12 to 8 bits a sample",
        "colour was reduced from 4:2:2 to 4:2:0",
    )


@pytest.mark.parametrize("size", [(1920, 1080), (2560, 1440), (3840, 2160)])
@pytest.mark.parametrize("codec", CODECS)
def test_an_encoder_is_told_what_makes_it_fit_behind_what_the_settings_say(
    tmp_path: Path, facts: VideoFacts, codec: str, size: tuple[int, int]
) -> None:
    settings = EncoderSettings(codec=codec, preset="medium")
    with av.open(str(tmp_path / "out.mp4"), "w") as output:
        stream = add_encoder(output, facts, width=size[0], height=size[1], settings=settings)
        told = dict(stream.codec_context.options)
    name = {"h264": "x264-params", "hevc": "x265-params", "av1": "svtav1-params"}[codec]
    said = dict(choose_encoding(settings, facts).options).get(name, "")
    params = diet(facts, settings, pixels=size[0] * size[1]).params
    assert told.get(name, "") == ":".join(filter(None, (said, params)))


@pytest.mark.parametrize("crf", [0, 18])
@pytest.mark.parametrize("preset", ["ultrafast", "veryfast", "medium", "veryslow"])
@pytest.mark.parametrize("codec", CODECS)
def test_an_encoder_of_large_pictures_opens_at_every_preset(
    tmp_path: Path, facts: VideoFacts, codec: str, preset: str, crf: int
) -> None:
    with av.open(str(tmp_path / "out.mp4"), "w") as output:
        settings = EncoderSettings(codec=codec, preset=preset, crf=crf)
        stream = add_encoder(output, facts, width=2560, height=1600, settings=settings)  # 4.1 million pixels
        stream.codec_context.open()
        assert stream.codec_context.is_open


@pytest.mark.parametrize(
    ("codec", "width", "height", "fits"),
    [
        *(("hevc", 64, 14, False), ("hevc", 48, 64, False), ("hevc", 50, 16, True)),
        *(("av1", 64, 30, False), ("av1", 62, 64, False), ("av1", 64, 32, True), ("h264", 2, 2, True)),
    ],
)
def test_pictures_too_small_for_an_encoder_are_refused_before_it_sees_them(
    facts: VideoFacts, codec: str, width: int, height: int, fits: bool
) -> None:
    encoding = choose_encoding(EncoderSettings(codec=codec), facts)
    with contextlib.nullcontext() if fits else pytest.raises(StepError, match="ask for h264"):
        check_size(encoding, width, height)


@pytest.mark.parametrize(("codec", "width", "height"), [("hevc", 50, 16), ("av1", 64, 32)])
def test_the_smallest_pictures_an_encoder_is_given_it_writes(
    tmp_path: Path, facts: VideoFacts, codec: str, width: int, height: int
) -> None:
    path, settings = tmp_path / "unit.mp4", EncoderSettings(codec=codec, preset="ultrafast")
    unit = UnitEncoder(path, facts, width=width, height=height, settings=settings)
    for number in range(9):
        unit.encode(av.VideoFrame(width, height, "yuv420p"), Stamp(pts=number * 512, duration=512))
    unit.close()
    with av.open(str(path)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 9
