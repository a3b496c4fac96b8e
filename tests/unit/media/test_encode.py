"""A unit's file by itself, and the result that is assembled of several."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.frame import PictureType
from clips import Clip, Sound, make_clip, moving_square, read_clip

from coordinator.media.assemble import Units, assemble
from coordinator.media.codecs import EncoderSettings
from coordinator.media.decode import CopiedPacket
from coordinator.media.encode import UnitEncoder, header_bytes
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import VideoFacts, inspect
from coordinator.media.timeline import Stamp
from framewire.errors import WorkerError

SETTINGS = EncoderSettings(preset="medium", threads=1)
"""With B-frames: decoding times before the first time stamp."""


def encode(path: Path, source: Path, facts: VideoFacts, pts: range) -> UnitEncoder:
    """The source's first frames, shown at `pts`, and all its sound."""
    with av.open(str(source)) as film:
        unit = UnitEncoder(
            path, facts, width=64, height=48, settings=SETTINGS, tracks=film.streams.audio, near=pts.start
        )
        frames = film.decode(video=0)
        for number in pts:
            frame = next(frames)
            frame.pict_type = PictureType.NONE  # the encoder would take the decoded frame's type for a wish
            unit.encode(frame, Stamp(pts=number, duration=1))
    with av.open(str(source)) as film:
        for packet in film.demux(film.streams.audio):
            if packet.size:
                unit.copy(CopiedPacket(packet.stream.index, packet))
        unit.close()
    return unit


def starting_at(source: Path, first_pts: int) -> VideoFacts:
    return dataclasses.replace(inspect(source).video, time_base=Fraction(1, 25), first_pts=first_pts)


def test_a_film_that_begins_before_zero_is_moved_in_its_units_and_as_a_whole_in_its_result(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=30, sounds=()), lambda clip, _: moving_square(clip, 0))
    facts = starting_at(source, -10)
    units = [
        encode(tmp_path / f"{number}.mp4", source, facts, pts)
        for number, pts in enumerate((range(-10, 5), range(5, 20)))
    ]
    shown = [read_clip(unit.path, pictures=False).video_pts for unit in units]
    assert shown == [[Fraction(n, 25) for n in range(15)], [Fraction(n, 25) for n in range(15, 30)]]
    whole = Units(
        paths=[unit.path for unit in units], reordering=max(unit.reordering for unit in units), last_duration=1
    )
    assert assemble(tmp_path / "out.mp4", whole, source, facts, MediaLimits()).frames == 30
    result = read_clip(tmp_path / "out.mp4", pictures=False).video_pts
    assert [time - result[0] for time in result] == [Fraction(n, 25) for n in range(30)]


def test_a_unit_says_how_far_its_encoder_reordered(tmp_path: Path) -> None:
    # a picture that stays: the encoder takes B-frames for it
    source = make_clip(tmp_path / "in.mp4", Clip(frames=30, sounds=()), lambda clip, _: moving_square(clip, 0))
    unit = encode(tmp_path / "unit.mp4", source, starting_at(source, 0), range(30))
    assert 1 <= unit.reordering <= 4
    data = unit.path.read_bytes()
    assert data[4:8] == b"ftyp"
    assert data[header_bytes(unit.path) + 4 :].startswith(b"moof")


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_a_unit_of_one_or_two_frames_has_them_all(tmp_path: Path, codec: str, count: int) -> None:
    # x265 reads memory that it has not written: several times, and what lies there is no zeros
    facts = inspect(make_clip(tmp_path / "in.mp4", Clip(frames=3, sounds=()))).video
    settings = EncoderSettings(codec=codec, preset="ultrafast")
    for number in range(8):
        left = [bytes([255 - number]) * (1 << size) for size in range(6, 20)]
        del left
        path = tmp_path / f"{number}.mp4"
        unit = UnitEncoder(path, facts, width=64, height=48, settings=settings)
        for pts in range(count):
            unit.encode(av.VideoFrame(64, 48, "yuv420p"), Stamp(pts=pts * 512, duration=512))
        unit.close()
        assert read_clip(path, pictures=False).video_pts == [Fraction(pts, 25) for pts in range(count)]


def test_a_result_that_lacks_a_frame_is_none(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=10, sounds=()))
    facts = starting_at(source, 0)
    unit = encode(tmp_path / "unit.mp4", source, facts, range(10))
    units = Units(paths=[unit.path], reordering=unit.reordering, last_duration=1, frames=11)
    with pytest.raises(WorkerError, match="10 of 11 frames"):
        assemble(tmp_path / "out.mp4", units, source, facts, MediaLimits())
    assert not (tmp_path / "out.mp4").exists()


def test_sound_that_a_fragment_cannot_describe_is_left_out_of_a_unit(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=25, sounds=(Sound(codec="ac3"), Sound())))
    unit = encode(tmp_path / "unit.mp4", source, starting_at(source, 0), range(25))
    with av.open(str(unit.path)) as film:
        assert [track.codec_context.name for track in film.streams.audio] == ["aac"]


def test_sound_far_from_the_pictures_of_its_time_is_left_out_of_a_unit(tmp_path: Path) -> None:
    # one second of sound beside pictures of the twentieth
    source = make_clip(tmp_path / "in.mp4", Clip(frames=25))
    unit = encode(tmp_path / "unit.mp4", source, starting_at(source, 0), range(500, 525))
    assert read_clip(unit.path, pictures=False).audio == [[]]


def test_an_aborted_unit_leaves_no_file(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=5, sounds=()))
    unit = UnitEncoder(tmp_path / "unit.part", starting_at(source, 0), width=64, height=48, settings=SETTINGS)
    with av.open(str(source)) as film:
        for number, frame in enumerate(film.decode(video=0)):
            unit.encode(frame, Stamp(pts=number, duration=1))
    unit.abort()
    unit.abort()
    assert not unit.path.exists()


def test_an_assembly_that_is_stopped_leaves_no_file(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=25))
    facts = starting_at(source, 0)
    unit = encode(tmp_path / "unit.mp4", source, facts, range(25))
    left = iter(range(10))

    def check() -> None:
        if next(left, None) is None:
            raise WorkerError("stopped")

    with pytest.raises(WorkerError, match="stopped"):
        assemble(
            tmp_path / "out.mp4",
            Units(paths=[unit.path], reordering=unit.reordering, last_duration=1),
            source,
            facts,
            MediaLimits(),
            check=check,
        )
    assert not (tmp_path / "out.mp4").exists()
