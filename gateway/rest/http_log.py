"""The log of the HTTP server below REST: what a client got wrong is one line, not a traceback."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError


def http_log() -> logging.Logger:
    """A logger for aiohttp's server. Anybody who reaches the port can send what is not HTTP, as often as they like."""
    logger = logging.getLogger("gateway.rest.http")
    if _one_line not in logger.filters:
        logger.addFilter(_one_line)
    return logger


def _one_line(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError | RequestPayloadError):
        words = " ".join(str(error).split())[:200]
        record.msg, record.args, record.exc_info = f"not HTTP: {words}", (), None
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
    return True
