"""Which parts of a film are kept: from the file to the list, with films that are not as one would like."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from clips import Clip, Sound, make_clip
from talking_clips import Talk, make_talk

from coordinator.media.limits import MediaLimits
from coordinator.media.probe import inspect
from coordinator.silence import analyse, decide_cuts
from framewire.edits.edit_list import EditList
from framewire.edits.wire import cut_list_to_proto
from framewire.errors import ErrorCode, StepError
from framewire.v1.step_pb2 import DETECTOR_MOTION, DETECTOR_SPEECH, CutSilence

LIMITS = MediaLimits()


def cuts(film: Path, **parameters: object) -> EditList:
    return decide_cuts(film, CutSilence(**parameters), inspect(film), LIMITS)  # type: ignore[arg-type]  # by name


def seconds(edits: EditList) -> list[tuple[float, float]]:
    return [(float(span.start), float(span.end)) for span in edits.spans]


def test_words_and_their_margins_are_kept(tmp_path: Path) -> None:
    film = make_talk(tmp_path / "talk.mov", Talk(seconds=6, words=((1, 2), (4, 5)), codec="pcm_s16le"))
    assert seconds(cuts(film)) == [(0.8, 2.2), (3.8, 5.2)]
    assert seconds(cuts(film, margin="0s,0.4s")) == [(1, 2.4), (4, 5.4)]
    assert seconds(cuts(film, always_cut="0-2", always_keep="5.52-")) == [(2, 2.2), (3.8, 5.2), (5.52, 6)]


def test_silent_parts_can_be_played_faster_instead(tmp_path: Path) -> None:
    film = make_talk(tmp_path / "talk.mov", Talk(seconds=4, words=((1, 2),), codec="pcm_s16le"))
    edits = cuts(film, silent="speed:4", margin="0s")
    assert [(float(each.start), float(each.end), each.speed) for each in edits.spans] == [
        (0, 1, 4),
        (1, 2, 1),
        (2, 4, 4),
    ]


def test_a_list_that_is_handed_in_is_taken_to_the_pictures_and_nothing_is_heard(tmp_path: Path) -> None:
    film = make_talk(tmp_path / "talk.mp4", Talk(seconds=4, sound=0))
    step = CutSilence()
    step.cuts.spans.add(start={"nanos": 490_000_000}, end={"seconds": 2, "nanos": 11_000_000}, speed=2)
    (span,) = decide_cuts(film, step, inspect(film), LIMITS).spans
    assert (span.start, span.end, span.speed) == (Fraction(12, 25), 2, 2)
    assert cut_list_to_proto(EditList([span])).spans[0].start.nanos == 480_000_000


@pytest.mark.parametrize(("start", "end"), [(100, 200), (1.001, 1.002)])
def test_a_list_that_holds_nothing_of_the_film_is_refused_with_how_long_that_is(
    tmp_path: Path, start: float, end: float
) -> None:
    film = make_talk(tmp_path / "talk.mp4", Talk(seconds=4, words=((1, 2),)))
    step = CutSilence()
    span = step.cuts.spans.add()
    span.start.FromMilliseconds(round(start * 1000))
    span.end.FromMilliseconds(round(end * 1000))
    with pytest.raises(StepError, match=r"it lasts 4\.000 s; look at the times in cuts") as caught:
        decide_cuts(film, step, inspect(film), LIMITS)
    assert caught.value.code == ErrorCode.CUT_NOTHING_LEFT


@pytest.mark.parametrize("talk", [Talk(seconds=2), Talk(seconds=2, noise=0.001)])
def test_a_film_in_which_nothing_is_loud_is_refused_with_what_was_loudest(tmp_path: Path, talk: Talk) -> None:
    film = make_talk(tmp_path / "talk.mp4", talk)
    with pytest.raises(StepError, match=r"threshold 0\.04 \(the largest value is") as caught:
        cuts(film)
    assert caught.value.code == ErrorCode.CUT_NOTHING_LEFT


def test_noise_that_is_loud_is_kept_whole_and_is_no_speech(tmp_path: Path) -> None:
    film = make_talk(tmp_path / "talk.mov", Talk(seconds=3, noise=0.1, codec="pcm_s16le"))
    assert seconds(cuts(film)) == [(0, 3)]
    with pytest.raises(StepError) as caught:
        cuts(film, detector=DETECTOR_SPEECH)
    assert caught.value.code == ErrorCode.CUT_NOTHING_LEFT


def test_without_sound_only_motion_can_decide(tmp_path: Path) -> None:
    film = make_talk(tmp_path / "talk.mp4", Talk(seconds=2, sound=0))
    with pytest.raises(StepError, match="detector=motion") as caught:
        cuts(film)
    assert caught.value.code == ErrorCode.CUT_NO_AUDIO
    assert seconds(cuts(film, detector=DETECTOR_MOTION)) == [(0, 2)]


def test_motion_keeps_what_sound_would_not(tmp_path: Path) -> None:
    film = make_talk(tmp_path / "talk.mov", Talk(seconds=3, words=((1, 2),), codec="pcm_s16le"))
    assert seconds(cuts(film, motion=0.002)) == [(0, 3)]
    assert seconds(cuts(film, motion=0.9)) == [(0.8, 2.2)]


@pytest.mark.parametrize(("motion", "least"), [(0.0, 0.8), (0.002, 0.9)])
def test_how_far_it_is_grows_while_it_listens_and_looks(tmp_path: Path, motion: float, least: float) -> None:
    film, told = make_talk(tmp_path / "talk.mp4", Talk(seconds=24, words=((1, 2),))), list[float]()
    decide_cuts(film, CutSilence(motion=motion), inspect(film), LIMITS, tell=told.append)
    assert told == sorted(told)
    assert 0 < told[0] < least < told[-1] <= 1


def test_a_film_shorter_than_its_margins_is_kept_whole(tmp_path: Path) -> None:
    film = make_talk(tmp_path / "talk.mov", Talk(seconds=0.4, words=((0.1, 0.3),), codec="pcm_s16le"))
    assert seconds(cuts(film, margin="5s")) == [(0, 0.4)]


def test_sound_behind_the_last_picture_is_not_kept(tmp_path: Path) -> None:
    film = make_talk(tmp_path / "talk.mov", Talk(seconds=2, sound=5, words=((1, 4),), codec="pcm_s16le"))
    assert seconds(cuts(film)) == [(0.8, 2)]


def test_pictures_behind_the_last_sound_are_silent(tmp_path: Path) -> None:
    film = make_talk(tmp_path / "talk.mov", Talk(seconds=5, sound=2, words=((1, 2),), codec="pcm_s16le"))
    assert seconds(cuts(film)) == [(0.8, 2.2)]


def test_a_track_that_is_not_there_is_named(tmp_path: Path) -> None:
    film = make_clip(tmp_path / "clip.mp4", Clip(sounds=(Sound(), Sound())))
    assert cuts(film, track="2", threshold="0").spans
    with pytest.raises(StepError, match="no sound track 3") as caught:
        cuts(film, track="3")
    assert caught.value.violations[0].field == "cut_silence.track"


def test_tracks_are_added_up_or_looked_at_one_by_one(tmp_path: Path) -> None:
    film = make_clip(tmp_path / "clip.mov", Clip(sounds=(Sound(codec="pcm_s16le"), Sound(codec="pcm_s16le"))))
    step = CutSilence(threshold="0")

    def level(track: str) -> float:
        step.track = track
        wave = analyse(film, step, inspect(film), LIMITS, draw=True).wave
        assert wave is not None
        return float(wave.rms[10])

    assert level("any") == pytest.approx(max(level("1"), level("2")))
    assert level("mix") == pytest.approx((level("1") ** 2 + level("2") ** 2) ** 0.5)
