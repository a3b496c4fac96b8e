"""What a recurrent model remembers between two batches, as blocks of memory and as bytes to keep."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from coordinator.inference.interface import Block, InferenceServer
from coordinator.steps.interface import FrameSize
from framewire.errors import StepError
from framewire.steps.contract import ModelContract

_MAGIC = b"framewire-state-1 "
_BLOCK_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StateKind:
    """Whose state it is: states of different kinds are of no use to each other."""

    contract: ModelContract
    size: FrameSize
    """Of the pictures the model is given: of the tiles, where there are tiles."""
    parts: int
    """How many states there are: one per tile."""

    @property
    def part_bytes(self) -> int:
        """Bytes of one part."""
        return self.contract.state_bytes(self.size.height, self.size.width)

    @property
    def header(self) -> bytes:
        """Names model, sizes and tensors, on one line."""
        places = self.contract.state_places(self.size.height, self.size.width)
        tensors = [[place.tensor.input, place.tensor.datatype, list(place.shape)] for place in places]
        facts: dict[str, Any] = {"model": self.contract.name, "version": self.contract.version, "tensors": tensors}
        return _MAGIC + json.dumps({**facts, "parts": self.parts}, separators=(",", ":")).encode() + b"\n"


class StepState:
    """Two blocks for each part, of which one is read while the other is written."""

    def __init__(self, server: InferenceServer, kind: StateKind, kept: bytes = b"") -> None:
        """Starts where `kept` ends; b"" is the start of a film.

        Raises StepError for a state of another kind, Unavailable when the server gives no memory.
        """
        self._kind = kind
        content = _content(kind, kept)
        arena = server.open_arena(block_bytes=kind.part_bytes, blocks=2 * kind.parts)
        self._before = [arena.acquire(timeout=_BLOCK_SECONDS) for _ in range(kind.parts)]
        self._after = [arena.acquire(timeout=_BLOCK_SECONDS) for _ in range(kind.parts)]
        for part, block in enumerate(self._before):
            start = part * kind.part_bytes
            array = block.array((kind.part_bytes,))
            array[...] = memoryview(content)[start : start + kind.part_bytes] if content else 0

    def blocks(self, part: int) -> tuple[Block, Block]:
        """What to read from and what to write into, for `InferenceServer.infer`."""
        return self._before[part], self._after[part]

    def advance(self) -> None:
        """All parts have been written: what was written is read from now on."""
        self._before, self._after = self._after, self._before

    def keep(self) -> bytes:
        """What is to be read next, for another StepState of this kind."""
        return b"".join(
            [self._kind.header, *(block.array((self._kind.part_bytes,)).tobytes() for block in self._before)]
        )


def check_model(contract: ModelContract, kept: bytes) -> None:
    """Raise StepError when `kept` cannot be a state of this model. What else it has to fit is known with the frames."""
    header, _, _ = kept.partition(b"\n")
    try:
        facts = json.loads(header.removeprefix(_MAGIC))
        right = header.startswith(_MAGIC) and facts["model"] == contract.name and facts["version"] == contract.version
    except (ValueError, KeyError, TypeError):
        right = False
    if not right or not contract.remembers:
        raise StepError(f"what was kept is not a state of model {contract.name}, version {contract.version}")


def _content(kind: StateKind, kept: bytes) -> bytes:
    if not kept:
        return b""
    header = kind.header
    if not kept.startswith(header) or len(kept) != len(header) + kind.parts * kind.part_bytes:
        raise StepError(f"what was kept is a state of model {kind.contract.name} for frames of another size")
    return kept[len(header) :]
