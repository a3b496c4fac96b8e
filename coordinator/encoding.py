"""From converted frames to units: opens an encoder for each, feeds it, and hands it on to be closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from av.stream import Stream

from coordinator.account import Account
from coordinator.batch import Drawn
from coordinator.closing import Closer, Finished
from coordinator.flow import Channel
from coordinator.media.codecs import EncoderSettings, diet
from coordinator.media.encode import UnitEncoder
from coordinator.media.probe import VideoFacts
from coordinator.steps.interface import FrameSize


class UnitStages:
    """The last two stages, and the encoders that are open between them."""

    def __init__(
        self,
        folder: Path,
        facts: VideoFacts,
        size: FrameSize,
        settings: EncoderSettings,
        tracks: Sequence[Stream],
        account: Account,
        *,
        near: int,
        on_frame: Callable[[], None],
    ) -> None:
        """`near`: a pts close before the first frame's. `on_frame` is called for every frame of the result."""
        self._folder = folder
        self._facts = facts
        self._size = size
        self._settings = settings
        self._tracks = tracks
        self._account = account
        self._near = near
        self._on_frame = on_frame
        self._alone = diet(facts, settings, pixels=size.width * size.height).alone
        self._open: set[UnitEncoder] = set()

    def encode(self, source: Channel[Drawn], target: Channel[Finished]) -> None:
        """Encode every batch into its unit. Raises Aborted, WorkerError."""
        unit: UnitEncoder | None = None
        start = 0
        for batch in source:
            unit = unit or self._opened(batch.unit)
            for packet in batch.packets:
                unit.copy(packet)
            if batch.shots and unit.frames == 0:
                start = batch.shots[0][1][0].pts
            self._write(unit, batch)
            if batch.end is not None:
                self._free(unit)
                self._near = batch.end.shown.pts
                target.put(
                    Finished(encoder=unit, index=batch.unit, start_pts=start, end=batch.end, states=batch.states)
                )
                unit = None

    def _free(self, unit: UnitEncoder) -> None:
        """Where there is no room for two encoders there is one at a time; else it is flushed while the next works."""
        if self._alone:
            with self._account.part("close units"):
                unit.close()

    def close(self, source: Channel[Finished], closer: Closer) -> None:
        """Close every unit. Raises Aborted, WorkerError."""
        for unit in source:
            with self._account.part("close units"):
                closer.close(unit)
            self._open.discard(unit.encoder)

    def abort(self) -> None:
        """Delete what is not closed. Call when both stages have ended. Idempotent."""
        for unit in list(self._open):
            unit.abort()

    def _opened(self, index: int) -> UnitEncoder:
        unit = UnitEncoder(
            self._folder / f"segment-{index:06d}.part",
            self._facts,
            width=self._size.width,
            height=self._size.height,
            settings=self._settings,
            tracks=self._tracks,
            near=self._near,
        )
        self._open.add(unit)
        return unit

    def _write(self, unit: UnitEncoder, batch: Drawn) -> None:
        with self._account.part("encode"):
            for picture, stamps in batch.shots:
                for stamp in stamps:
                    unit.encode(picture, stamp)
                    self._on_frame()
