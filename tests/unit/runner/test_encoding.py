"""The stages that encode: how many encoders are open at a time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from clips import Clip, make_clip
from jobs import pipeline

from coordinator import encoding
from coordinator.closing import Closer, Finished
from coordinator.media.encode import UnitEncoder
from coordinator.media.encoder_memory import Diet
from coordinator.order import Reports


@pytest.mark.parametrize("alone", [True, False])
def test_where_two_encoders_do_not_fit_one_is_closed_before_the_next_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    told = Diet(params="", megabytes=0.0, alone=alone)
    monkeypatch.setattr(encoding, "diet", lambda *_, **__: told)
    still_open: list[int] = []

    class Watched(UnitEncoder):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            still_open.append(sum(not unit._closed for unit in made))
            super().__init__(*arguments, **options)
            made.append(self)

    made: list[UnitEncoder] = []
    closing, flushed = threading.Event(), Closer.close

    def close_late(closer: Closer, unit: Finished) -> None:
        assert closing.wait(20)  # until the last encoder is there, or they would be closed by chance
        flushed(closer, unit)

    monkeypatch.setattr(Closer, "close", close_late)
    monkeypatch.setattr(encoding, "UnitEncoder", Watched)
    source = make_clip(tmp_path / "in.mp4", Clip(frames=30))  # 1.2 s of 64x48 H.264: units of 0.5 s and the rest
    reports = Reports(frames=lambda frames: closing.set() if frames == 30 else None)
    pipeline(source, tmp_path / "out.mp4", None, [], reports=reports).run()
    assert still_open == ([0, 0] if alone else [0, 1])
