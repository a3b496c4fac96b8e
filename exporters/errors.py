"""What goes wrong while a model is made, brought in or looked at."""

from __future__ import annotations

from framewire.errors import ErrorCode, LocalError


class ExportFailed(LocalError):
    """A model was not accepted, and nothing of it was kept; the message says why."""

    default_code = ErrorCode.MODEL_INVALID
