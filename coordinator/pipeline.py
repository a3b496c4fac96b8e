"""Decode -> steps -> encode: one file in, one file out, in bounded memory.

    decode ──blocks──> step 1 ──blocks──> step 2 ──blocks──> encode
       └─────────── packets to copy ride with the batches ──────┘

A stage hands a batch on as soon as its request is under way; the next stage waits for it. What
bounds memory and the requests in flight is the fixed number of blocks between two stages: they
lie in a channel of free blocks, and taking one from there is where a fast stage waits for a slow one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from av.video.frame import VideoFrame

from coordinator.flow import Channel, Flow, StageUsage
from coordinator.inference.interface import Block, InferenceServer
from coordinator.media.assemble import Assembled, Units, assemble
from coordinator.media.codecs import EncoderSettings
from coordinator.media.colour import Converter
from coordinator.media.decode import CopiedPacket, Picture, Reader
from coordinator.media.encode import UnitEncoder
from coordinator.media.errors import writing
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import Inspection
from coordinator.media.timeline import Stamp
from coordinator.plan import BLOCKS, make_plan
from coordinator.steps.interface import FrameSize, FrameStep
from framewire.errors import ErrorCode, Unavailable

INFERENCE_SECONDS = 120.0
"""Longest wait for one batch."""
ARENA_SECONDS = 10.0
"""Longest wait for a block of an arena that has just been opened."""
SETTLE_SECONDS = 0.5
"""Longest wait for requests under way when a run ends early."""
_COMPLETE = 0.9
"""Share of the frames a container promises that is a whole film: some promise a few too many."""
_PACKETS = 512
"""Packets to copy that may wait for a picture before they go ahead in a batch of their own."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A block and the channel of free blocks it goes back to."""

    block: Block
    home: Channel[Block]

    def give_back(self) -> None:
        """The block may be filled again. Raises Aborted."""
        self.home.put(self.block)


@dataclass(slots=True)
class Batch:
    """Consecutive frames on their way, and the packets that lie beside them in the file."""

    frames: Lease | None = None
    """Where the frames lie; None when there are none."""
    stamps: list[Stamp] = field(default_factory=list)
    packets: list[CopiedPacket] = field(default_factory=list)
    request: Future[bytes] | None = None
    """What fills `frames`; None when they are there already."""
    read: Lease | None = None
    """What the request reads; free again when it is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run did."""

    frames_in: int
    frames_out: int
    container: str
    """Format that was written, `mp4` or `matroska`."""
    remarks: tuple[str, ...]
    """What people should know about the result, a line each."""
    usage: tuple[StageUsage, ...]


