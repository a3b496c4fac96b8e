"""Logs that carry the identity of what they are about. Handlers are set in mains, by `configure`.

with log_context(job_id=order.job_id, attempt=2):
    log.info("started")      # {"message": "started", "job_id": "job_...", "attempt": 2, ...}
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

_context: ContextVar[dict[str, object] | None] = ContextVar("framewire_log_context", default=None)


class log_context:  # noqa: N801 - used like a function
    """Add fields to every record logged inside, in this task and those it starts. A class: it is around every call."""

    __slots__ = ("_fields", "_token")

    def __init__(self, **fields: object) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        """From here on."""
        known = _context.get()
        self._token = _context.set({**known, **self._fields} if known else self._fields)

    def __exit__(self, *_: object) -> None:
        """No longer."""
        _context.reset(self._token)


def configure(process: str, *, style: str = "text", level: str = "INFO") -> None:
    """Send this process's logs to stderr, one line a record. `style`: `text` for people, `json` for machines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter(process) if style == "json" else _TextFormatter(process))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("botocore", "boto3", "urllib3", "s3transfer", "nats", "aiohttp.access", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class _TextFormatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        fields = "".join(f" {key}={value}" for key, value in (_context.get() or {}).items())
        line = f"{time}Z {record.levelname.lower():<7} {self._process} {record.name}: {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _JsonFormatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
            **(_context.get() or {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)
