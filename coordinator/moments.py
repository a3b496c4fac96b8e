"""What a job came through on its way to the first frame, and when: how its start is told apart into stages.

Worker and runner note moments of their own; together they travel with the result (`Usage.start`).
"""

from __future__ import annotations

from datetime import UTC, datetime

from framewire.v1.job_pb2 import StartMoment


class Moments:
    """Notes them in order. Each is of what has just been done, so that it ends the stage it is named for."""

    def __init__(self) -> None:
        self._noted: list[tuple[str, datetime]] = []

    def note(self, name: str, time: datetime | None = None) -> None:
        """`name` is done now, or was at `time`. From any thread."""
        self._noted.append((name, time or datetime.now(UTC)))

    def messages(self) -> list[StartMoment]:
        """For the wire."""
        found = []
        for name, time in self._noted:
            moment = StartMoment(name=name)
            moment.time.FromDatetime(time)
            found.append(moment)
        return found
