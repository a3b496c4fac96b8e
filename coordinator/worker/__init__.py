"""The worker process: pulls jobs, keeps hold of them, has runners execute them, and settles how they ended."""

from coordinator.worker.worker import Worker

__all__ = ["Worker"]
