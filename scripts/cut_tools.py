"""The tools our cutting is compared with, each in an environment of its own that is made once.

FOLDER/smartcut      smartcut
FOLDER/auto-editor   auto-editor 23.32.1, the last version in Python; what it asked for is no longer published, so it
                     gets the oldest PyAV that is, and FFmpeg from imageio-ffmpeg; `ffprobe` has to be on the PATH
FOLDER/silero        silero-vad's files, without what it depends on: torch is here already
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_SMARTCUT = ("smartcut==1.7",)
_AUTO_EDITOR = ("auto-editor==23.32.1", "ae-ffmpeg==1.1.1")
_BESIDE_AUTO_EDITOR = ("av==12.3.0", "numpy<2", "pillow<11", "imageio-ffmpeg>=0.6")
_SILERO = ("silero-vad==6.2.3",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Where they are; None for one that is not to be had."""

    smartcut: Path | None
    """A Python that has it."""
    auto_editor: Path | None
    """The folder with the commands `auto-editor`, `ffmpeg` and `ffprobe`."""
    silero: Path | None
    """A folder for PYTHONPATH."""
    missing: tuple[str, ...]
    """Why one is not, a line each."""


def make_tools(folder: Path) -> Tools:
    """Those that are not in `folder` yet are installed there."""
    missing: list[str] = []

    def had(make: object, name: str) -> Path | None:
        try:
            return make(folder / name)  # type: ignore[operator, no-any-return]  # one of the functions below
        except (OSError, subprocess.CalledProcessError) as error:
            missing.append(f"{name}: {error}")
            return None

    return Tools(
        smartcut=had(_smartcut, "smartcut"),
        auto_editor=had(_auto_editor, "auto-editor"),
        silero=had(_silero, "silero"),
        missing=tuple(missing),
    )


def _smartcut(folder: Path) -> Path:
    python = _environment(folder)
    if not _has(python, "smartcut"):
        _install(python, *_SMARTCUT)
    return python


def _auto_editor(folder: Path) -> Path:
    python = _environment(folder)
    if not _has(python, "imageio_ffmpeg"):
        _install(python, "--no-deps", *_AUTO_EDITOR)
        _install(python, *_BESIDE_AUTO_EDITOR)
    commands = folder / "bin"
    ffmpeg = subprocess.check_output([python, "-c", "import imageio_ffmpeg as i; print(i.get_ffmpeg_exe())"], text=True)
    ffprobe = shutil.which("ffprobe")
    if ffprobe is None and not (commands / "ffprobe").exists():
        raise FileNotFoundError("ffprobe is not on the PATH; Debian's package ffmpeg has it")
    for name, program in (("ffmpeg", ffmpeg.strip()), ("ffprobe", ffprobe)):
        if program and not (commands / name).exists():
            (commands / name).symlink_to(program)
    return commands


def _silero(folder: Path) -> Path:
    if not (folder / "silero_vad").exists():
        _install(Path(sys.executable), "--no-deps", "--target", str(folder), *_SILERO)
    return folder


def _environment(folder: Path) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return python


def _has(python: Path, module: str) -> bool:
    return subprocess.run([python, "-c", f"import {module}"], check=False, capture_output=True).returncode == 0


def _install(python: Path, *packages: str) -> None:
    command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
    subprocess.run(command, check=True)
