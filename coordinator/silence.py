"""Which parts of a film `cut_silence` keeps: detection, decision, and the list that follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from coordinator.media.limits import MediaLimits
from coordinator.media.probe import Inspection
from framewire.edits.edit_list import EditList
from framewire.v1.step_pb2 import CutSilence


def nobody() -> None:
    """Checks nothing."""


def decide_cuts(
    path: Path,
    step: CutSilence,
    inspection: Inspection,
    limits: MediaLimits,
    check: Callable[[], None] = nobody,
) -> EditList:
    """What is kept of the film at `path`, every span from one boundary between two pictures to another.

    `check` is called many times a second of work and may raise what ends it. Raises StepError: CUT_NO_AUDIO,
    CUT_NOTHING_LEFT, STEP_INVALID (a track that is not there); MediaError.
    """
    raise NotImplementedError
