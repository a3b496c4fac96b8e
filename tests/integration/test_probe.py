"""The program that looks into uploads, run as the gateway runs it."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, make_clip

from coordinator.sandbox import landlock
from framewire.errors import MediaError, Unavailable
from gateway.uploads import UploadSettings
from gateway.uploads.kinds import kind_of
from gateway.uploads.probe import ProbeProgram

PROBE = (sys.executable, "-P", "-m", "coordinator.probe")


def the_probe(*argv: str, timeout: float = 30.0) -> ProbeProgram:
    environment = {"FRAMEWIRE_SANDBOX": "prefer", "OPENBLAS_NUM_THREADS": "1"}
    return ProbeProgram(UploadSettings(probe=argv or PROBE, probe_environment=environment, probe_timeout=timeout))


def sound(path: Path, codec: str, form: str) -> Path:
    """Half a second of noise, one channel at 44.1 kHz."""
    with av.open(str(path), "w", format=form) as out:
        stream = out.add_stream(codec, rate=44100, layout="mono")
        noise = np.random.default_rng(1).integers(-9000, 9000, (1, 22050), dtype=np.int16)
        frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
        frame.sample_rate = 44100
        for part in (*av.AudioResampler(stream.format, "mono", 44100, stream.frame_size or 0).resample(frame), None):
            out.mux(stream.encode(part))
    return path


def picture(path: Path, codec: str, pixels: str) -> Path:
    """48x32, one colour."""
    with av.open(str(path), "w", format="image2") as out:
        stream = out.add_stream(codec)
        stream.width, stream.height, stream.pix_fmt = 48, 32, pixels
        frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 90, np.uint8), format="rgb24").reformat(format=pixels)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def a_kind(path: Path) -> str:
    kind = kind_of(path.read_bytes()[:64])
    assert kind is not None
    return kind


@pytest.mark.parametrize(
    ("codec", "form", "kind"),
    [("pcm_s16le", "wav", "wav"), ("libmp3lame", "mp3", "mp3"), ("flac", "flac", "flac"), ("aac", "ipod", "m4a")],
)
async def test_sound_is_looked_into(tmp_path: Path, codec: str, form: str, kind: str) -> None:
    path = sound(tmp_path / "sound", codec, form)
    assert a_kind(path) == kind
    media = await the_probe()(path, kind)
    assert (media.audio[0].sample_rate, media.audio[0].channels) == (44100, 1)
    assert media.duration == pytest.approx(0.5, abs=0.1)
    assert not media.HasField("video")


@pytest.mark.parametrize(
    ("codec", "pixels", "kind"),
    [("png", "rgb24", "png"), ("mjpeg", "yuvj420p", "jpeg"), ("libwebp", "yuv420p", "webp")],
)
async def test_pictures_are_looked_into(tmp_path: Path, codec: str, pixels: str, kind: str) -> None:
    path = picture(tmp_path / f"picture.{kind}", codec, pixels)
    assert a_kind(path) == kind
    media = await the_probe()(path, kind)
    assert (media.container, media.video.width, media.video.height, media.video.frames) == (kind, 48, 32, 1)


async def test_films_are_looked_into(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", Clip(frames=10))
    assert a_kind(tmp_path / "clip.mp4") == "mp4"
    media = await the_probe()(tmp_path / "clip.mp4", "mp4")
    assert media.video.frames == 10
    assert media.video.codec == "h264"


async def test_a_film_that_is_none_is_refused_in_its_own_words(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"\0\0\0\x18ftypisom" + bytes(10_000))
    with pytest.raises(MediaError):
        await the_probe()(path, a_kind(path))


async def test_a_picture_that_promises_too_much_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    data = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    with pytest.raises(MediaError):
        await the_probe()(path, "png")


async def test_a_probe_that_hangs_is_ended_and_the_file_is_to_blame(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="longer than"):
        await the_probe(sys.executable, "-c", "import time; time.sleep(60)", timeout=0.3)(tmp_path, "mp4")


async def test_a_probe_that_is_killed_by_a_file_refuses_it(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="brings down"):
        await the_probe(sys.executable, "-c", "import os; os.kill(os.getpid(), 11)")(tmp_path, "mp4")


@pytest.mark.parametrize("argv", [("/nowhere/probe",), (sys.executable, "-c", "raise SystemExit(2)")])
async def test_a_probe_that_does_not_work_is_no_fault_of_the_file(tmp_path: Path, argv: tuple[str, ...]) -> None:
    with pytest.raises(Unavailable) as caught:
        await the_probe(*argv)(tmp_path, "mp4")
    assert caught.value.code == "PROBE_UNAVAILABLE"


async def test_a_playlist_under_another_name_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "playlist.mp4").write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")
    with pytest.raises(MediaError):
        await the_probe()(tmp_path / "playlist.mp4", "mp4")


async def test_the_probe_knows_no_key_of_the_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAMEWIRE_S3_SECRET_KEY", "secret")
    program = (
        "import os, sys; from framewire.v1.job_pb2 import Error; names = ' '.join(sorted(os.environ)); "
        "os.write(1, Error(code='MEDIA_UNREADABLE', message=names).SerializeToString()); sys.exit(1)"
    )
    with pytest.raises(MediaError) as told:
        await the_probe(sys.executable, "-c", program)(tmp_path, "mp4")
    assert set(told.value.message.split()) <= {"FRAMEWIRE_SANDBOX", "OPENBLAS_NUM_THREADS", "LC_CTYPE"}


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
def test_the_probe_reads_its_file_and_no_other_and_reaches_nobody(tmp_path: Path) -> None:
    for name in ("own", "other"):
        (tmp_path / name).write_text(name)
    program = (
        "import socket, sys; from pathlib import Path; from coordinator.probe import confine; "
        "confine(Path(sys.argv[1]), {}); print(Path(sys.argv[1]).read_text())\n"
        "for attempt in (lambda: Path(sys.argv[2]).read_text(), socket.socket):\n"
        "    try: attempt(); print('done')\n"
        "    except PermissionError: print('refused')"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "own"), str(tmp_path / "other")]
    environment = {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["own", "refused", "refused"]


@pytest.mark.parametrize(
    "head",
    [b"#EXTM3U\n", b"<svg xmlns=", b"MZ\x90\0", b"\0\0\0\x1cftypavif", b"GIF89a", b"RIFF\0\0\0\0ACON", b"", b"%PDF"],
)
def test_nothing_else_is_taken(head: bytes) -> None:
    assert kind_of(head) is None
