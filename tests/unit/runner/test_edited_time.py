"""Whole runs by an edit list: which pictures and what sound are in the result, when, and what was sent to models."""

from __future__ import annotations

import hashlib
import itertools
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import Clip, make_clip
from jobs import enhance, pipeline
from numbered_clips import Numbered, Track, beeps, hear, make_numbered, tone, watch
from rich_clips import Extras, Text, make_rich_clip, tracks

from coordinator.flow import Aborted
from coordinator.media.fidelity import Work, fidelity_report
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import inspect
from coordinator.media.same import checksum
from coordinator.order import Reports, Result
from coordinator.pipeline import Pipeline
from coordinator.resume import earlier_work
from framewire.edits.edit_list import EditList, Span
from framewire.errors import ErrorCode, StepError
from framewire.testing.inference import FakeInferenceServer, fake_contract, fake_recurrent_contract
from framewire.v1.job_pb2 import FidelityReport, Preview
from framewire.work.v1.work_pb2 import StoredSegment

CUTS = EditList(
    [
        Span(start=Fraction(1), end=Fraction(2)),
        Span(start=Fraction(11, 5), end=Fraction(3)),
        Span(start=Fraction(33, 5), end=Fraction(39, 5)),
    ]
)
"""Of eight seconds; every boundary is one between two pictures."""
FILM = Numbered(frames=200)


class Counting(FakeInferenceServer):
    """A model that doubles pixels and one that adds up frames; counts the frames it is sent."""

    def __init__(self) -> None:
        super().__init__([fake_contract("x2", scale=2, max_batch=4), fake_recurrent_contract("sum", max_batch=4)])
        self.frames = 0

    def infer(self, *args: object, frames: int, **options: object) -> object:  # type: ignore[override]  # passes all on
        self.frames += frames
        return super().infer(*args, frames=frames, **options)  # type: ignore[arg-type]


def run(source: Path, target: Path, edits: EditList, *, model: str = "x2", **more: Any) -> Result:
    return edited(source, target, edits, model=model, **more).run()


def edited(
    source: Path,
    target: Path,
    edits: EditList,
    *,
    server: FakeInferenceServer | None = None,
    model: str = "x2",
    **more: Any,
) -> Pipeline:
    """With a server, frames go through its model; else through nothing."""
    return pipeline(source, target, server, enhance(model), edits=edits, **more)


def expected(film: Numbered, edits: EditList) -> tuple[list[int], list[Fraction]]:
    """Numbers and times of what is kept, by the edit list alone."""
    times = [(number, edits.result_time(moment)) for number, moment in enumerate(film.moments)]
    found = [(number, time) for number, time in times if time is not None]
    return [number for number, _ in found], [time for _, time in found]


def report(source: Path, target: Path, result: Result, edits: EditList) -> FidelityReport:
    work = Work(
        frames_in=result.frames_in,
        held=result.held,
        left_out=result.left_out,
        edits=edits,
        sounds=result.sounds,
        counters=result.counters,
    )
    return fidelity_report(
        source, target, source=inspect(source), result=inspect(target), work=work, limits=MediaLimits()
    )


def test_every_kept_picture_is_there_once_in_order_and_no_other_was_inferred(tmp_path: Path) -> None:
    source, server = make_numbered(tmp_path / "in.mp4", FILM), Counting()
    result = run(source, tmp_path / "out.mp4", CUTS, server=server)
    seen, (numbers, times) = watch(tmp_path / "out.mp4"), expected(FILM, CUTS)
    assert seen.numbers == numbers
    assert seen.times == times
    assert server.frames == result.inferred == len(numbers)
    assert result.frames_in == 195  # what lies behind the last span is not even decoded
    assert result.frames_out == len(numbers)


