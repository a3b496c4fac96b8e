"""What travels between gateway and workers: the `Bus` seam and its NATS JetStream implementation."""

from framewire.bus.interface import (
    Bus,
    Cancellations,
    Delivery,
    EventConflict,
    EventFeed,
    EventLog,
    JobQueue,
    Received,
    Workers,
)

__all__ = [
    "Bus",
    "Cancellations",
    "Delivery",
    "EventConflict",
    "EventFeed",
    "EventLog",
    "JobQueue",
    "Received",
    "Workers",
]
