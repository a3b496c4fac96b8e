"""What is written into the book of a model server, one entry at a time. When it may be written say the rules of
framewire/models/book.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from framewire.bus.interface import ModelWish
from framewire.errors import ErrorCode
from framewire.models import book as rules
from framewire.steps.contract import ModelContract
from framewire.v1.operations_pb2 import RefusedModel
from framewire.work.v1.work_pb2 import ModelBook, ModelLease

_REFUSED_FOR: Final = 60.0
"""Seconds until a model that could not be loaded is tried again by itself."""


def is_known(book: ModelBook, name: str) -> bool:
    """Whether nobody has to look at the model now: it is known, being looked at, or was refused a moment ago."""
    model = rules.entry(book, name)
    if model.refused:
        return is_fresh(model.refused_time)
    return model.HasField("info") or bool(model.changing)


def is_fresh(refused: Timestamp) -> bool:
    """Whether a refusal is so young that nobody need try again."""
    return time.time() - refused.ToSeconds() < _REFUSED_FOR


def claim(book: ModelBook, wish: ModelWish) -> bool:
    """Take a wish on; False when somebody has done that already."""
    model = rules.entry(book, wish.model)
    if model.wish == wish.request:
        return False
    model.wish, model.pinned, model.unwanted = wish.request, wish.pinned, not wish.pinned
    return True


def disclaim(book: ModelBook, wish: ModelWish) -> None:
    """To be tried again."""
    model = rules.entry(book, wish.model)
    if model.wish == wish.request:
        model.wish = ""


def unpin(book: ModelBook, wish: ModelWish) -> None:
    """The model could not be loaded as was wished: should a job have it loaded later, it is not kept for that."""
    model = rules.entry(book, wish.model)
    if model.wish == wish.request:
        model.pinned = False


def know(book: ModelBook, contract: ModelContract, held: int) -> None:
    """A model was loaded and measured."""
    model = rules.entry(book, contract.name)
    model.info.CopyFrom(contract.to_proto())
    model.memory_bytes = held
    model.refused = ""
    model.ClearField("refused_time")


def refuse(book: ModelBook, name: str, reason: str) -> None:
    """A model cannot be used, for this reason."""
    model = rules.entry(book, name)
    model.refused = reason
    model.refused_time.GetCurrentTime()


def refusals(book: ModelBook) -> list[RefusedModel]:
    """The models that cannot be used, by name, and why."""
    code = str(ErrorCode.MODEL_INVALID)
    refused = sorted((model for model in book.models if model.refused), key=lambda model: model.name)
    return [
        RefusedModel(name=model.name, reason=model.refused, code=code, time=model.refused_time) for model in refused
    ]


def not_changing(book: ModelBook, names: Iterable[str]) -> None:
    """Nobody loads or unloads these any more."""
    for name in names:
        rules.entry(book, name).changing = ""


def end_lease(book: ModelBook, lease: ModelLease, held: Mapping[str, int | None]) -> None:
    """A lease is over; what its models were seen to hold meanwhile is noted."""
    rules.end(book, lease)
    for name, size in held.items():
        if size:
            rules.entry(book, name).memory_bytes = size
