"""The bus in memory: every seam of it, a file each."""

from __future__ import annotations

from framewire.jobs.ranking import AGEING_SECONDS
from framewire.testing.bus.boards import MemoryCancellations, MemoryControls, MemoryWorkers
from framewire.testing.bus.dead import MemoryDeadLetters
from framewire.testing.bus.events import MemoryEventFeed, MemoryEventLog, MemoryReceived
from framewire.testing.bus.jobs import MemoryDelivery, MemoryJobQueue
from framewire.testing.bus.models import MemoryModelBooks

__all__ = [
    "MemoryBus",
    "MemoryCancellations",
    "MemoryControls",
    "MemoryDeadLetters",
    "MemoryDelivery",
    "MemoryEventFeed",
    "MemoryEventLog",
    "MemoryJobQueue",
    "MemoryModelBooks",
    "MemoryReceived",
    "MemoryWorkers",
]


class MemoryBus:
    """Every seam of the bus within one event loop; nothing survives it."""

    def __init__(self, *, ack_wait: float = 4.0, ageing: float = AGEING_SECONDS) -> None:
        self.jobs = MemoryJobQueue(ack_wait, ageing)
        self.events = MemoryEventLog()
        self.cancellations = MemoryCancellations()
        self.workers = MemoryWorkers()
        self.controls = MemoryControls()
        self.models = MemoryModelBooks()
        self.dead_letters = MemoryDeadLetters()

    async def ping(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to give back."""
