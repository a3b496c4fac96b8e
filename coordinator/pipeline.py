"""Decode -> steps -> encode: one file in, one file out, in bounded memory.

    decode ──blocks──> step 1 ──blocks──> step 2 ──blocks──> draw ──YUV──> encode ──units──> close
       └─────────────────── packets to copy ride with the batches ───────────┘

A stage hands a batch on as soon as its request is under way; the next stage waits for it. What bounds memory and the
requests in flight is the fixed number of blocks between two stages: they lie in a channel of free blocks, and taking
one from there is where a fast stage waits for a slow one.

The encoder writes closed units (`coordinator/units.py`); when the last is closed, the result is assembled from them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from coordinator.account import Account
from coordinator.batch import Batch, Drawn
from coordinator.closing import Closer, Finished
from coordinator.drawing import Drawing
from coordinator.encoding import UnitStages
from coordinator.feed import Feed
from coordinator.flow import Channel, Flow
from coordinator.inference.interface import Block, InferenceServer
from coordinator.inferring import Inferring
from coordinator.media.assemble import Assembled, Units, assemble
from coordinator.media.behind import Items, open_behind
from coordinator.media.checks import FrameChecks
from coordinator.media.codecs import check_size, choose_encoding
from coordinator.media.colour import Converter
from coordinator.media.decode import Reader
from coordinator.media.limits import MediaLimits
from coordinator.media.passengers import Passengers, look_at_passengers
from coordinator.media.probe import Inspection
from coordinator.media.retiming import Retiming, make_timing
from coordinator.order import Order, Reports, Result
from coordinator.plan import make_plan
from coordinator.previews import Pair, Previews
from coordinator.resume import EarlierWork, shown_last
from coordinator.steps.interface import FrameSize, FrameStep
from coordinator.units import Cutter
from framewire.errors import ErrorCode, StepError
from framewire.work.v1.work_pb2 import SegmentRecord, StoredSegment

log = logging.getLogger(__name__)

_COMPLETE = 0.9
"""Share of the frames a container promises that is a whole film: some promise a few too many."""
_DRAWN = 2
"""Most batches that may wait for the encoder."""


class Pipeline:
    """One run over one file. `run` once; `stop` from any thread."""

    def __init__(
        self,
        order: Order,
        inspection: Inspection,
        steps: Sequence[FrameStep],
        server: InferenceServer | None,
        *,
        limits: MediaLimits,
        reports: Reports,
    ) -> None:
        """`server`: what `steps` send frames to; none is needed without any."""
        self._order = order
        self._facts = inspection.video
        self._timing = make_timing(self._facts, order.edits)
        self._seconds = inspection.media.duration
        self._limits = limits
        self._reports = reports
        self._flow = Flow()
        self._account = Account()
        self._encoding = choose_encoding(order.settings, self._facts)
        self._take_up(order.earlier)
        self._plan = make_plan(FrameSize(height=self._facts.height, width=self._facts.width), steps)
        self._inferring = Inferring(self._flow, self._plan, steps, server, self._account) if server and steps else None

    def run(self) -> Result:
        """Do it. Raises FramewireError, or flow.Aborted after `stop`.

        Then nothing is left but closed units, and no memory is held.
        """
        size = self._plan.result
        self._limits.check_output(size.width, size.height)
        check_size(self._encoding, size.width, size.height)
        self._check_promise()
        self._order.bounds.check_bytes(self._bytes)
        passengers = look_at_passengers(
            self._order.source, self._limits, wanted=self._order.container, edited=self._order.edits is not None
        )
        with ExitStack() as stack:
            self._reports.moment("tracks looked at")
            reader, items = self._open(stack)
            self._reports.moment("film opened")
            pools = self._open_pools(stack)
            stages = self._unit_stages(reader)
            stack.callback(stages.abort)
            feed = self._build(reader, items, pools, stages)
            self._flow.run()
        with self._account.part("assemble"):
            written = self._assemble(passengers)
        return self._result(reader, feed, written)

    def _take_up(self, earlier: EarlierWork) -> None:
        """Go on behind this; without any units: begin at the start."""
        self._earlier = earlier
        self._units = list(earlier.units)
        self._bytes = earlier.bytes
        self._last = earlier.last
        self._frames = earlier.last.frames_out

    def stop(self) -> None:
        """Make `run` raise Aborted soon. Idempotent."""
        self._flow.stop()

    def _open(self, stack: ExitStack) -> tuple[Reader, Items]:
        """The input, at its start or behind what earlier attempts did."""

        def open_reader() -> Reader:
            return Reader(self._order.source, self._facts, self._limits)

        place = self._earlier.place
        if place is not None:
            with self._account.part("find the place"):
                behind = open_behind(open_reader, self._facts, place, self._flow.check)
            if behind is not None:
                return stack.enter_context(behind[0]), behind[1]
            log.warning("what earlier attempts did does not end at a frame of this film; it is done again")
            self._take_up(EarlierWork())
        reader = stack.enter_context(open_reader())
        return reader, iter(reader)

    def _check_promise(self) -> None:
        if self._order.edits is None:
            self._order.bounds.check_promise(self._facts, self._seconds)
        else:
            self._order.bounds.check_seconds(float(self._order.edits.seconds) - 0.5)  # of grace, as for whole films

    def _open_pools(self, stack: ExitStack) -> list[Channel[Block]]:
        """Memory for frames; none without steps."""
        if self._inferring is None:
            return []
        self._inferring.restore(self._earlier.last.step_states)
        return self._inferring.open_pools(stack)

    def _build(self, reader: Reader, items: Items, pools: Sequence[Channel[Block]], stages: UnitStages) -> Feed:
        previews = self._previews()
        batches: Channel[Batch] = self._flow.channel("decoded", depth=self._plan.waiting)
        feed = self._feed(reader, pools[0] if pools else None, batches, previews)
        self._flow.stage("decode", partial(feed.run, items), closes=batches)
        complete: Callable[[Batch], None] = _is_complete
        if self._inferring is not None:
            batches, complete = self._inferring.add_stages(pools, batches), self._inferring.complete
        drawn: Channel[Drawn] = self._flow.channel("drawn", depth=min(_DRAWN, self._plan.waiting))
        draw = partial(self._drawing(previews).run, batches, drawn, complete)
        self._flow.stage("draw", draw, closes=drawn)
        finished: Channel[Finished] = self._flow.channel("finished", depth=1)
        self._flow.stage("encode", partial(stages.encode, drawn, finished), closes=finished)
        self._flow.stage("close", partial(stages.close, finished, self._closer()))
        if previews is not None:
            self._flow.stage("preview", previews.run)
        return feed

    def _previews(self) -> Previews | None:
        if self._reports.preview is None:
            return None
        pairs: Channel[Pair] = self._flow.channel("previews", depth=1)
        return Previews(self._timing.facts, pairs, self._reports.preview)

    def _drawing(self, previews: Previews | None) -> Drawing:
        checks = FrameChecks(self._earlier.last.counters)
        return Drawing(self._plan, self._encoding, Converter(self._facts.colour), checks, previews, self._account)

    def _feed(
        self, reader: Reader, free: Channel[Block] | None, target: Channel[Batch], previews: Previews | None
    ) -> Feed:
        facts, size, place = self._timing.facts, self._plan.result, self._earlier.place
        return Feed(
            reader,
            self._plan,
            Cutter(facts.time_base, size.height * size.width, index=len(self._units)),
            free,
            target,
            self._account,
            self._timing,
            earlier=self._earlier.last,
            before=place.last if place else None,
            check=lambda stamp: self._order.bounds.check_frame(stamp, facts),
            wants_sample=previews.wanted if previews else lambda: False,
        )

    def _unit_stages(self, reader: Reader) -> UnitStages:
        facts = self._timing.facts
        return UnitStages(
            self._order.segments,
            facts,
            self._plan.result,
            self._order.settings,
            reader.source.tracks if self._order.edits is None else (),
            self._account,
            near=shown_last(self._earlier.last).pts if self._earlier.units else facts.first_pts,
            on_frame=self._count_frame,
        )

    def _count_frame(self) -> None:
        self._frames += 1
        self._reports.frames(self._frames)

    def _closer(self) -> Closer:
        return Closer(
            self._order.segments,
            self._timing.facts,
            self._order.fingerprint,
            earlier=self._earlier.last,
            on_unit=self._keep,
        )

    def _keep(self, stored: StoredSegment, record: SegmentRecord) -> None:
        self._units.append(stored)
        self._last = record
        self._reports.unit(stored)
        self._bytes += stored.segment.size_bytes
        self._order.bounds.check_bytes(self._bytes)

    def _assemble(self, passengers: Passengers) -> Assembled:
        if not self._units:
            raise StepError("no picture of the film is kept; keep more of it", code=ErrorCode.CUT_NOTHING_LEFT)
        units = Units(
            paths=[Path(unit.path) for unit in self._units],
            reordering=self._last.counters["reordering"],
            last_duration=shown_last(self._last).duration,
            frames=self._frames,
        )
        written = assemble(
            self._order.target,
            units,
            self._order.source,
            self._timing.facts,
            self._limits,
            passengers=passengers,
            retiming=self._timing if isinstance(self._timing, Retiming) else None,
            fade=self._order.fade,
            check=self._flow.check,
        )
        self._order.bounds.check_bytes(self._order.target.stat().st_size)
        return written

    def _result(self, reader: Reader, feed: Feed, written: Assembled) -> Result:
        return Result(
            frames_in=feed.frames_in,
            frames_out=written.frames,
            held=feed.held,
            inferred=feed.inferred,
            resumed=self._earlier.last.frames_out,
            container=written.container,
            first_frame=feed.first_frame,
            left_out=written.left_out,
            counters=dict(self._last.counters),
            units=tuple(self._units),
            remarks=tuple(self._remarks(reader, feed, written)),
            usage=tuple(self._flow.usage),
            parts=tuple(self._account.parts()),
            edits=self._order.edits,
            sounds=written.sounds,
        )

    def _remarks(self, reader: Reader, feed: Feed, written: Assembled) -> Iterator[str]:
        if reader.broken_off:
            yield "the file breaks off in the middle; the result ends there"
        found = feed.frames_in + reader.hidden
        if self._order.edits is None and found < self._facts.promised * _COMPLETE:
            yield f"the file promises {self._facts.promised} frames, {found} could be read: it may be cut short"
        if reader.damaged:
            yield f"{reader.damaged} damaged packets of the video were skipped"
        if reader.timeline.repaired:
            yield f"{reader.timeline.repaired} frames had no usable time stamp and were given one"
        if self._last.counters["resized"]:
            yield f"pictures of another size than the first were scaled to {self._facts.width}x{self._facts.height}"
        if self._last.counters["recoloured"]:
            yield "pictures of another colour matrix or range than the first were converted to those"
        for omission in written.left_out:
            yield f"left out: {omission.what}: {omission.why}"
        yield from written.remarks
        if reader.deinterlaced or self._facts.interlaced:
            yield "the video is interlaced; it was deinterlaced, one frame for each of its pictures"
        yield from self._encoding.remarks


def _is_complete(_: Batch) -> None:
    """A batch that no model has."""
