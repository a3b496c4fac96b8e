"""From the decoder to batches: cuts the film into units, leaves out what repeats, fills blocks.

    pictures, packets ──> [unit ends? same as the one before? batch full?] ──> batches

A batch never reaches across the beginning of a unit, and is handed on only when the frame behind it is known: only then
is it certain whether its unit ends with it. Held frames add a time stamp to the frame they repeat and nothing else;
the comparison starts anew with each unit, so that a run which begins there sees the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from av.video.frame import VideoFrame

from coordinator.account import Account
from coordinator.batch import Batch, Lease, Shot, UnitEnd
from coordinator.flow import Channel
from coordinator.inference.interface import Block
from coordinator.media.checks import look
from coordinator.media.decode import CopiedPacket, Picture, Reader
from coordinator.media.same import checksum, same_picture
from coordinator.media.timeline import Stamp
from coordinator.plan import Plan
from coordinator.units import Cutter

_PACKETS = 512
"""Packets to copy that may wait for a picture before they go ahead in a batch of their own."""


class Feed:
    """Fills batches for one run. For one thread."""

    def __init__(
        self,
        reader: Reader,
        plan: Plan,
        cutter: Cutter,
        free: Channel[Block],
        target: Channel[Batch],
        account: Account,
        *,
        frames_in: int = 0,
        held: int = 0,
        inferred: int = 0,
        check: Callable[[Stamp], None] = lambda _: None,
        wants_sample: Callable[[], bool] = lambda: False,
    ) -> None:
        """`frames_in`, `held`, `inferred`: of the part of the film that is done already.

        `check` may raise for a frame that must not be in the result. `wants_sample`: whether people should be shown
        the next frame.
        """
        self.frames_in = frames_in
        """Frames decoded, from the film's first on."""
        self.held = held
        """Of them, those that repeat the one before and were not sent to any model."""
        self.inferred = inferred
        """Of them, those that were."""
        self.first_frame: datetime | None = None
        """When this run had its first frame."""
        self._reader = reader
        self._plan = plan
        self._cutter = cutter
        self._free = free
        self._target = target
        self._account = account
        self._check = check
        self._wants_sample = wants_sample
        self._batch = Batch(cutter.index)
        self._packets: list[CopiedPacket] = []
        self._before: VideoFrame | None = None
        self._last: Stamp | None = None
        self._counters: dict[str, int] = {}

    def run(self, items: Iterable[Picture | CopiedPacket]) -> None:
        """Everything, to the end of the film. Raises Aborted, MediaError."""
        for item in self._account.each("decode", items):
            if isinstance(item, Picture):
                self._add(item)
            else:
                self._add_packet(item)
        self._flush_packets()
        if self._last is not None:
            self._batch.end = self._end(self._last.pts + self._last.duration)
            self._target.put(self._batch)

    def _add(self, picture: Picture) -> None:
        stamp = picture.stamp
        self.first_frame = self.first_frame or datetime.now(UTC)
        self._check(stamp)
        if self._cutter.begins(stamp):
            self._batch.end = self._end(stamp.pts)
            self._hand_on()
            self._before = None
        if self._before is not None and self._is_held(picture.frame):
            self._batch.shots[-1].stamps.append(stamp)
            self.held += 1
        else:
            self._add_shot(picture)
        self._note(picture)

    def _is_held(self, frame: VideoFrame) -> bool:
        with self._account.part("compare"):
            return self._before is not None and same_picture(self._before, frame)

    def _add_shot(self, picture: Picture) -> None:
        if len(self._batch.shots) == self._plan.batch:
            self._hand_on()
        batch = self._batch
        if batch.frames is None:
            batch.frames = Lease(self._free.get(), self._free)
            batch.sample = picture.frame if self._wants_sample() else None
        size, content = self._plan.padded[0], self._plan.content
        slots = batch.frames.block.array((self._plan.batch, size.height, size.width, 3))
        with self._account.part("to RGB"):
            slot = slots[len(batch.shots)]
            detail = picture.write_rgb(slot, content.width, content.height)
            points = look(slot[: content.height, : content.width])
        batch.shots.append(Shot([picture.stamp], points, detail))
        self._before = picture.frame
        self.inferred += 1

    def _note(self, picture: Picture) -> None:
        """Where things stand behind this frame: the decoder will have read on when its unit turns out to end here."""
        self.frames_in += 1
        self._last = picture.stamp
        self._before = picture.frame
        self._counters = {
            "damaged": self._reader.damaged,
            "hidden": self._reader.hidden,
            "repaired": self._reader.timeline.repaired,
            "deinterlaced": self._reader.deinterlaced,
        }

    def _add_packet(self, packet: CopiedPacket) -> None:
        self._packets.append(packet)
        if len(self._packets) >= _PACKETS:
            self._flush_packets()

    def _flush_packets(self) -> None:
        """Ahead of the frames that are being collected: a batch must hold the same frames whatever lies beside them."""
        if self._packets:
            self._target.put(Batch(self._cutter.index, packets=self._packets))
            self._packets = []

    def _hand_on(self) -> None:
        self._batch.packets, self._packets = self._packets, []
        self._target.put(self._batch)
        self._batch = Batch(self._cutter.index)

    def _end(self, end_pts: int) -> UnitEnd:
        assert self._last is not None  # noqa: S101 - a unit has a frame
        assert self._before is not None  # noqa: S101
        return UnitEnd(
            last_pts=self._last.pts,
            last_duration=self._last.duration,
            end_pts=end_pts,
            frames_in=self.frames_in,
            counters={
                **self._counters,
                "held": self.held,
                "inferred": self.inferred,
                "last_duration": self._last.duration,
                "checksum": checksum(self._before),
            },
        )