@pytest.mark.parametrize("kind", ["limited range", "full range", "10 bits"])
def test_without_a_model_no_server_is_asked_and_pictures_are_the_same_sample_for_sample(
    tmp_path: Path, kind: str
) -> None:
    clip = Clip(frames=200, sounds=(), options=(("qp", "0"), ("preset", "ultrafast")))
    kinds = {"full range": {"color_range": 2}, "10 bits": {"pixel_format": "yuv420p10le"}}
    source = make_clip(tmp_path / "in.mp4", replace(clip, **kinds.get(kind, {})))
    result = run(source, tmp_path / "out.mp4", CUTS)
    numbers, times = expected(FILM, CUTS)
    assert result.inferred == 0
    with av.open(str(source)) as before, av.open(str(tmp_path / "out.mp4")) as after:
        sums = [checksum(frame) for frame in before.decode(video=0)]
        found = [(frame.time, checksum(frame)) for frame in after.decode(video=0)]
    assert found == [(float(time), sums[number]) for number, time in zip(numbers, times, strict=True)]


@pytest.mark.parametrize(
    ("pixel_format", "size"), [("yuvj420p", (64, 48)), ("yuv444p", (64, 48)), ("yuv420p", (63, 47))]
)
def test_pictures_of_other_kinds_go_without_a_model_too(
    tmp_path: Path, pixel_format: str, size: tuple[int, int]
) -> None:
    # 25 lossless pictures of a grey that grows
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as output:
        video = output.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = *size, pixel_format.replace("yuvj", "yuv")
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 60 + 5 * number, np.uint8), "rgb24")
            output.mux(video.encode(frame.reformat(format=pixel_format.replace("yuvj", "yuv"))))
        output.mux(video.encode(None))
    run(source, tmp_path / "out.mp4", EditList([Span(start=Fraction(2, 5), end=Fraction(4, 5))]))
    with av.open(str(tmp_path / "out.mp4")) as film:
        greys = [int(frame.to_ndarray(format="rgb24")[10, 10, 0]) for frame in film.decode(video=0)]
    assert greys == pytest.approx([60 + 5 * number for number in range(10, 20)], abs=2)


def test_pictures_of_uneven_length_keep_their_times(tmp_path: Path) -> None:
    gaps = np.random.default_rng(5).choice([1, 2, 3, 7], 150)
    pts = [0, *np.cumsum(gaps * 40)[:-1].tolist()]  # in milliseconds
    film = replace(FILM, frames=150, pts=pts, time_base=Fraction(1, 1000), rate=Fraction(10))
    source = make_numbered(tmp_path / "in.mkv", film)
    at = [film.moments[number] for number in (10, 40, 70, 71, 100, 140)]
    edits = EditList([Span(start=at[0], end=at[1]), Span(start=at[2], end=at[3]), Span(start=at[4], end=at[5])])
    run(source, tmp_path / "out.mkv", edits)
    seen, (numbers, times) = watch(tmp_path / "out.mkv"), expected(film, edits)
    assert seen.numbers == numbers == [*range(10, 40), 70, *range(100, 140)]
    assert [float(time) for time in seen.times] == pytest.approx([float(time) for time in times], abs=0.001)


def test_a_flash_and_its_beep_stay_together_behind_every_join(tmp_path: Path) -> None:
    # a white picture every half second, and a beep that starts with it; cuts to and from other speeds too
    flashes = [*range(12, 200, 12)]
    sound = beeps([number / 25 for number in flashes])
    film = replace(FILM, flashes=flashes, tracks=(Track(sound=sound),))
    source = make_numbered(tmp_path / "in.mp4", film)
    frames = [(5, 30), (34, 62), (75, 90), (91, 130), (150, 200)]
    edits = EditList(Span(start=Fraction(a, 25), end=Fraction(b, 25)) for a, b in frames)
    result = run(source, tmp_path / "out.mp4", edits)
    seen, heard = watch(tmp_path / "out.mp4"), hear(tmp_path / "out.mp4")
    assert len(seen.flashes) == len([f for f in flashes if any(a <= f < b for a, b in frames)]) > 8
    for flash, beep in zip(seen.flashes, heard.onsets(), strict=True):
        assert abs(float(flash) - beep) <= 0.5 / 25
        assert abs(float(flash) - beep) < 0.003  # and far better, in truth
    assert report(source, tmp_path / "out.mp4", result, edits).av_drift_ms < 0.1


