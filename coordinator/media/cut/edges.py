"""Pieces around cuts: decoded from the key frame before them and encoded again, several at a time."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from coordinator.flow import Aborted
from coordinator.media.cut.encoder import EdgeEncoder, EncodedPacket, Setup
from coordinator.media.cut.obstacles import CannotCopy, Obstacle
from coordinator.media.cut.plan import Encoded
from coordinator.media.cut.survey import Film, Group
from coordinator.media.errors import reading
from coordinator.media.limits import MediaLimits
from coordinator.media.open import main_video, open_input
from coordinator.media.packets import packets

_LOOK_SECONDS = 0.1
"""How often somebody who waits looks whether the work was stopped."""


class Edges:
    """All pieces that are encoded again, in order. Use as a context manager; leaving it stops what still runs."""

    def __init__(
        self, path: Path, film: Film, setup: Setup, limits: MediaLimits, pieces: Sequence[tuple[Encoded, Sequence[int]]]
    ) -> None:
        """`pieces`: each with the pts of its pictures in the result."""
        self._path, self._film, self._setup, self._limits = path, film, setup, limits
        self._waiting = deque(pieces)
        self._running: deque[Future[list[EncodedPacket]]] = deque()
        self._stopped = threading.Event()
        self._cutters = threading.local()
        self._opened: list[_Cutter] = []
        workers = max(1, min(len(pieces), len(os.sched_getaffinity(0))))
        self._threads = max(1, len(os.sched_getaffinity(0)) // workers)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="edge")
        for _ in range(workers + 1):  # so many pieces lie in memory at most
            self._submit()

    def __enter__(self) -> Edges:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)
        for cutter in self._opened:
            cutter.close()

    def take(self, check: Callable[[], None]) -> list[EncodedPacket]:
        """The packets of the next piece, in order; waits for them. `check` is called meanwhile and may raise.

        Raises CannotCopy (DAMAGED) when one of its pictures does not come out of the decoder.
        """
        future = self._running.popleft()
        while True:
            check()
            try:
                done = future.result(_LOOK_SECONDS)
            except TimeoutError:
                continue
            self._submit()
            return done

    def _submit(self) -> None:
        if self._waiting:
            self._running.append(self._pool.submit(self._work, *self._waiting.popleft()))

    def _work(self, piece: Encoded, pts: Sequence[int]) -> list[EncodedPacket]:
        encoder, done = EdgeEncoder(self._setup), list[EncodedPacket]()
        keys = _first_places(piece)
        for number, frame in enumerate(self._cutter().pictures(piece)):
            done.extend(encoder.encode(frame, pts[number], key=number in keys))
        done.extend(encoder.flush())
        if [packet.pts for packet in done] != list(pts):
            raise CannotCopy(Obstacle.NO_ENCODER, "it did not write every picture in order")
        return done

    def _cutter(self) -> _Cutter:
        """This thread's own opening of the film."""
        found: _Cutter | None = getattr(self._cutters, "own", None)
        if found is None:
            found = self._cutters.own = _Cutter(self._path, self._film, self._limits, self._threads, self._stopped)
            self._opened.append(found)
        return found


def _first_places(piece: Encoded) -> set[int]:
    places, at = set(), 0
    for first, end in piece.ranges:
        places.add(at)
        at += end - first
    return places


class _Cutter:
    """Decodes chosen pictures of an open film. For one thread."""

    def __init__(self, path: Path, film: Film, limits: MediaLimits, threads: int, stopped: threading.Event) -> None:
        self._film, self._stopped = film, stopped
        self._container: InputContainer = open_input(path, limits, known=True)
        self._video: VideoStream = main_video(self._container, limits)
        self._video.codec_context.thread_count = threads
        self._used = False

    def close(self) -> None:
        self._container.close()

    def pictures(self, piece: Encoded) -> Iterator[VideoFrame]:
        """Every picture of the piece, in the order of showing. Raises CannotCopy (DAMAGED)."""
        for group, ranges in groupby(piece.ranges, lambda span: self._film.group(span[0]).first):
            wanted = [place for first, end in ranges for place in range(first, end)]
            yield from self._wanted(self._film.group(group), wanted)

    def _wanted(self, group: Group, places: Sequence[int]) -> Iterator[VideoFrame]:
        expected = deque(int(self._film.shown[place]) for place in places)
        for frame in self._decoded(group, frozenset(places)):
            if expected and frame.pts == expected[0]:
                expected.popleft()
                yield frame
        if expected:
            raise CannotCopy(Obstacle.DAMAGED, f"the picture at pts {expected[0]} did not come out of the decoder")

    def _decoded(self, group: Group, wanted: frozenset[int]) -> Iterator[VideoFrame]:
        """Pictures of the group, those that nobody needs left out, as far as the last that is wanted."""
        film, context = self._film, self._video.codec_context
        if self._used:
            context.flush_buffers()
        self._used = True
        places = film.place[group.first : group.end].tolist()
        last = max(number for number, place in enumerate(places) if place in wanted)
        with reading("decode the pictures beside a cut"):
            for number, packet in zip(range(last + 1), self._packets(group), strict=False):
                if self._stopped.is_set():
                    raise Aborted
                if not film.disposable[group.first + number] or places[number] in wanted:
                    yield from self._decode(packet)
            yield from self._decode(None)

    def _decode(self, packet: Packet[VideoStream] | None) -> Sequence[VideoFrame]:
        try:
            return self._video.codec_context.decode(packet)
        except (av.error.InvalidDataError, av.error.EOFError) as error:
            raise CannotCopy(Obstacle.DAMAGED, str(error)) from error

    def _packets(self, group: Group) -> Iterator[Packet[VideoStream]]:
        """The group's packets, found by the time stamps of its key frame. Raises CannotCopy (DAMAGED)."""
        film, number = self._film, group.first
        before = int(film.shown[max(0, group.first - 1)])  # a container may seek by decoding times, which are earlier
        self._container.seek(before, stream=self._video, backward=True)
        found: Iterator[Packet[Stream]] = packets(self._container, [self._video.index])
        for packet in found:
            if number == group.first and packet.pts != film.pts[number]:
                continue
            if number == group.end:
                return
            if packet.pts != film.pts[number]:
                break
            number += 1
            yield packet  # type: ignore[misc]  # of the video track
        if number < group.end:
            raise CannotCopy(Obstacle.DAMAGED, f"packet {number} was not found again")
