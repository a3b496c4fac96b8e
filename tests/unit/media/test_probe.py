"""What people are told of a file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import Clip, Sound, make_clip

from coordinator.media.codecs import EncoderSettings, choose_encoding
from coordinator.media.probe import inspect, probe, rotation


def test_probing_tells_size_rate_and_length(tmp_path: Path) -> None:
    clip = Clip(width=96, height=64, frames=50, rate=Fraction(25), sounds=(Sound(layout="5.1"),))
    info = probe(make_clip(tmp_path / "film.mp4", clip))
    video = info.video
    assert (video.codec, video.width, video.height, video.fps, video.frames) == ("h264", 96, 64, 25.0, 50)
    assert video.pixel_format == "yuv420p"
    assert info.duration == pytest.approx(2.0, abs=0.03)
    (audio,) = info.audio
    assert (audio.codec, audio.sample_rate, audio.channels) == ("aac", 48_000, 6)
    assert audio.duration == pytest.approx(2.0, abs=0.03)


def test_frames_are_estimated_where_the_container_does_not_count(tmp_path: Path) -> None:
    facts = inspect(make_clip(tmp_path / "film.mkv", Clip(frames=50))).video
    assert abs(facts.frames - 50) <= 1


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_is_told_clockwise(tmp_path: Path, degrees: int) -> None:
    assert probe(make_clip(tmp_path / "film.mp4", Clip(frames=2, rotation=degrees))).video.rotation == degrees


def test_a_mirrored_picture_is_not_taken_for_a_turned_one() -> None:
    one = 1 << 16
    assert rotation((-one, 0, 0, 0, one, 0, 0, 0, 1 << 30)) == 180
    assert rotation((one, 0, 0, 0, -one, 0, 0, 0, 1 << 30)) == 0
    assert rotation(None) == 0


def test_untagged_colours_are_taken_as_players_take_them(tmp_path: Path) -> None:
    small = inspect(make_clip(tmp_path / "sd.mp4", Clip(frames=1, height=480, sounds=()))).video
    large = inspect(make_clip(tmp_path / "hd.mp4", Clip(frames=1, height=720, sounds=()))).video
    assert (small.colour.tag, large.colour.tag) == (6, 1)
    assert small.colour.range == 1


@pytest.mark.parametrize(("matrix", "name"), [(8, "YCgCo"), (10, "BT.2020 constant luminance"), (14, "ICtCp")])
def test_a_matrix_that_is_not_converted_stays_named_and_is_said(tmp_path: Path, matrix: int, name: str) -> None:
    # 10 bits, because swscale then refuses a picture of such a matrix when it is not told another one
    options = (("preset", "ultrafast"), ("x265-params", "log-level=none"))
    clip = Clip(frames=3, codec="libx265", pixel_format="yuv420p10le", options=options, colorspace=matrix, sounds=())
    facts = inspect(make_clip(tmp_path / "odd.mp4", clip)).video
    assert (facts.colour.tag, facts.colour.misread) == (matrix, name)
    assert any(name in remark for remark in choose_encoding(EncoderSettings(), facts).remarks)


def test_transparency_that_is_not_decoded_is_noticed(tmp_path: Path) -> None:
    # VP9 keeps it in a second stream beside the picture, which FFmpeg's own decoder passes over
    source = make_clip(tmp_path / "plain.webm", Clip(frames=5, codec="libvpx-vp9", options=(), sounds=()))
    with av.open(str(source)) as plain, av.open(str(tmp_path / "film.webm"), "w") as output:
        copy = output.add_stream_from_template(plain.streams.video[0], opaque=True)
        copy.metadata["alpha_mode"] = "1"
        for packet in plain.demux(plain.streams.video[0]):
            if packet.size:
                packet.stream = copy
                output.mux(packet)
    assert not inspect(tmp_path / "plain.webm").video.alpha
    assert inspect(tmp_path / "film.webm").video.alpha


def test_captions_inside_the_pictures_are_noticed_and_it_is_said(tmp_path: Path) -> None:
    # an SEI message in front of every picture, as ATSC A/53 has it: one field-1 pair of CEA-608
    caption = b"\xb5\x00\x31GA94\x03\x41\xff\xfc\x94\x20\xff"
    message = b"\x06\x04" + bytes([len(caption)]) + caption + b"\x80"
    source = make_clip(tmp_path / "plain.mp4", Clip(frames=5, sounds=()))
    with av.open(str(source)) as plain, av.open(str(tmp_path / "film.mp4"), "w") as output:
        copy = output.add_stream_from_template(plain.streams.video[0], opaque=True)
        for packet in plain.demux(plain.streams.video[0]):
            if packet.size:
                told = av.Packet(len(message).to_bytes(4, "big") + message + bytes(packet))
                told.pts, told.dts, told.time_base, told.stream = packet.pts, packet.dts, packet.time_base, copy
                told.is_keyframe = packet.is_keyframe
                output.mux(told)
    assert inspect(source).video.lost == ()
    facts = inspect(tmp_path / "film.mp4").video
    assert facts.lost == ("closed captions inside the pictures",)
    assert "left out: closed captions inside the pictures" in choose_encoding(EncoderSettings(), facts).remarks


def test_more_than_eight_bits_are_noticed(tmp_path: Path) -> None:
    clip = Clip(frames=3, codec="libx265", pixel_format="yuv420p10le", options=(("x265-params", "log-level=none"),))
    assert inspect(make_clip(tmp_path / "deep.mp4", clip)).video.deep