def test_sound_stays_with_the_picture_behind_faster_and_slower_parts(tmp_path: Path) -> None:
    flashes = [30, 50, 75, 90, 100, 155]
    film = replace(FILM, flashes=flashes, tracks=(Track(sound=beeps([number / 25 for number in flashes])),))
    source = make_numbered(tmp_path / "in.mp4", film)
    edits = EditList(
        [
            Span(start=Fraction(0), end=Fraction(2)),
            Span(start=Fraction(2), end=Fraction(3), speed=Fraction(3)),
            Span(start=Fraction(3), end=Fraction(4)),
            Span(start=Fraction(4), end=Fraction(5), speed=Fraction(1, 2)),
            Span(start=Fraction(6), end=Fraction(8)),
        ]
    )
    run(source, tmp_path / "out.mp4", edits)
    seen, heard = watch(tmp_path / "out.mp4"), hear(tmp_path / "out.mp4")
    beeps_heard = heard.onsets(apart=0.3)
    assert len(seen.flashes) == 6 == len(beeps_heard)
    for flash, beep in zip(seen.flashes, beeps_heard, strict=True):
        assert abs(float(flash) - beep) <= 0.25 / 25


def test_a_faster_part_has_the_films_rate_and_its_pitch(tmp_path: Path) -> None:
    source = make_numbered(tmp_path / "in.mp4", replace(FILM, tracks=(Track(sound=tone(440)),)))
    edits = EditList(
        [Span(start=Fraction(0), end=Fraction(1)), Span(start=Fraction(1), end=Fraction(8), speed=Fraction(7, 2))]
    )
    result = run(source, tmp_path / "out.mp4", edits)
    seen, heard = watch(tmp_path / "out.mp4"), hear(tmp_path / "out.mp4")
    assert len(seen.numbers) == pytest.approx(25 + 50, abs=1)
    assert seen.numbers == sorted(set(seen.numbers))
    for number, time in zip(seen.numbers, seen.times, strict=True):
        assert abs(time - (edits.result_time(Fraction(number, 25)) or 0)) < Fraction(1, 10_000)
    middle = heard.samples[0, 60_000:120_000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 20))
    assert spectrum.argmax() * heard.rate / (1 << 20) == pytest.approx(440, rel=0.002)
    assert result.sounds[0].samples == result.sounds[0].expected == 3 * 48_000
    told = report(source, tmp_path / "out.mp4", result, edits)
    assert told.edit.frames_expected == len(seen.numbers)
    assert told.edit.frames_surplus == 200 - len(seen.numbers)


