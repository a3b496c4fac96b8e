"""What can be chosen about a local stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

import framewire

DEFAULT_GRPC_PORT = 7600
DEFAULT_REST_PORT = 7680


def default_data_folder() -> Path:
    """Where a stack keeps its data when nobody says otherwise: below the user's data directory."""
    return Path(platformdirs.user_data_dir("framewire", appauthor=False))


def bundled_models() -> Path:
    """The model repository of this checkout."""
    return Path(framewire.__file__).resolve().parent.parent / "triton_models"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """One local stack. A port that is given must be free; one that is not is chosen."""

    data: Path = field(default_factory=default_data_folder)
    """Folder that keeps everything: database, queue, media, logs, keys."""
    grpc_port: int | None = None
    """The gateway's gRPC port; neutral value: None, for 7600 if it is free and any other if not."""
    rest_port: int | None = None
    """The gateway's REST port; neutral value: None, for 7680 if it is free and any other if not."""
    nats_port: int | None = None
    """Neutral value: None, for any free port; so for the next two."""
    s3_port: int | None = None
    triton_port: int | None = None
    models: Path = field(default_factory=bundled_models)
    """Triton model repository; a second one, for models of one's own, is the folder `models` of the data folder."""
    model_memory: int | None = None
    """Bytes that models may hold together; 0: as many as they like; neutral value: None, what the machine allows."""
    lanes: str = "gpu,cpu"
    """Lanes the one worker serves."""
    slots: int = 3
    """Jobs the worker runs at once."""
    log_level: str = "INFO"
    start_timeout: float = 90.0
    """Seconds every server has to become ready."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables the children inherit: PATH, HOME and the like."""