class Pipeline:
    """One run over one file. `run` once; `stop` from any thread."""

    def __init__(
        self,
        source: Path,
        target: Path,
        inspection: Inspection,
        steps: Sequence[FrameStep],
        server: InferenceServer,
        *,
        settings: EncoderSettings,
        limits: MediaLimits,
        on_frames: Callable[[int], None],
    ) -> None:
        """`on_frames` is called with the number of frames written so far, often, from one thread."""
        self._source = source
        self._target = target
        self._facts = inspection.video
        self._steps = steps
        self._server = server
        self._settings = settings
        self._limits = limits
        self._on_frames = on_frames
        self._flow = Flow()
        self._requests: set[Future[bytes]] = set()
        self._frames_in = 0
        self._last_duration = 0
        self._plan = make_plan(FrameSize(height=self._facts.height, width=self._facts.width), steps)

    def run(self) -> Result:
        """Do it. Raises FramewireError, or flow.Aborted after `stop`; then no result is left and no memory held."""
        result = self._plan.result
        self._limits.check_output(result.width, result.height)
        with ExitStack() as stack:
            reader = stack.enter_context(Reader(self._source, self._facts, self._limits))
            unit = UnitEncoder(
                self._target.with_suffix(".unit"),
                self._facts,
                width=result.width,
                height=result.height,
                settings=self._settings,
                tracks=reader.source.tracks,
            )
            stack.callback(unit.path.unlink, missing_ok=True)
            stack.callback(unit.abort)
            pools = self._open_pools(stack)
            stack.callback(self._settle)
            self._build(reader, unit, pools)
            self._flow.run()
            units = Units(paths=[unit.path], reordering=unit.reordering, last_duration=self._last_duration)
            return self._result(reader, assemble(self._target, units, self._source, self._facts, self._limits))

    def stop(self) -> None:
        """Make `run` raise Aborted soon. Idempotent."""
        self._flow.stop()

    def _open_pools(self, stack: ExitStack) -> list[Channel[Block]]:
        """Blocks for the frames before the first step, between steps and after the last."""
        pools = []
        for size in self._plan.padded:
            arena = self._server.open_arena(block_bytes=self._plan.batch * size.bytes, blocks=BLOCKS)
            stack.callback(arena.close)
            free: Channel[Block] = self._flow.channel("free", depth=BLOCKS)
            for _ in range(BLOCKS):
                free.put(arena.acquire(timeout=ARENA_SECONDS))
            pools.append(free)
        return pools

    def _build(self, reader: Reader, unit: UnitEncoder, pools: Sequence[Channel[Block]]) -> None:
        batches: Channel[Batch] = self._flow.channel("decoded", depth=BLOCKS)
        self._flow.stage("decode", partial(self._decode, reader, pools[0], batches), closes=batches)
        for number, step in enumerate(self._steps):
            done: Channel[Batch] = self._flow.channel(f"step {number + 1}", depth=BLOCKS)
            work = partial(self._step, step, self._plan.padded[number], pools[number + 1], batches, done)
            self._flow.stage(f"step {number + 1}", work, closes=done)
            batches = done
        self._flow.stage("encode", partial(self._encode, unit, batches))

    def _decode(self, reader: Reader, free: Channel[Block], target: Channel[Batch]) -> None:
        batch = Batch()
        for item in reader:
            if isinstance(item, Picture):
                self._add_picture(batch, item, free)
            else:
                batch.packets.append(item)
            if len(batch.stamps) == self._plan.batch or len(batch.packets) >= _PACKETS:
                target.put(batch)
                batch = Batch()
        target.put(batch)

    def _add_picture(self, batch: Batch, picture: Picture, free: Channel[Block]) -> None:
        if batch.frames is None:
            batch.frames = Lease(free.get(), free)
        size, content = self._plan.padded[0], self._plan.content
        slots = batch.frames.block.array((self._plan.batch, size.height, size.width, 3))
        picture.write_rgb(slots[len(batch.stamps)], content.width, content.height)
        batch.stamps.append(picture.stamp)
        self._frames_in += 1

    def _step(
        self, step: FrameStep, size: FrameSize, free: Channel[Block], source: Channel[Batch], target: Channel[Batch]
    ) -> None:
        for batch in source:
            self._complete(batch)
            if batch.frames is not None:
                outputs = Lease(free.get(), free)
                batch.request = step.submit(batch.frames.block, outputs.block, frames=len(batch.stamps), size=size)
                self._requests.add(batch.request)
                batch.request.add_done_callback(self._requests.discard)
                batch.read, batch.frames = batch.frames, outputs
            target.put(batch)

    def _encode(self, unit: UnitEncoder, source: Channel[Batch]) -> None:
        converter = Converter(self._facts.colour)
        for batch in source:
            self._complete(batch)
            for packet in batch.packets:
                unit.copy(packet)
            if batch.frames is not None:
                self._write(unit, converter, batch.stamps, batch.frames.block)
                batch.frames.give_back()
        unit.close()

    def _write(self, unit: UnitEncoder, converter: Converter, stamps: Sequence[Stamp], block: Block) -> None:
        size, result = self._plan.padded[-1], self._plan.result
        frames = block.array((len(stamps), size.height, size.width, 3))
        for frame, stamp in zip(frames, stamps, strict=True):
            picture = frame[: result.height, : result.width]
            with writing():
                yuv = converter.to_yuv(VideoFrame.from_numpy_buffer(picture, "rgb24"))
            unit.encode(yuv, stamp)
            self._last_duration = stamp.duration
            self._on_frames(unit.frames)

    def _complete(self, batch: Batch) -> None:
        """Wait until the batch's frames are there."""
        if batch.request is None or batch.read is None:
            return
        try:
            self._flow.wait(batch.request, timeout=INFERENCE_SECONDS)
        except TimeoutError:
            raise _no_answer() from None
        batch.read.give_back()
        batch.request = batch.read = None

    def _settle(self) -> None:
        """After an abort: requests under way still write into the blocks, so let them end before the memory goes."""
        wait(list(self._requests), timeout=SETTLE_SECONDS)

    def _result(self, reader: Reader, written: Assembled) -> Result:
        return Result(
            frames_in=self._frames_in,
            frames_out=written.frames,
            container=written.container,
            remarks=tuple(self._remarks(reader, written)),
            usage=tuple(self._flow.usage),
        )

    def _remarks(self, reader: Reader, written: Assembled) -> Iterator[str]:
        if reader.broken_off:
            yield "the file breaks off in the middle; the result ends there"
        found = self._frames_in + reader.hidden
        if found < self._facts.promised * _COMPLETE:
            yield f"the file promises {self._facts.promised} frames, {found} could be read: it may be cut short"
        if reader.damaged:
            yield f"{reader.damaged} damaged packets of the video were skipped"
        if reader.timeline.repaired:
            yield f"{reader.timeline.repaired} frames had no usable time stamp and were given one"
        for track in written.dropped:
            yield f"a track was left out, no container could take it: {track}"
        if written.container != "mp4":
            yield "the result is in Matroska (.mkv), because a track it keeps does not fit into MP4"
        if self._facts.deep or self._facts.colour.high_dynamic_range:
            yield "the picture was reduced to 8 bits a sample"


def _no_answer() -> Unavailable:
    return Unavailable(
        f"the model server did not answer within {INFERENCE_SECONDS:.0f} s", code=ErrorCode.INFERENCE_UNAVAILABLE
    )
