"""Strangers' files: what is opened, what is refused, and in which words."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import pytest
from clips import Clip, Sound, make_clip, truncate

from coordinator.media.limits import MediaLimits
from coordinator.media.open import open_input
from coordinator.media.probe import inspect, probe
from coordinator.media.truncation import is_cut_short
from coordinator.media.whitelist import DECODERS
from framewire.errors import ErrorCode, MediaError


def refusal(path: Path, limits: MediaLimits | None = None) -> MediaError:
    with pytest.raises(MediaError) as failure:
        inspect(path, limits)
    assert "\n" not in failure.value.message
    assert "/" not in failure.value.message.replace("I/O", "")  # no path of this machine
    return failure.value


def test_a_text_file_is_not_media_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_text("Dear reader,\n" * 500)
    error = refusal(path)
    assert error.code == ErrorCode.MEDIA_UNREADABLE
    assert "MP4, MOV, AVI, MKV or WebM" in error.message


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, struct.pack(">I4s", 0, b"moov") * 100])
def test_empty_and_senseless_files_are_unreadable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    assert refusal(path).code == ErrorCode.MEDIA_UNREADABLE


def test_a_playlist_reads_no_other_file(tmp_path: Path) -> None:
    make_clip(tmp_path / "secret.mp4", Clip(frames=2))
    for name, text in {
        "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "list.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "list.ffconcat": "ffconcat version 1.0\nfile secret.mp4\n",
    }.items():
        (tmp_path / name).write_text(text)
        assert refusal(tmp_path / name).code == ErrorCode.MEDIA_UNREADABLE


def test_a_name_that_looks_like_a_protocol_is_only_a_name(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mp4", Clip(frames=2)).rename(tmp_path / "concat:in.mp4|x")
    assert probe(path).video.frames == 2


@pytest.mark.parametrize("container", ["mpegts", "flv", "nut"])
def test_other_containers_are_refused(tmp_path: Path, container: str) -> None:
    clip = Clip(frames=5, sounds=(), container=container)
    error = refusal(make_clip(tmp_path / "film.mp4", clip))
    assert error.code == ErrorCode.MEDIA_UNREADABLE
    assert error.message == "the file is not MP4, MOV, AVI, MKV or WebM; convert it to one of them"


@pytest.mark.parametrize("name", ["film.mp4", "film.mov", "film.mkv", "film.avi"])
def test_the_container_is_found_by_content(tmp_path: Path, name: str) -> None:
    path = make_clip(tmp_path / name, Clip(frames=5)).rename(tmp_path / "upload")
    assert probe(path).video.codec == "h264"


def test_webm_is_read(tmp_path: Path) -> None:
    clip = Clip(frames=5, codec="libvpx", options=(), sounds=(Sound(codec="libopus"),))
    info = probe(make_clip(tmp_path / "film.webm", clip))
    assert (info.video.codec, info.audio[0].codec) == ("vp8", "opus")


def test_sound_alone_has_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=48_000)
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
        frame.sample_rate = 48_000
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert refusal(path).code == ErrorCode.MEDIA_NO_VIDEO


def test_a_codec_nobody_can_decode_is_named_as_the_reason(tmp_path: Path) -> None:
    # H.264 whose sample description claims to be something else
    path = make_clip(tmp_path / "film.mp4", Clip(frames=3, sounds=()))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz1"))
    assert refusal(path).code == ErrorCode.MEDIA_UNSUPPORTED_CODEC


def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "film.mp4", Clip(width=640, height=480, frames=1, sounds=()))
    error = refusal(path, MediaLimits(max_input_pixels=640 * 400))
    assert error.code == ErrorCode.MEDIA_TOO_LARGE
    assert "640x480" in error.message


@pytest.mark.parametrize(
    ("name", "clip", "share"),
    [
        ("film.mp4", Clip(frames=20), 0.5),  # its index is at its end
        ("film.mp4", Clip(frames=20, sounds=(), index_first=True), 0.06),  # the index, and not one whole picture
        ("film.mkv", Clip(frames=20, sounds=()), 0.1),
        ("film.avi", Clip(frames=20, codec="mpeg4", options=(), sounds=()), 0.02),
    ],
)
def test_a_file_that_breaks_off_before_its_first_picture_is_called_truncated(
    tmp_path: Path, name: str, clip: Clip, share: float
) -> None:
    error = refusal(truncate(make_clip(tmp_path / name, clip), share))
    assert error.code == ErrorCode.MEDIA_TRUNCATED
    assert "0 frames could be read" in error.message


@pytest.mark.parametrize(
    "clip", [Clip(frames=20, container="mp4"), Clip(frames=20, container="matroska"), Clip(frames=20, container="avi")]
)
def test_a_whole_file_is_not_cut_short(tmp_path: Path, clip: Clip) -> None:
    path = make_clip(tmp_path / "film", clip)
    assert not is_cut_short(path)
    assert is_cut_short(truncate(path, 0.9))


def test_a_track_of_a_forgotten_codec_is_refused_by_name(tmp_path: Path) -> None:
    # FLIC-like video of the Amiga, which this FFmpeg could decode
    path = make_clip(tmp_path / "film.avi", Clip(frames=3, codec="asv1", options=(), pixel_format="yuv420p", sounds=()))
    error = refusal(path)
    assert error.code == ErrorCode.MEDIA_UNSUPPORTED_CODEC
    assert "asv1" in error.message


def test_every_decoder_on_the_list_is_one(tmp_path: Path) -> None:
    assert {name for name in DECODERS if name not in av.codecs_available} == set()


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (MediaLimits(max_tracks=2), "3 tracks"),
        (MediaLimits(max_chapters=1), "2 chapters"),
        (MediaLimits(max_tag_bytes=20), "tags"),
        (MediaLimits(max_duration=0.5), "hours"),
    ],
    ids=["tracks", "chapters", "tags", "duration"],
)
def test_a_header_that_promises_too_much_is_refused(tmp_path: Path, limits: MediaLimits, said: str) -> None:
    # 1 s of H.264 with two sound tracks, two chapters and a title of 50 letters
    clip = Clip(sounds=(Sound(), Sound()), chapters=2, metadata=(("title", "t" * 50),))
    path = make_clip(tmp_path / "film.mkv", clip)
    assert probe(path).video.codec == "h264"
    error = refusal(path, limits)
    assert error.code == ErrorCode.MEDIA_TOO_LARGE
    assert said in error.message


def test_a_file_that_does_not_exist_is_unreadable(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nothing.mp4").code == ErrorCode.MEDIA_UNREADABLE


def test_tags_that_are_not_text_do_no_harm(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "film.mkv", Clip(frames=2, metadata=(("title", "QQQQ"),)))
    path.write_bytes(path.read_bytes().replace(b"QQQQ", b"\xff\xfe\xff\xfe"))
    with open_input(path, MediaLimits()) as container:
        assert container.metadata["title"] == "�" * 4