def test_pictures_that_do_not_change_are_held_over_a_cut(tmp_path: Path) -> None:
    film = replace(FILM, same=lambda number: number // 50)
    source, server = make_numbered(tmp_path / "in.mp4", film), Counting()
    result = run(source, tmp_path / "out.mp4", CUTS, server=server)
    assert watch(tmp_path / "out.mp4").times == expected(film, CUTS)[1]
    assert server.frames == result.inferred
    assert result.held == result.frames_out - result.inferred
    assert server.frames <= len(result.units) + 3


def test_a_result_may_have_no_sound_or_more_of_it_than_pictures(tmp_path: Path) -> None:
    silent = make_numbered(tmp_path / "silent.mp4", replace(FILM, tracks=()))
    assert run(silent, tmp_path / "none.mp4", CUTS).sounds == ()
    longer = make_numbered(tmp_path / "longer.mp4", replace(FILM, tracks=(Track(seconds=11),)))
    edits = EditList([Span(start=Fraction(7), end=Fraction(12))])
    run(longer, tmp_path / "more.mp4", edits)
    assert len(watch(tmp_path / "more.mp4").numbers) == 25
    assert hear(tmp_path / "more.mp4").samples.shape[1] == pytest.approx(4 * 48_000, abs=2048)


def test_every_track_is_rendered_and_keeps_its_language(tmp_path: Path) -> None:
    tracks = (Track(), Track(codec="ac3", layout="5.1(side)"), Track(codec="flac", rate=44_100, layout="mono"))
    source = make_numbered(tmp_path / "in.mkv", replace(FILM, tracks=tracks))
    result = run(source, tmp_path / "out.mp4", CUTS)
    assert [sound.encoding.codec for sound in result.sounds] == ["aac", "ac3", "flac"]
    told = [hear(tmp_path / "out.mp4", number) for number in range(3)]
    assert [(each.codec, each.layout, each.rate) for each in told] == [
        ("aac", "stereo", 48_000),
        ("ac3", "5.1(side)", 48_000),
        ("flac", "mono", 44_100),
    ]
    for sound in result.sounds:
        assert sound.samples == sound.expected == CUTS.seconds * sound.encoding.rate


def test_texts_and_chapters_follow_and_what_cannot_be_cut_is_named(tmp_path: Path) -> None:
    lines = (
        (500, 1000, b"half cut"),
        (1400, 400, b"kept"),
        (1900, 500, b"over"),
        (4000, 500, b"cut"),
        (7000, 500, b"last"),
    )
    extras = Extras(texts=(Text(lines=lines),), cover=True, font=True, second_video=True)
    source = make_rich_clip(tmp_path / "in.mkv", extras, Clip(frames=200, chapters=2))
    result = run(source, tmp_path / "out.mkv", CUTS)
    assert [omission.why for omission in result.left_out] == ["only one can be cut"]
    texts = next(packets for packets in tracks(tmp_path / "out.mkv").values() if packets[0][2] == b"half cut")
    assert [(round(float(start), 3), round(float(length), 3), words) for start, length, words in texts] == [
        (0.0, 0.5, b"half cut"),
        (0.4, 0.4, b"kept"),
        (0.9, 0.3, b"over"),
        (2.2, 0.5, b"last"),
    ]
    with av.open(str(tmp_path / "out.mkv")) as made:
        chapters = [(float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"])) for c in made.chapters()]
    assert chapters == [(0, pytest.approx(1.8)), (pytest.approx(1.8), pytest.approx(3.0))]
    told = report(source, tmp_path / "out.mkv", result, CUTS)
    assert [tag.name for tag in told.tags if not tag.kept] == []


def test_units_and_previews_are_in_the_results_time_and_progress_ends_at_what_is_kept(tmp_path: Path) -> None:
    source = make_numbered(tmp_path / "in.mp4", FILM)
    units: list[StoredSegment] = []
    previews: list[Preview] = []
    frames: list[int] = []
    reports = Reports(unit=units.append, preview=previews.append, frames=frames.append)
    run(source, tmp_path / "out.mp4", CUTS, reports=reports)
    segments = [unit.segment for unit in units]
    assert segments[0].start == 0
    for one, other in itertools.pairwise(segments):
        assert one.start + one.duration == pytest.approx(other.start)
    assert sum(segment.duration for segment in segments) == pytest.approx(float(CUTS.seconds))
    shown = [time for unit in units for time in watch(Path(unit.path)).times]
    assert shown == expected(FILM, CUTS)[1]
    assert frames[-1] == sum(segment.frames for segment in segments) == len(shown)
    assert previews[0].position == 0


def film_hash(path: Path) -> str:
    """Of all decoded samples and time stamps, and of all packets of sound."""
    digest = hashlib.sha256()
    with av.open(str(path)) as film:
        for frame in film.decode(video=0):
            digest.update(f"{frame.pts} {checksum(frame)}".encode())
    with av.open(str(path)) as film:
        for packet in film.demux(audio=0):
            digest.update(bytes(packet))
    return digest.hexdigest()


@pytest.mark.parametrize(("model", "after"), [("x2", 1), ("sum", 3)])
def test_a_killed_run_is_resumed_and_its_result_is_the_same(tmp_path: Path, model: str, after: int) -> None:
    # cuts and a faster part; a model that remembers adds up all that it was given, over cuts too
    source = make_numbered(tmp_path / "in.mp4", replace(FILM, frames=400, options=(("preset", "medium"), ("g", "50"))))
    edits = EditList(
        [
            Span(start=Fraction(1), end=Fraction(3)),
            Span(start=Fraction(16, 5), end=Fraction(9), speed=Fraction(2)),
            Span(start=Fraction(12), end=Fraction(15)),
        ]
    )
    run(source, tmp_path / "whole.mp4", edits, server=Counting(), model=model)
    units: list[StoredSegment] = []
    stopped = threading.Event()

    def keep(unit: StoredSegment) -> None:
        units.append(unit)
        if len(units) == after:
            threading.Thread(target=lambda: (first.stop(), stopped.set())).start()
            assert stopped.wait(10)

    first = edited(source, tmp_path / "out.mp4", edits, server=Counting(), model=model, reports=Reports(unit=keep))
    with pytest.raises(Aborted):
        first.run()
    earlier, why = earlier_work(units, "of the test")
    assert (len(earlier.units), why) == (after, "")
    again = Counting()
    result = run(source, tmp_path / "out.mp4", edits, server=again, model=model, earlier=earlier)
    assert again.frames == result.frames_out - earlier.last.frames_out < result.frames_out
    assert film_hash(tmp_path / "out.mp4") == film_hash(tmp_path / "whole.mp4")


def test_a_list_that_keeps_no_picture_is_refused(tmp_path: Path) -> None:
    source = make_numbered(tmp_path / "in.mp4", replace(FILM, frames=25))
    with pytest.raises(StepError) as caught:
        run(source, tmp_path / "out.mp4", EditList([Span(start=Fraction(5), end=Fraction(6))]))
    assert caught.value.code == ErrorCode.CUT_NOTHING_LEFT


def test_a_report_compares_with_what_was_to_be_kept(tmp_path: Path) -> None:
    source = make_numbered(tmp_path / "in.mp4", FILM)
    result = run(source, tmp_path / "out.mp4", CUTS)
    told = report(source, tmp_path / "out.mp4", result, CUTS)
    assert (told.edit.frames_expected, told.edit.joins) == (len(expected(FILM, CUTS)[0]), 2)
    assert told.edit.frames_cut == 200 - told.edit.frames_expected
    assert told.edit.largest_error_ms == 0
    assert all(tag.kept for tag in told.tags), [tag for tag in told.tags if not tag.kept]
    assert told.audio[0].edited == "cut, encoded again (aac)"
    assert told.audio[0].samples_out == told.audio[0].samples_expected == CUTS.seconds * 48_000
    missing = EditList([*CUTS.spans[:2]])  # what a result with too many pictures would be told
    wrong = report(source, tmp_path / "out.mp4", result, missing)
    assert not next(tag for tag in wrong.tags if tag.name == "time stamps").kept


def test_a_film_that_was_cut_has_no_timecode_that_counts_what_is_gone(tmp_path: Path) -> None:
    source = make_rich_clip(tmp_path / "in.mov", Extras(timecode="01:00:00:00"), Clip(frames=50))
    result = run(source, tmp_path / "out.mov", EditList([Span(start=Fraction(1), end=Fraction(2))]))
    with av.open(str(tmp_path / "out.mov")) as made:
        assert "timecode" not in {**made.metadata, **made.streams.video[0].metadata}
    assert [omission.why for omission in result.left_out] == ["a film that was cut has no timecode of its own"]
