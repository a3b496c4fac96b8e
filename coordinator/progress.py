"""Progress of the frames of one job, about twice a second."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from google.protobuf.duration_pb2 import Duration

from framewire.v1.job_pb2 import Progress

STAGE = "process"


class ProgressMeter:
    """Turns a growing number of frames into Progress messages.

    The first call reports at once, later ones when `interval` has passed; `finish` reports 1.0.
    Safe from several threads.
    """

    def __init__(
        self,
        total: int,
        report: Callable[[Progress], None],
        *,
        interval: float = 0.5,
        window: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`total`: frames expected, 0 when unknown. Speed is measured over the last `window` seconds."""
        self._total = total
        self._report = report
        self._interval = interval
        self._window = window
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()
        self._reported: float | None = None
        self._done = 0
        self._ahead = 0.0  # of all the work, what comes before the first frame and is done
        self._lock = threading.Lock()

    def expect(self, total: int) -> None:
        """So many frames are expected, 0 when unknown; for when it turns out later."""
        with self._lock:
            self._total = total

    def update(self, done: int) -> None:
        """`done` frames have been written."""
        with self._lock:
            self._done = done
            self._report_after(self._interval)

    def prepare(self, share: float) -> None:
        """So much of all the work, from 0 to 1, is done before the first frame can be."""
        with self._lock:
            self._ahead = share
            self._report_after(self._interval)
            self._seen.clear()  # speed is that of frames, and none could come yet

    def repeat(self, silence: float) -> None:
        """Report again, when nothing was reported for `silence` seconds."""
        with self._lock:
            self._report_after(silence)

    def finish(self, done: int) -> None:
        """All frames have been written; `done` is what there turned out to be."""
        with self._lock:
            self._total = done
            progress = self._progress(done, self._clock())
            progress.fraction = 1.0
            self._report(progress)

    def _report_after(self, silence: float) -> None:
        now = self._clock()
        if self._reported is None or now - self._reported >= silence:
            self._reported = now
            self._report(self._progress(self._done, now))

    def _progress(self, done: int, now: float) -> Progress:
        total = max(self._total, done) if self._total else 0
        fps = self._speed(done, now)
        fraction = self._ahead + (1 - self._ahead) * done / total if total else self._ahead
        progress = Progress(stage=STAGE, fraction=fraction, frames_done=done, frames_total=total, fps=fps)
        if total and fps > 0:
            progress.eta.CopyFrom(_duration((total - done) / fps))
        return progress

    def _speed(self, done: int, now: float) -> float:
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - self._window:
            self._seen.popleft()
        since, before = self._seen[0]
        return (done - before) / (now - since) if now > since else 0.0


@contextlib.contextmanager
def kept_alive(meter: ProgressMeter, *, every: float) -> Iterator[None]:
    """Repeat the progress, from a thread, whenever nothing was told for so many seconds, until the block ends."""
    ended = threading.Event()

    def repeat() -> None:
        with contextlib.suppress(BrokenPipeError):  # the main thread finds out too
            while not ended.wait(every):
                meter.repeat(every)

    thread = threading.Thread(target=repeat, name="keep alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration
