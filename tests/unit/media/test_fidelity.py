"""The report that proves what a job did."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import Clip, Sound, make_clip

from coordinator.media.fidelity import Work, fidelity_report
from coordinator.media.limits import MediaLimits
from coordinator.media.passengers import LeftOut
from coordinator.media.probe import inspect
from framewire.v1.job_pb2 import FidelityReport


def compare(before: Path, after: Path, frames: int = 25) -> FidelityReport:
    return fidelity_report(
        before,
        after,
        source=inspect(before),
        result=inspect(after),
        work=Work(frames_in=frames),
        limits=MediaLimits(),
    )


def remux(before: Path, after: Path, *, shift_audio_ms: int = 0, drop_audio_after: int | None = None) -> Path:
    """The same packets in a new file, the sound moved or cut."""
    with av.open(str(before)) as source, av.open(str(after), "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        sound = 0
        for packet in source.demux():
            if not packet.size:
                continue
            if packet.stream.type == "audio":
                sound += 1
                if drop_audio_after is not None and sound > drop_audio_after:
                    continue
                shift = round(shift_audio_ms / 1000 / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
    return after


def test_an_untouched_file_is_identical_in_everything(tmp_path: Path) -> None:
    before = make_clip(tmp_path / "in.mp4", Clip(sounds=(Sound(), Sound(layout="5.1"))))
    report = compare(before, before)
    assert (report.frames_in, report.frames_out) == (25, 25)
    assert report.duration_in == report.duration_out == pytest.approx(1.0)
    assert [track.identical for track in report.audio] == [True, True]
    assert report.audio[0].sha256_in != report.audio[1].sha256_in
    assert report.av_drift_ms == 0


def test_sound_that_lost_a_packet_is_not_identical(tmp_path: Path) -> None:
    before = make_clip(tmp_path / "in.mp4", Clip())
    (track,) = compare(before, remux(before, tmp_path / "out.mp4", drop_audio_after=20)).audio
    assert not track.identical
    assert track.packets_out == 20
    assert track.packets_in > 40


def test_sound_that_starts_later_is_drift(tmp_path: Path) -> None:
    before = make_clip(tmp_path / "in.mp4", Clip())
    report = compare(before, remux(before, tmp_path / "out.mp4", shift_audio_ms=200))
    assert report.audio[0].identical
    assert report.av_drift_ms == pytest.approx(200, abs=2)


def test_sound_that_is_gone_is_not_identical(tmp_path: Path) -> None:
    before = make_clip(tmp_path / "in.mp4", Clip())
    after = make_clip(tmp_path / "out.mp4", Clip(sounds=()))
    (track,) = compare(before, after).audio
    assert (track.identical, track.packets_out, track.sha256_out) == (False, 0, "")


def test_the_length_counts_the_last_frame_also_behind_reordered_ones(tmp_path: Path) -> None:
    # B-frames and a first frame of 300 ms: packets' durations and the order of pictures disagree
    pts = [0, 300, 340, 380, 420, 460, 500]
    clip = Clip(frames=7, pts=pts, time_base=Fraction(1, 1000), options=(("preset", "medium"),), sounds=())
    before = make_clip(tmp_path / "in.mp4", clip)
    report = compare(before, before)
    assert report.duration_in == pytest.approx(0.54, abs=0.001)


def test_every_tag_is_told_and_those_that_changed_are_marked(tmp_path: Path) -> None:
    clip = Clip(rotation=90, sample_aspect_ratio=Fraction(4, 3), colorspace=1, chapters=2, metadata=(("title", "A"),))
    before = make_clip(tmp_path / "in.mp4", clip)
    same = {tag.name: tag for tag in compare(before, before).tags}
    assert all(tag.kept for tag in same.values())
    assert same["rotation"].before == "90 degrees"
    assert same["sample aspect ratio"].before == "4:3"
    assert same["colour matrix"].before == "BT.709"
    assert same["chapters"].before == "0.000 chapter 1; 0.500 chapter 2"
    assert same["audio 1 language"].before == "eng"
    assert same["metadata title"].before == "A"
    assert same["time stamps"].after == "the same"
    plain = make_clip(tmp_path / "out.mp4", Clip(sounds=(Sound(language="deu"),)))
    other = {tag.name: tag for tag in compare(before, plain).tags}
    for name in ("rotation", "sample aspect ratio", "colour matrix", "chapters", "audio 1 language", "metadata title"):
        assert not other[name].kept, name


def test_a_frame_that_is_shown_at_another_time_is_told(tmp_path: Path) -> None:
    base, sounds = Fraction(1, 1000), ()
    before = make_clip(tmp_path / "in.mp4", Clip(frames=4, pts=[0, 40, 80, 120], time_base=base, sounds=sounds))
    after = make_clip(tmp_path / "out.mp4", Clip(frames=4, pts=[0, 40, 90, 120], time_base=base, sounds=sounds))
    (timing,) = (tag for tag in compare(before, after, 4).tags if tag.name == "time stamps")
    assert (timing.kept, timing.after) == (False, "off by at most 10.000 ms")


def test_pictures_that_avi_only_counts_are_compared_by_when_they_come(tmp_path: Path) -> None:
    clip = Clip(frames=25, sounds=(), options=(("preset", "medium"), ("bf", "2")))
    before = make_clip(tmp_path / "in.avi", clip)
    first = inspect(before).video.first_pts
    after = make_clip(tmp_path / "out.mp4", dataclasses.replace(clip, pts=range(first, first + 25)))
    (timing,) = (tag for tag in compare(before, after).tags if tag.name == "time stamps")
    assert (timing.kept, timing.after) == (True, "the same")


def test_what_a_run_says_of_itself_is_in_the_report(tmp_path: Path) -> None:
    before = make_clip(tmp_path / "in.mp4", Clip())
    work = Work(
        frames_in=25,
        held=3,
        left_out=(LeftOut(what="data track 2 (unknown)", why="tracks of data are not understood here"),),
        remarks=("the video is interlaced",),
        counters={"checks.frames": 25, "checks.black": 2, "held": 3},
    )
    look = inspect(before)
    report = fidelity_report(before, before, source=look, result=look, work=work, limits=MediaLimits())
    assert (report.held_frames, report.checks.frames, report.checks.black) == (3, 25, 2)
    assert report.left_out[0].what == "data track 2 (unknown)"
    assert list(report.remarks) == ["the video is interlaced"]


def tagged(path: Path, tags: dict[str, str]) -> Path:
    """A short Matroska file (it takes tags of any name and length) with these tags."""
    return make_clip(path, Clip(sounds=(), frames=2, metadata=tuple(tags.items())))


def test_a_report_fits_into_an_event_however_much_a_file_says(tmp_path: Path) -> None:
    talk = {"comment": "x" * 400_000, **{f"tag{number}": "ü" * 150 for number in range(2_000)}}
    before = tagged(tmp_path / "in.mkv", talk)
    report = compare(before, before, frames=2)
    assert report.ByteSize() < 700_000
    assert all(tag.kept for tag in report.tags)
    (comment,) = (tag for tag in report.tags if tag.name == "metadata comment")
    assert comment.before == "x" * 119 + "…"
    assert report.tags[-1].name == "more metadata"


def test_a_change_at_the_end_of_a_long_tag_is_a_change(tmp_path: Path) -> None:
    before = tagged(tmp_path / "in.mkv", {"comment": "x" * 1_000 + "a"})
    after = tagged(tmp_path / "out.mkv", {"comment": "x" * 1_000 + "b"})
    (comment,) = (tag for tag in compare(before, after, frames=2).tags if tag.name == "metadata comment")
    assert comment.before == comment.after
    assert not comment.kept


def test_frames_that_are_shown_at_other_times_are_told_of(tmp_path: Path) -> None:
    # in milliseconds: the same five frames, one of them 7 ms late
    before, after = ([0, 40, 80, 120, 160], [0, 40, 87, 120, 160])
    films = [
        make_clip(
            tmp_path / f"{pts[2]}.mkv", Clip(frames=5, pts=pts, time_base=Fraction(1, 1000), sounds=(), options=())
        )
        for pts in (before, after)
    ]
    (timing,) = (tag for tag in compare(*films, frames=5).tags if tag.name == "time stamps")
    assert (timing.after, timing.kept) == ("off by at most 7.000 ms", False)


def test_times_are_the_same_in_any_time_base(tmp_path: Path) -> None:
    # 5 frames at 25 a second, counted in 1/25, 1/12800 (MP4) and 1/1000 (Matroska)
    films = [make_clip(tmp_path / name, Clip(frames=5, sounds=())) for name in ("a.avi", "a.mp4", "a.mkv")]
    for film in films[1:]:
        (timing,) = (tag for tag in compare(films[0], film, frames=5).tags if tag.name == "time stamps")
        assert (timing.before, timing.after, timing.kept) == ("5 frames", "the same", True)
