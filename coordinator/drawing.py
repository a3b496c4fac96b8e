"""From the models' frames, or the decoder's where there is no model, to what the encoder takes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from av.video.frame import VideoFrame

from coordinator.account import Account
from coordinator.batch import Batch, Drawn, Shot
from coordinator.flow import Channel
from coordinator.media.checks import FrameChecks, look
from coordinator.media.codecs import Encoding
from coordinator.media.colour import Converter
from coordinator.media.decode import Picture
from coordinator.media.errors import writing
from coordinator.media.timeline import Stamp
from coordinator.plan import Plan
from coordinator.previews import Pair, Previews


class Drawing:
    """The stage behind the last step. For one thread."""

    def __init__(
        self,
        plan: Plan,
        encoding: Encoding,
        converter: Converter,
        checks: FrameChecks,
        previews: Previews | None,
        account: Account,
    ) -> None:
        self._plan = plan
        self._encoding = encoding
        self._converter = converter
        self._checks = checks
        self._previews = previews
        self._account = account

    def run(self, source: Channel[Batch], target: Channel[Drawn], complete: Callable[[Batch], None]) -> None:
        """Convert every batch and give its block back. `complete` waits until a batch's frames are there."""
        for batch in source:
            complete(batch)
            shots = self._shots(batch)
            if batch.end is not None:
                batch.end = batch.end.with_counters(self._checks.counters())
                self._checks.begin_unit()
            self._show(batch, shots)
            target.put(Drawn(batch.unit, shots, batch.packets, batch.end, batch.states))
        if self._previews is not None:
            self._previews.close()

    def _shots(self, batch: Batch) -> list[tuple[VideoFrame, list[Stamp]]]:
        if batch.frames is None:
            return [(self._direct(shot.picture), shot.stamps) for shot in batch.shots if shot.picture is not None]
        size, result = self._plan.padded[-1], self._plan.result
        frames = batch.frames.block.array((len(batch.shots), size.height, size.width, 3))
        shots = []
        with self._account.part("to YUV"), writing():
            for frame, shot in zip(frames[:, : result.height, : result.width], batch.shots, strict=True):
                if shot.points is not None:
                    self._checks.add(shot.points, look(frame), times=len(shot.stamps))
                shots.append((self._finished(VideoFrame.from_numpy_buffer(frame, "rgb24"), shot), shot.stamps))
        batch.frames.give_back()
        return shots

    def _direct(self, picture: Picture) -> VideoFrame:
        """A picture no model has seen, sample for sample where the encoder takes its format."""
        result = self._plan.result
        with self._account.part("to YUV"), writing():
            same_size = (picture.frame.width, picture.frame.height) == (result.width, result.height)
            if (
                same_size
                and picture.as_described
                and (frame := self._converter.as_it_is(picture.frame, self._encoding.pixel_format))
            ):
                return frame
            slot = np.empty((result.height, result.width, 3), np.uint8)
            detail = picture.write_rgb(slot, self._plan.content.width, self._plan.content.height)
            return self._finished(VideoFrame.from_numpy_buffer(slot, "rgb24"), Shot([], detail=detail))

    def _finished(self, picture: VideoFrame, shot: Shot) -> VideoFrame:
        """The picture in the encoder's format, with what 8 bits could not hold of its input put back."""
        yuv = self._converter.to_yuv(picture, depth=self._encoding.depth)
        if shot.detail is not None and self._encoding.depth > 8:
            shot.detail.add_to(yuv, self._plan.scale)
        return yuv

    def _show(self, batch: Batch, shots: list[tuple[VideoFrame, list[Stamp]]]) -> None:
        if batch.sample is not None and self._previews is not None and shots:
            picture, stamps = shots[0]
            self._previews.offer(Pair(stamps[0], batch.sample, picture))
