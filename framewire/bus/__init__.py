"""What travels between gateway and workers: the `Bus` seam and its NATS JetStream implementation."""

from framewire.bus.interface import (
    Bus,
    Cancellations,
    Controls,
    ControlState,
    DeadLetter,
    DeadLetters,
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
    "ControlState",
    "Controls",
    "DeadLetter",
    "DeadLetters",
    "Delivery",
    "EventConflict",
    "EventFeed",
    "EventLog",
    "JobQueue",
    "Received",
    "Workers",
]
