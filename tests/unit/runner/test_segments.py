"""Units: where they end, what is in them, and going on behind one as if nothing had happened."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, Sound, make_clip, read_clip
from jobs import pipeline, server_with

from coordinator.flow import Aborted
from coordinator.inference.interface import Block
from coordinator.media.behind import Place, open_behind
from coordinator.media.decode import Picture, Reader
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import inspect
from coordinator.media.same import checksum
from coordinator.media.timeline import Stamp
from coordinator.order import Reports, Result
from coordinator.pipeline import Pipeline
from coordinator.resume import EarlierWork, earlier_work, fingerprint
from coordinator.steps.interface import FrameSize
from coordinator.units import LEAST_FRAMES, MOST_FRAMES, Cutter
from framewire.v1.job_pb2 import OutputSettings
from framewire.v1.step_pb2 import Enhance, Step
from framewire.work.v1.work_pb2 import SegmentRecord, StoredSegment

FILM = Clip(frames=260, sounds=(Sound(),), options=(("preset", "medium"), ("g", "50")))
"""10.4 s of 64x48 H.264 with B-frames, a keyframe every two seconds, and AAC: units of 13, 25, 50, 100 and 72."""


@dataclass
class Memory:
    """A step that remembers: it adds to every frame the sum of the first pixels of all before it."""

    scale: int = 1
    size_multiple: int = 1
    max_batch: int = 4
    sum: int = 0
    frames: int = 0
    after: int | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def submit(
        self, inputs: Block, outputs: Block, *, frames: int, size: FrameSize, keep_state: bool = False
    ) -> Future[bytes]:
        result: Future[bytes] = Future()
        if self.after is not None and self.frames >= self.after:
            self.stop.set()
            return result  # never ends
        shape = (frames, size.height, size.width, 3)
        for before, after in zip(inputs.array(shape), outputs.array(shape), strict=True):
            np.bitwise_xor(before, np.uint8(self.sum % 8), out=after)
            self.sum += int(before[0, 0, 2]) + 1
        self.frames += frames
        result.set_result(self.sum.to_bytes(8, "big") if keep_state else b"")
        return result

    def restore(self, state: bytes) -> None:
        self.sum = int.from_bytes(state, "big")


@dataclass
class Run:
    """A run of FILM through Memory, and what it reported."""

    source: Path
    target: Path
    step: Memory = field(default_factory=Memory)
    units: list[StoredSegment] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    closed: threading.Condition = field(default_factory=threading.Condition)

    def keep(self, unit: StoredSegment) -> None:
        with self.closed:
            self.units.append(unit)
            self.closed.notify_all()

    def pipeline(self, earlier: EarlierWork | None = None) -> Pipeline:
        reports = Reports(frames=self.frames.append, unit=self.keep)
        return pipeline(
            self.source, self.target, server_with(1), (), prepared=[self.step], reports=reports, earlier=earlier
        )

    def to_the_end(self, earlier: EarlierWork | None = None) -> Result:
        return self.pipeline(earlier).run()

    def until_killed(self, after: int, units: int) -> None:
        """Stop when so many frames have gone through the step and so many units are closed."""
        self.step.after = after
        run = self.pipeline()

        def stop() -> None:
            assert self.step.stop.wait(20)
            with self.closed:
                assert self.closed.wait_for(lambda: len(self.units) >= units, 20)
            run.stop()

        stopper = threading.Thread(target=stop)
        stopper.start()
        with pytest.raises(Aborted):
            run.run()
        stopper.join()


def film_hash(path: Path) -> str:
    """Of all decoded samples and time stamps."""
    digest = hashlib.sha256()
    with av.open(str(path)) as film:
        for frame in film.decode(video=0):
            digest.update(f"{frame.pts} {checksum(frame)}".encode())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("undisturbed")
    run = Run(make_clip(folder / "in.mp4", FILM), folder / "out.mp4")
    run.to_the_end()
    return run


def test_units_are_cut_by_time_stamps_alone(undisturbed: Run) -> None:
    segments = [unit.segment for unit in undisturbed.units]
    assert [segment.index for segment in segments] == [0, 1, 2, 3, 4]
    assert [segment.frames for segment in segments] == [13, 25, 50, 100, 72]
    assert [segment.first_frame for segment in segments] == [0, 13, 38, 88, 188]
    assert [segment.start for segment in segments] == pytest.approx([0, 0.52, 1.52, 3.52, 7.52])
    assert sum(segment.duration for segment in segments) == pytest.approx(10.4)


def test_a_unit_is_a_film_of_its_own_at_its_place_in_the_whole(undisturbed: Run) -> None:
    whole = read_clip(undisturbed.target, pictures=False).video_pts
    shown: list[Fraction] = []
    for unit in undisturbed.units:
        film = read_clip(Path(unit.path), pictures=False)
        assert float(film.video_pts[0]) == pytest.approx(unit.segment.start)
        shown += film.video_pts
        sound = [time for time, _ in film.audio[0]]
        assert abs(float(sound[0]) - unit.segment.start) < 0.6
        data = Path(unit.path).read_bytes()
        assert data[unit.segment.header_bytes + 4 :].startswith(b"moof")
        assert unit.segment.sha256 == hashlib.sha256(data).hexdigest()
        assert unit.segment.size_bytes == len(data)
    assert shown == whole


def test_all_the_sound_is_in_the_units_once(undisturbed: Run) -> None:
    packets = [data for unit in undisturbed.units for _, data in read_clip(Path(unit.path), pictures=False).audio[0]]
    assert packets == [data for _, data in read_clip(undisturbed.source, pictures=False).audio[0]]


def test_the_same_work_gives_the_same_bytes(undisturbed: Run, tmp_path: Path) -> None:
    again = Run(undisturbed.source, tmp_path / "out.mp4")
    again.to_the_end()
    assert [unit.segment.sha256 for unit in again.units] == [unit.segment.sha256 for unit in undisturbed.units]


@pytest.mark.parametrize(("after", "units"), [(5, 0), (13, 1), (40, 2), (100, 3), (200, 4), (250, 4)])
def test_a_run_that_goes_on_gives_the_frames_of_one_that_was_never_disturbed(
    undisturbed: Run, tmp_path: Path, after: int, units: int
) -> None:
    killed = Run(undisturbed.source, tmp_path / "out.mp4")
    killed.until_killed(after, units)
    assert len(killed.units) == units
    assert not killed.target.exists()
    assert not list(tmp_path.rglob("*.part"))
    earlier, why = earlier_work(killed.units, "of the test")
    assert why == ""
    heir = Run(undisturbed.source, tmp_path / "out.mp4")
    result = heir.to_the_end(earlier)
    assert result.resumed == sum(unit.segment.frames for unit in killed.units)
    assert heir.step.frames == 260 - result.resumed  # nothing was done twice
    assert [result.frames_in, result.frames_out] == [260, 260]
    assert not heir.frames or heir.frames[0] == result.resumed + 1
    assert film_hash(heir.target) == film_hash(undisturbed.target)
    assert read_clip(heir.target, pictures=False).audio == read_clip(undisturbed.source, pictures=False).audio


def test_a_run_behind_the_last_unit_only_assembles(undisturbed: Run, tmp_path: Path) -> None:
    earlier, _ = earlier_work(undisturbed.units, "of the test")
    heir = Run(undisturbed.source, tmp_path / "out.mp4")
    assert heir.to_the_end(earlier).frames_out == 260
    assert heir.step.frames == 0
    assert heir.units == []
    assert heir.target.read_bytes() == undisturbed.target.read_bytes()


def test_units_of_other_work_are_not_used(undisturbed: Run) -> None:
    earlier, why = earlier_work(undisturbed.units, "of something else")
    assert earlier.units == ()
    assert why == "5 of 5 kept segments are of no use: segment 0 is of other work"


def test_units_behind_one_that_is_cut_short_are_not_used(undisturbed: Run, tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    short.write_bytes(Path(undisturbed.units[2].path).read_bytes()[:-1])
    stored = [StoredSegment.FromString(unit.SerializeToString()) for unit in undisturbed.units]
    stored[2].path = str(short)
    earlier, why = earlier_work(stored, "of the test")
    assert len(earlier.units) == 2
    assert earlier.last.frames_out == 38
    assert why == "3 of 5 kept segments are of no use: segment 2 is not whole"


def test_only_the_last_unit_needs_a_record(undisturbed: Run) -> None:
    stored = [StoredSegment.FromString(unit.SerializeToString()) for unit in undisturbed.units]
    for unit in stored[:-1]:
        unit.record_path = ""
    earlier, why = earlier_work(stored, "of the test")
    assert (len(earlier.units), why) == (5, "")
    stored[-1].record_path = ""
    assert earlier_work(stored, "of the test")[0].units == ()


def test_units_whose_last_frame_the_film_does_not_have_are_made_anew(undisturbed: Run, tmp_path: Path) -> None:
    record = SegmentRecord.FromString(Path(undisturbed.units[1].record_path).read_bytes())
    record.counters["checksum"] ^= 1
    heir = Run(undisturbed.source, tmp_path / "out.mp4")
    result = heir.to_the_end(EarlierWork(units=tuple(undisturbed.units[:2]), last=record))
    assert (result.resumed, heir.step.frames) == (0, 260)
    assert film_hash(heir.target) == film_hash(undisturbed.target)


def test_the_fingerprint_tells_work_apart(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=3, sounds=()))
    facts = inspect(source).video
    step = Step(enhance=Enhance(scale=2))
    works = [
        ([step], OutputSettings(), ["model 1"]),
        ([step, step], OutputSettings(), ["model 1"]),
        ([step], OutputSettings(crf=20), ["model 1"]),
        ([step], OutputSettings(), ["model 2"]),
    ]
    prints = [fingerprint(steps, output, models, facts, source) for steps, output, models in works]
    assert len(set(prints)) == len(works)
    assert prints[0] == fingerprint([step], OutputSettings(), ["model 1"], facts, source)


@pytest.mark.parametrize(("container", "seeks"), [("mp4", True), ("mkv", True), ("avi", False)])
def test_the_place_behind_any_frame_is_found_by_seeking_or_without(tmp_path: Path, container: str, seeks: bool) -> None:
    # 30 s of H.264 at 10 fps with a keyframe every 3 s; MPEG-4 in AVI, whose pictures have no time stamps of their own
    codec = ("mpeg4", (("g", "30"),)) if container == "avi" else ("libx264", (("g", "30"), ("preset", "medium")))
    clip = Clip(frames=300, rate=Fraction(10), codec=codec[0], options=codec[1], sounds=())
    source = make_clip(tmp_path / f"in.{container}", clip)
    facts, limits = inspect(source).video, MediaLimits()
    with Reader(source, facts, limits) as reader:
        pictures = [(item.stamp, checksum(item.frame)) for item in reader if isinstance(item, Picture)]
    for number in (0, 55, 150, 211, 298):
        place = placed(pictures, number)
        skipped = Counter[str]()
        behind = open_behind(lambda: Reader(source, facts, limits), facts, place, partial(skipped.update, ["picture"]))
        assert behind is not None
        rest = [(item.stamp, checksum(item.frame)) for item in behind[1] if isinstance(item, Picture)]
        behind[0].close()
        assert rest == pictures[number + 1 :]
        assert not (seeks and number > 100) or skipped["picture"] < 100
        assert skipped["picture"] <= number + 2  # no way is gone to the end of the film in vain


def test_a_film_whose_time_stamps_were_repaired_is_not_sought_in(tmp_path: Path) -> None:
    # 30 s of H.264 at 10 fps with a keyframe every 3 s: a picture's stamp may be that of another one in the file
    source = make_clip(tmp_path / "in.mp4", Clip(frames=300, rate=Fraction(10), options=(("g", "30"),), sounds=()))
    facts, limits = inspect(source).video, MediaLimits()
    with Reader(source, facts, limits) as reader:
        pictures = [(item.stamp, checksum(item.frame)) for item in reader if isinstance(item, Picture)]
    skipped = Counter[str]()
    place = replace(placed(pictures, 200), repaired=1)
    behind = open_behind(lambda: Reader(source, facts, limits), facts, place, partial(skipped.update, ["picture"]))
    assert behind is not None
    behind[0].close()
    assert skipped["picture"] == 201


def placed(pictures: Sequence[tuple[Stamp, int]], number: int) -> Place:
    return Place(
        frames_in=number + 1,
        last=pictures[number][0],
        checksum=pictures[number][1],
        damaged=0,
        hidden=0,
        repaired=0,
        deinterlaced=0,
    )


def stamps(*seconds: float) -> Iterator[Stamp]:
    for time in seconds:
        yield Stamp(pts=round(time * 1000), duration=0)


def test_units_have_a_least_and_a_largest_number_of_frames() -> None:
    slow, fast = Cutter(Fraction(1, 1000), 64), Cutter(Fraction(1, 1000), 64)
    slow_cuts = [number for number, stamp in enumerate(stamps(*range(40))) if slow.begins(stamp)]
    assert slow_cuts == [LEAST_FRAMES * unit for unit in range(1, 5)]
    fast_cuts = [
        number for number, stamp in enumerate(stamps(*(n / 1000 for n in range(20_000)))) if fast.begins(stamp)
    ]
    assert max(np.diff(fast_cuts)) == MOST_FRAMES


def test_large_pictures_make_short_units() -> None:
    cutter = Cutter(Fraction(1, 1000), 7680 * 4320)
    cuts = [number for number, stamp in enumerate(stamps(*(n / 30 for n in range(200)))) if cutter.begins(stamp)]
    assert max(np.diff(cuts)) == 18


def test_the_encoders_delay_does_not_move_variable_time_stamps(tmp_path: Path) -> None:
    # in milliseconds: groups of 9 frames 1 ms apart, 400 ms between groups, so that decoding times of units overlap
    pts = [number * 400 + part for number in range(10) for part in range(9)]
    clip = Clip(frames=len(pts), pts=pts, time_base=Fraction(1, 1000), sounds=())
    source = make_clip(tmp_path / "in.mkv", clip)
    run = Run(source, tmp_path / "out.mp4")
    run.to_the_end()
    assert len(run.units) > 2
    assert read_clip(run.target, pictures=False).video_pts == [Fraction(number, 1000) for number in pts]
