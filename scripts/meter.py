"""What a stack's processes use while something runs: peak memory, processor time, and pictures left on disk."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_INTERVAL = 0.05
_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".webp", ".exr"),
    *(".npy", ".npz", ".raw", ".yuv", ".rgb", ".y4m"),
}
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"P6\n", b"P5\n", b"\x93NUMPY", b"YUV4MPEG2")


@dataclass(slots=True, kw_only=True)
class Usage:
    """Of everything that was measured."""

    rss: dict[str, int] = field(default_factory=dict)
    """Peak resident bytes by role; shared memory counts in each process that has touched it."""
    cpu: float = 0.0
    """Seconds of user and system time of all processes together."""
    frame_file_bytes: int = 0
    """Peak of the bytes of picture files and raw frame files below the watched folder."""


class Meter:
    """Samples processes and a folder from a thread of its own."""

    def __init__(self, services: Mapping[str, int], folder: Path) -> None:
        self._services = services
        self._folder = folder

    @contextlib.contextmanager
    def processor_time(self) -> Iterator[Usage]:
        """Measure that alone: looking at all processes twenty times a second takes a tenth of a core from them."""
        usage, before = Usage(), self._cpu()
        try:
            yield usage
        finally:
            usage.cpu = self._cpu() - before

    @contextlib.contextmanager
    def measured(self) -> Iterator[Usage]:
        """Measure what happens inside; the Usage is complete afterwards."""
        usage, stop = Usage(), threading.Event()
        before = self._cpu()
        thread = threading.Thread(target=self._sample, args=(usage, stop), daemon=True)
        thread.start()
        try:
            yield usage
        finally:
            stop.set()
            thread.join()
            usage.cpu = self._cpu() - before

    def _sample(self, usage: Usage, stop: threading.Event) -> None:
        while not stop.wait(_INTERVAL):
            now: dict[str, int] = {}
            for role, process in self._processes():
                with contextlib.suppress(psutil.Error):
                    now[role] = now.get(role, 0) + process.memory_info().rss
            for role, rss in now.items():
                usage.rss[role] = max(usage.rss.get(role, 0), rss)
            usage.frame_file_bytes = max(usage.frame_file_bytes, frame_file_bytes(self._folder))

    def _processes(self) -> Iterator[tuple[str, psutil.Process]]:
        """Each process with its role: a runner apart from its worker, Triton's model processes apart from Triton."""
        for name, pid in self._services.items():
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                yield name, process
                for child in process.children(recursive=True):
                    yield {"coordinator": "runner", "triton": "triton models"}.get(name, name), child

    def _cpu(self) -> float:
        """Of all that live, and of what they have waited for."""
        total = 0.0
        for _, process in self._processes():
            with contextlib.suppress(psutil.Error):
                total += sum(process.cpu_times()[:4])
        return total


def frame_file_bytes(folder: Path) -> int:
    """Bytes of files that are single pictures or raw frames, by name or by their first bytes."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and (path.suffix.lower() in _SUFFIXES or _begins_like_a_picture(path)):
                total += path.stat().st_size
    return total


def _begins_like_a_picture(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(9).startswith(_MAGIC)
