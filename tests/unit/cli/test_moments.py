"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from framewire.cli.moments import parse

NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T12:30", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
        ("2026-11-01T12:30:00+02:00", datetime(2026, 11, 1, 10, 30, tzinfo=UTC)),
        ("30m", datetime(2026, 11, 21, 12, 0, tzinfo=UTC)),
        ("12h", datetime(2026, 11, 21, 0, 30, tzinfo=UTC)),
        ("7d", datetime(2026, 11, 14, 12, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_date_a_date_and_a_time_or_how_long_ago(text, expected):
    assert parse(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "7", "7w", "2026-13-01", "99999999999d"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises((ValueError, OverflowError)):
        parse(text, NOW)
