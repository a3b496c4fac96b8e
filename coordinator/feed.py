"""From the decoder to batches: leaves out what is cut, cuts the film into units, leaves out what repeats, fills blocks.

    pictures, packets ──> [kept?] ──> [unit ends? same as the one before? batch full?] ──> batches

A batch never reaches across the beginning of a unit, and is handed on only when the frame behind it is known: only then
is it certain whether its unit ends with it. Held frames add a time stamp to the frame they repeat and nothing else;
the comparison starts anew with each unit, so that a run which begins there sees the same.

A picture that an edit list leaves out is decoded and nothing else. What a recurrent model remembers goes on over the
cut, as over any cut that the film has itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from av.video.frame import VideoFrame

from coordinator.account import Account
from coordinator.batch import Batch, Lease, Shot, UnitEnd
from coordinator.flow import Channel
from coordinator.inference.interface import Block
from coordinator.media.checks import look
from coordinator.media.decode import CopiedPacket, Picture, Reader
from coordinator.media.retiming import Timing, Unchanged
from coordinator.media.same import checksum, same_picture
from coordinator.media.timeline import Stamp
from coordinator.plan import Plan
from coordinator.resume import shown_last
from coordinator.units import Cutter
from framewire.work.v1.work_pb2 import SegmentRecord

_PACKETS = 512
"""Packets to copy that may wait for a picture before they go ahead in a batch of their own."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """The last frame that is in the result."""

    stamp: Stamp
    """In the film."""
    shown: Stamp
    """In the result."""
    frames_in: int
    """Decoded up to it."""


class Feed:
    """Fills batches for one run. For one thread."""

    def __init__(
        self,
        reader: Reader,
        plan: Plan,
        cutter: Cutter,
        free: Channel[Block] | None,
        target: Channel[Batch],
        account: Account,
        timing: Timing,
        *,
        earlier: SegmentRecord,
        before: Stamp | None = None,
        check: Callable[[Stamp], None] = lambda _: None,
        wants_sample: Callable[[], bool] = lambda: False,
    ) -> None:
        """`earlier`: the record of the last unit that is done already, `before` the film's stamp of its last frame.

        `check` may raise for a frame, by its stamp in the result, that must not be there. `wants_sample`: whether
        people should be shown the next frame.
        """
        self.frames_in = earlier.frames_in
        """Frames decoded, from the film's first on."""
        self.held = earlier.counters["held"]
        """Of them, those that repeat the one before and were not sent to any model."""
        self.inferred = earlier.counters["inferred"]
        """Of them, those that were."""
        self.first_frame: datetime | None = None
        """When this run had its first frame."""
        self._earlier = earlier
        self._reader = reader
        self._plan = plan
        self._cutter = cutter
        self._free = free
        self._target = target
        self._account = account
        self._timing = timing
        self._takes_packets = isinstance(timing, Unchanged)
        self._check = check
        self._wants_sample = wants_sample
        self._batch = Batch(cutter.index)
        self._packets: list[CopiedPacket] = []
        self._before: VideoFrame | None = None
        self._seen = before
        self._last: _Kept | None = None
        self._shown_until = shown_last(earlier).pts if before is not None else None
        self._counters: dict[str, int] = {}

    def run(self, items: Iterable[Picture | CopiedPacket]) -> None:
        """Everything, to the end of the film. Raises Aborted, MediaError."""
        for item in self._account.each("decode", items):
            if isinstance(item, Picture):
                if self._timing.is_over(item.stamp):
                    break
                self._add(item)
            elif self._takes_packets:
                self._add_packet(item)
        self._flush_packets()
        if self._last is not None:
            self._batch.end = self._end(self._last, self._last.shown.pts + self._last.shown.duration)
            self._target.put(self._batch)

    def _add(self, picture: Picture) -> None:
        self.first_frame = self.first_frame or datetime.now(UTC)
        self.frames_in += 1
        before, self._seen = self._seen, picture.stamp
        shown = self._timing.stamp(picture.stamp, before)
        if shown is not None:
            self._keep(picture, self._behind_the_last(shown))

    def _behind_the_last(self, shown: Stamp) -> Stamp:
        """Where time is counted coarsely, two pictures beside a cut may come to the same time."""
        last, self._shown_until = self._shown_until, shown.pts
        if last is not None and shown.pts <= last:
            self._shown_until = last + 1
            return Stamp(pts=last + 1, duration=max(0, shown.duration - 1))
        return shown

    def _keep(self, picture: Picture, shown: Stamp) -> None:
        self._check(shown)
        if self._cutter.begins(shown) and self._last is not None:
            self._batch.end = self._end(self._last, shown.pts)
            self._hand_on()
            self._before = None
        if self._before is not None and self._is_held(picture.frame):
            self._batch.shots[-1].stamps.append(shown)
            self.held += 1
        else:
            self._add_shot(picture, shown)
        self._note(picture, shown)

    def _is_held(self, frame: VideoFrame) -> bool:
        with self._account.part("compare"):
            return self._before is not None and same_picture(self._before, frame)

    def _add_shot(self, picture: Picture, shown: Stamp) -> None:
        if len(self._batch.shots) == self._plan.batch:
            self._hand_on()
        if not self._batch.shots:
            self._batch.sample = picture.frame if self._wants_sample() else None
        if self._free is None:
            self._batch.shots.append(Shot([shown], picture=picture))
        else:
            self._batch.shots.append(self._converted(picture, shown, self._free))
            self.inferred += 1

    def _converted(self, picture: Picture, shown: Stamp, free: Channel[Block]) -> Shot:
        """The picture in the batch's block."""
        batch = self._batch
        if batch.frames is None:
            batch.frames = Lease(free.get(), free)
        size, content = self._plan.padded[0], self._plan.content
        slots = batch.frames.block.array((self._plan.batch, size.height, size.width, 3))
        with self._account.part("to RGB"):
            slot = slots[len(batch.shots)]
            detail = picture.write_rgb(slot, content.width, content.height)
            points = look(slot[: content.height, : content.width])
        return Shot([shown], points, detail)

    def _note(self, picture: Picture, shown: Stamp) -> None:
        """Where things stand behind this frame: the decoder will have read on when its unit turns out to end here."""
        self._last = _Kept(picture.stamp, shown, self.frames_in)
        self._before = picture.frame
        self._counters = {
            "damaged": self._reader.damaged,
            "hidden": self._reader.hidden,
            "repaired": self._reader.timeline.repaired,
            "deinterlaced": self._reader.deinterlaced,
            "resized": max(self._earlier.counters["resized"], self._reader.resized),
            "recoloured": max(self._earlier.counters["recoloured"], self._reader.recoloured),
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

    def _end(self, last: _Kept, end_pts: int) -> UnitEnd:
        assert self._before is not None  # noqa: S101 - a unit has a frame
        return UnitEnd(
            last_pts=last.stamp.pts,
            shown=last.shown,
            end_pts=end_pts,
            frames_in=last.frames_in,
            counters={
                **self._counters,
                "held": self.held,
                "inferred": self.inferred,
                "last_duration": last.stamp.duration,
                "shown_pts": last.shown.pts,
                "shown_duration": last.shown.duration,
                "checksum": checksum(self._before),
            },
        )
