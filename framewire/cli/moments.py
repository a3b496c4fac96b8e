"""Times as people write them: `2026-11-01`, `2026-11-01T12:00`, `7d`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_AGO = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Moment(click.ParamType[datetime]):
    """An aware time: ISO 8601, UTC when it names no zone, or how long ago."""

    name = "time"

    def convert(
        self, value: str | datetime, parameter: click.Parameter | None, context: click.Context | None
    ) -> datetime:
        """The time. Fails with the ways a time can be written."""
        if isinstance(value, datetime):
            return value
        try:
            return parse(value, datetime.now(UTC))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time; write 2026-11-01, 2026-11-01T12:00 or 7d", parameter, context)


MOMENT = Moment()


def parse(text: str, now: datetime) -> datetime:
    """The time that is meant at `now`. Raises ValueError, OverflowError."""
    ago = _AGO.fullmatch(text)
    if ago:
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
