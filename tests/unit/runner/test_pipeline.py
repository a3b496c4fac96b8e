"""Decode -> steps -> encode, with a model that repeats pixels."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import Future
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import Clip, Sound, make_clip, read_clip, truncate
from jobs import BEST, enhance, pipeline, process, server_with
from numpy.typing import NDArray

from coordinator.flow import Aborted
from coordinator.media.codecs import EncoderSettings
from coordinator.media.probe import inspect
from coordinator.plan import BLOCKS
from framewire.errors import ErrorCode, MediaError, StepError, WorkerError
from framewire.testing.inference import FakeInferenceServer, fake_contract

LOSSLESS = (("crf", "0"), ("preset", "ultrafast"))


def test_no_frame_is_lost_or_doubled(tmp_path: Path) -> None:
    # 64x48, 53 frames: 13 full batches of 4 and a partial one
    source = make_clip(tmp_path / "in.mp4", Clip(frames=53, options=LOSSLESS))
    result = process(source, tmp_path / "out.mp4", "x2")
    before, after = read_clip(source), read_clip(tmp_path / "out.mp4")
    assert (result.frames_in, result.frames_out, len(after.pictures)) == (53, 53, 53)
    assert after.pictures[0].shape == (96, 128, 3)
    shrunk = [picture[::2, ::2].astype(int) for picture in after.pictures]
    nearest = [min(range(53), key=lambda n, s=small: np.abs(before.pictures[n] - s).mean()) for small in shrunk]
    assert nearest == list(range(53))


def test_audio_packets_are_bit_identical(tmp_path: Path) -> None:
    # stereo AAC and 5.1 AAC beside H.264
    sounds = (Sound(), Sound(layout="5.1", language="fra"))
    source = make_clip(tmp_path / "in.mp4", Clip(frames=50, sounds=sounds))
    process(source, tmp_path / "out.mp4", "x2")
    before, after = read_clip(source, pictures=False), read_clip(tmp_path / "out.mp4", pictures=False)
    assert len(before.audio) == 2
    assert all(len(track) > 90 for track in before.audio)
    assert before.audio == after.audio  # payloads and time stamps


def test_sound_in_matroska_keeps_its_place_beside_the_picture(tmp_path: Path) -> None:
    # time stamps in milliseconds become samples of 44.1 kHz; what is left is less than a sample
    clip = Clip(frames=30, rate=Fraction(30), sounds=(Sound(rate=44_100),))
    source = make_clip(tmp_path / "in.mkv", clip)
    process(source, tmp_path / "out.mp4", "x2")
    before, after = read_clip(source, pictures=False), read_clip(tmp_path / "out.mp4", pictures=False)
    assert [data for _, data in before.audio[0]] == [data for _, data in after.audio[0]]
    assert abs(before.audio[0][0][0] - after.audio[0][0][0]) < Fraction(1, 44_100)
    assert before.video_pts == after.video_pts


def test_a_clip_without_sound_stays_without(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(sounds=()))
    process(source, tmp_path / "out.mp4")
    assert read_clip(tmp_path / "out.mp4").audio == []


def test_a_single_frame_makes_a_single_frame(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=1, sounds=()))
    assert process(source, tmp_path / "out.mp4", "x2").frames_out == 1
    assert len(read_clip(tmp_path / "out.mp4").pictures) == 1


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
def test_variable_frame_rate_pts_are_exact(tmp_path: Path, container: str) -> None:
    # milliseconds, so that Matroska can hold them too; frames from 1 to 900 ms long, first one late
    pts = [40, 41, 80, 81, 981, 1000, 1033, 1067, 1500, 1501, 1502, 2000]
    clip = Clip(frames=len(pts), pts=pts, time_base=Fraction(1, 1000), sounds=())
    source = make_clip(tmp_path / f"in.{container}", clip)
    process(source, tmp_path / "out.mp4", "x2")
    exact = [Fraction(number, 1000) for number in pts]
    assert read_clip(source).video_pts == exact
    assert read_clip(tmp_path / "out.mp4").video_pts == exact


def test_ntsc_time_stamps_are_exact(tmp_path: Path) -> None:
    # 30000/1001 fps with B-frames, as cameras write it
    clip = Clip(frames=40, rate=Fraction(30000, 1001), options=(("preset", "medium"),))
    source = make_clip(tmp_path / "in.mp4", clip)
    process(source, tmp_path / "out.mp4", "x2")
    assert read_clip(tmp_path / "out.mp4").video_pts == [number * Fraction(1001, 30000) for number in range(40)]


@pytest.mark.parametrize(("matrix", "full"), [(None, False), (1, False), (6, False), (9, False), (1, True), (6, True)])
def test_colours_survive_within_two_levels(tmp_path: Path, matrix: int | None, full: bool) -> None:
    # lossless in and out, a model that changes nothing: what is left is YUV -> RGB -> YUV. No hard edges of
    # saturated colour: half-sized chroma beside them means colours that RGB does not have
    clip = Clip(frames=3, sounds=(), options=LOSSLESS, colorspace=matrix, color_range=2 if full else 1)
    source = make_clip(tmp_path / "in.mp4", clip, smooth)
    process(source, tmp_path / "out.mp4", "x1")
    planes = [_planes(source), _planes(tmp_path / "out.mp4")]
    luma, chroma = (np.abs(planes[0][part] - planes[1][part]) for part in (0, 1))
    assert luma.max() <= 2
    assert chroma.max() <= 2
    assert abs((planes[0][1] - planes[1][1]).mean()) < 0.2  # no colour cast: what differs is rounding, to both sides
    assert luma.mean() < 0.1
    before, after = inspect(source).video.colour, inspect(tmp_path / "out.mp4").video.colour
    assert (after.tag, after.range) == (before.tag, before.range)


def test_untagged_pictures_are_tagged_with_the_matrix_that_was_used(tmp_path: Path) -> None:
    # 480 lines untagged are BT.601 to a player; the result has 960, which it would take for BT.709
    source = make_clip(tmp_path / "in.mp4", Clip(width=64, height=480, frames=2, sounds=()))
    process(source, tmp_path / "out.mp4", "x2")
    assert inspect(tmp_path / "out.mp4").video.colour.tag == 6


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_survives(tmp_path: Path, rotation: int) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(rotation=rotation, frames=3))
    process(source, tmp_path / "out.mp4", "x2")
    before, after = inspect(source), inspect(tmp_path / "out.mp4")
    assert before.media.video.rotation == after.media.video.rotation == rotation
    assert after.media.video.width == 128


def test_aspect_metadata_language_and_chapters_survive(tmp_path: Path) -> None:
    clip = Clip(
        sample_aspect_ratio=Fraction(4, 3),
        metadata=(("title", "A day out"), ("artist", "Somebody")),
        chapters=2,
        sounds=(Sound(language="deu"),),
    )
    source = make_clip(tmp_path / "in.mp4", clip)
    process(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
        assert container.metadata["title"] == "A day out"
        assert container.metadata["artist"] == "Somebody"
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["chapter 1", "chapter 2"]
        assert container.streams.audio[0].metadata["language"] == "deu"


def test_odd_sizes_are_rounded_up_to_even_ones(tmp_path: Path) -> None:
    # 4:4:4, which may be odd; times three it stays odd, and 4:2:0 cannot be
    source = make_clip(tmp_path / "in.mp4", Clip(width=33, height=21, pixel_format="yuv444p", frames=3, sounds=()))
    process(source, tmp_path / "out.mp4", "x3")
    video = inspect(tmp_path / "out.mp4").media.video
    assert (video.width, video.height) == (100, 64)


def test_frames_are_padded_for_the_model_and_cropped_again(tmp_path: Path) -> None:
    # 50x34 through a model that wants multiples of 16
    source = make_clip(tmp_path / "in.mp4", Clip(width=50, height=34, frames=5, sounds=(), options=LOSSLESS))
    picky = dataclasses.replace(fake_contract("picky"), size_multiple=16)
    process(source, tmp_path / "out.mp4", "picky", server=FakeInferenceServer([picky]))
    process(source, tmp_path / "plain.mp4", "x2")
    picked, plain = read_clip(tmp_path / "out.mp4").pictures, read_clip(tmp_path / "plain.mp4").pictures
    assert picked[0].shape == (68, 100, 3)
    assert np.abs(np.array(picked, int) - np.array(plain, int)).max() <= 2


def test_a_chain_of_steps_multiplies_and_decodes_once(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=9))
    server = server_with(2, 3)
    result = process(source, tmp_path / "out.mp4", "x2", "x3", server=server)
    assert [usage.name for usage in sorted(result.usage, key=lambda usage: usage.name)] == [
        "close",
        "decode",
        "draw",
        "encode",
        "memory",
        "step 1",
        "step 2",
    ]
    video = inspect(tmp_path / "out.mp4").media.video
    assert (video.width, video.height, video.frames) == (384, 288, 9)


class Backwards(FakeInferenceServer):
    """Ends requests two by two, the second of each pair first."""

    most_under_way = 0

    def infer(self, *args: Any, **options: Any) -> Future[None]:
        future = super().infer(*args, **options)
        self.most_under_way = max(self.most_under_way, len(self.pending))
        if len(self.pending) == 2:
            second, first = self.pending[1], self.pending[0]
            second.finish()
            first.finish()
        return future


def test_frames_keep_their_order_when_batches_come_back_out_of_order(tmp_path: Path) -> None:
    # 36 frames: units of 13 and 23, which are 4 and 6 batches of at most 4: 5 pairs
    source = make_clip(tmp_path / "in.mp4", Clip(frames=36, sounds=(), options=LOSSLESS), smooth)
    server = Backwards([fake_contract("x1", scale=1, max_batch=4)], hold=True)
    process(source, tmp_path / "out.mp4", "x1", server=server)
    assert server.most_under_way == 2
    before, after = read_clip(source).pictures, read_clip(tmp_path / "out.mp4").pictures
    assert np.abs(np.array(before, int) - np.array(after, int)).mean() < 1


def test_memory_is_a_fixed_number_of_blocks_whatever_the_length(tmp_path: Path) -> None:
    sizes = {}
    for frames in (8, 120):
        source = make_clip(tmp_path / "in.mp4", Clip(frames=frames))
        server = server_with(2)
        process(source, tmp_path / "out.mp4", "x2", server=server)
        sizes[frames] = [arena._blocks for arena in server.arenas]
        assert all(arena.closed for arena in server.arenas)
    assert sizes[8] == sizes[120] == [BLOCKS, BLOCKS]


def test_a_failed_batch_fails_the_run_and_leaves_nothing(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=40))
    server = server_with(2)
    server.fail_next(WorkerError("the model broke", code=ErrorCode.INFERENCE_FAILED))
    with pytest.raises(WorkerError, match="the model broke"):
        process(source, tmp_path / "out.mp4", "x2", server=server)
    assert not (tmp_path / "out.mp4").exists()
    assert all(arena.closed for arena in server.arenas)


class Started(FakeInferenceServer):
    """Says when the first request is under way; none ever ends."""

    def __init__(self) -> None:
        super().__init__(hold=True)
        self.started = threading.Event()

    def infer(self, *args: Any, **options: Any) -> Future[None]:
        future = super().infer(*args, **options)
        self.started.set()
        return future


def test_stopping_ends_a_run_that_waits_for_the_model(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=40))
    server = Started()
    run = pipeline(source, tmp_path / "out.mp4", server, enhance(""))

    def stop() -> None:
        assert server.started.wait(10)
        run.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(Aborted):
        run.run()
    stopper.join()
    assert not (tmp_path / "out.mp4").exists()
    assert all(arena.closed for arena in server.arenas)


def test_a_file_that_breaks_off_gives_what_there_is_and_a_remark(tmp_path: Path) -> None:
    # Matroska has no index to lose: cut in the middle it still plays
    source = truncate(make_clip(tmp_path / "in.mkv", Clip(frames=100)), 0.6)
    result = process(source, tmp_path / "out.mp4", "x2")
    assert 10 < result.frames_out < 100
    assert result.frames_in == result.frames_out == len(read_clip(tmp_path / "out.mp4").pictures)


def test_a_damaged_packet_is_skipped_and_said(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(frames=60, sounds=(), options=(("g", "10"), ("preset", "ultrafast"))))
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = bytes(600)
    source.write_bytes(data)
    result = process(source, tmp_path / "out.mp4", "x1")
    assert 30 < result.frames_out <= 60


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_uncompressed_sound_from_avi_keeps_its_samples(tmp_path: Path, layout: str) -> None:
    # MPEG-4 with PCM: AVI names no channel layout, and MP4 refuses PCM without one
    sounds = (Sound(codec="pcm_s16le", layout=layout),)
    source = make_clip(tmp_path / "in.avi", Clip(codec="mpeg4", options=(), sounds=sounds))
    assert process(source, tmp_path / "out.mp4", "x1").container == "mp4"
    before, after = read_clip(source, pictures=False), read_clip(tmp_path / "out.mp4", pictures=False)
    assert b"".join(data for _, data in before.audio[0]) == b"".join(data for _, data in after.audio[0])
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].layout.nb_channels == av.AudioLayout(layout).nb_channels


def test_frames_an_edit_list_hides_are_left_out_and_not_missed(tmp_path: Path) -> None:
    # time stamps below zero: MP4 hides what lies before zero behind an edit list
    stamps = tuple(range(-10 * 512, 10 * 512, 512))
    source = make_clip(tmp_path / "in.mp4", Clip(frames=20, time_base=Fraction(1, 12_800), pts=stamps, sounds=()))
    result = process(source, tmp_path / "out.mp4", "x1")
    assert result.frames_in == result.frames_out == len(read_clip(source).pictures) < 20 * 0.9
    assert result.remarks == ()


def test_an_estimated_number_of_frames_is_no_promise(tmp_path: Path) -> None:
    # Matroska counts no frames: 12 in two seconds at a nominal 25 a second are no damage
    stamps = tuple(number * 170 for number in range(12))
    source = make_clip(tmp_path / "in.mkv", Clip(frames=12, time_base=Fraction(1, 1000), pts=stamps, sounds=()))
    assert inspect(source).video.frames > 12
    assert process(source, tmp_path / "out.mp4", "x1").remarks == ()


def test_a_track_that_mp4_cannot_hold_makes_the_result_matroska(tmp_path: Path) -> None:
    # WavPack: Matroska takes it, MP4 does not
    source = make_clip(tmp_path / "in.mkv", Clip(sounds=(Sound(codec="wavpack"),)))
    result = process(source, tmp_path / "out.mp4", "x1")
    assert result.container == "matroska"
    assert any("Matroska" in remark for remark in result.remarks)
    before, after = read_clip(source, pictures=False), read_clip(tmp_path / "out.mp4", pictures=False)
    assert [payload for _, payload in before.audio[0]] == [payload for _, payload in after.audio[0]]


def test_a_result_too_large_to_write_is_refused_before_work_starts(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(width=1024, height=2400, frames=1, sounds=()))
    server = FakeInferenceServer([fake_contract("x4", scale=4)])
    with pytest.raises(StepError, match="the result would be 4096x9600"):
        process(source, tmp_path / "out.mp4", "x4", server=server)
    assert server.arenas == []


def test_crf_and_preset_reach_the_encoder(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(frames=20, sounds=()))
    sizes = []
    for crf in (10, 40):
        settings = EncoderSettings(crf=crf, preset="ultrafast")
        pipeline(source, tmp_path / "out.mp4", server_with(1), enhance("x1"), settings=settings).run()
        sizes.append((tmp_path / "out.mp4").stat().st_size)
    assert sizes[1] < sizes[0] / 2
    assert BEST.crf == 0


def test_a_file_without_pictures_fails_typed(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    source.write_text("this is a letter, not a film\n" * 100)
    with pytest.raises(MediaError) as failure:
        process(source, tmp_path / "out.mp4")
    assert failure.value.code == ErrorCode.MEDIA_UNREADABLE


def smooth(clip: Clip, number: int) -> NDArray[np.uint8]:
    """Soft gradients through most of the colours."""
    y, x = np.mgrid[0 : clip.height, 0 : clip.width] / clip.height
    waves = [np.sin(x * 3 + number), np.cos(y * 4), np.sin(x + y)]
    return np.stack([128 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)


def _planes(path: Path) -> tuple[Any, Any]:
    with av.open(str(path)) as container:
        frames = np.array([frame.to_ndarray().astype(int) for frame in container.decode(video=0)])
    lines = frames.shape[1] * 2 // 3
    return frames[:, :lines], frames[:, lines:]
