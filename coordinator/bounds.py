"""What a job's result may grow to: as large and as long as its order allows."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.media.probe import VideoFacts
from coordinator.media.timeline import Stamp
from framewire.errors import ErrorCode, WorkerError
from framewire.v1.job_pb2 import OutputSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputBounds:
    """Limits of one result. Neutral value of each: 0, no limit."""

    max_bytes: int = 0
    max_seconds: float = 0.0

    @classmethod
    def of(cls, output: OutputSettings) -> OutputBounds:
        """Those the order names."""
        return cls(max_bytes=output.max_size_bytes, max_seconds=output.max_duration)

    def check_bytes(self, size: int) -> None:
        """Raise WorkerError (OUTPUT_TOO_LARGE) when so many bytes are more than allowed."""
        if 0 < self.max_bytes < size:
            raise WorkerError(
                f"the result is larger than the {self.max_bytes} bytes asked for; raise crf or the limit",
                code=ErrorCode.OUTPUT_TOO_LARGE,
            )

    def check_promise(self, facts: VideoFacts, seconds: float) -> None:
        """Raise WorkerError (OUTPUT_TOO_LONG) when the film says itself that it is longer than allowed.

        `seconds`: what the whole file says it lasts, 0 when it does not; an edit list may hide frames it promises.
        """
        if facts.promised and facts.rate:
            promised = float(facts.promised / facts.rate)
            # half a second of grace: containers round, and the frames themselves are looked at anyway
            self.check_seconds(min(promised, seconds or promised) - 0.5)

    def check_frame(self, stamp: Stamp, facts: VideoFacts) -> None:
        """Raise WorkerError (OUTPUT_TOO_LONG) for a frame that ends later than allowed."""
        if self.max_seconds:
            self.check_seconds(float((stamp.pts + stamp.duration - facts.first_pts) * facts.time_base))

    def check_seconds(self, seconds: float) -> None:
        """Raise WorkerError (OUTPUT_TOO_LONG) when a result of this length is longer than allowed."""
        if 0 < self.max_seconds < seconds:
            raise WorkerError(
                f"the result would be longer than the {self.max_seconds:g} s allowed; cut the film or raise the limit",
                code=ErrorCode.OUTPUT_TOO_LONG,
            )
