"""Pictures that are too large for a model, tile by tile through a few blocks of memory."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Final

from coordinator.inference.interface import Block, InferenceServer
from coordinator.steps.in_turn import InTurn
from coordinator.steps.interface import FrameSize
from coordinator.steps.state import StepState
from coordinator.steps.tiles import Span, Tiling
from framewire.errors import ErrorCode, Unavailable
from framewire.steps.contract import ModelContract

_AT_ONCE: Final = 2
"""Tiles under way: one is computed while the next is cut and the last one pasted."""
_BLOCK_SECONDS: Final = 10.0
_TILE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class _Pictures:
    """A batch to be done."""

    inputs: Block
    outputs: Block
    frames: int
    keep_state: bool


@dataclass(frozen=True, slots=True)
class _Tile:
    """A tile under way."""

    rows: Span
    columns: Span
    cut: Block
    made: Block
    request: Future[None]


class TiledPictures:
    """One batch after the other, in a thread of its own: cutting and pasting is work.

    The thread ends with the process, or after the first failure: batches that follow fail alike.
    """

    def __init__(
        self, server: InferenceServer, contract: ModelContract, tiling: Tiling, state: StepState | None
    ) -> None:
        self._server = server
        self._contract = contract
        self._tiling = tiling
        self._state = state
        self._size = _whole(tiling)
        bytes_in, bytes_out = tiling.tile.bytes, tiling.tile.times(contract.scale).bytes
        cuts = server.open_arena(block_bytes=contract.max_batch * bytes_in, blocks=_AT_ONCE)
        made = server.open_arena(block_bytes=contract.max_batch * bytes_out, blocks=_AT_ONCE)
        self._blocks = deque(
            (cuts.acquire(timeout=_BLOCK_SECONDS), made.acquire(timeout=_BLOCK_SECONDS)) for _ in range(_AT_ONCE)
        )
        self._turns = InTurn(f"tiles of {contract.name}")

    def start(self, inputs: Block, outputs: Block, *, frames: int, keep_state: bool) -> Future[bytes]:
        """In the order of the calls."""
        return self._turns.add(partial(self._do, _Pictures(inputs, outputs, frames, keep_state)))

    def _do(self, pictures: _Pictures) -> bytes:
        under_way: deque[_Tile] = deque()
        for part, (rows, columns) in enumerate(self._tiling.tiles):
            if len(under_way) == _AT_ONCE:
                self._paste(under_way.popleft(), pictures)
            under_way.append(self._cut(part, rows, columns, pictures))
        while under_way:
            self._paste(under_way.popleft(), pictures)
        if self._state is None:
            return b""
        self._state.advance()
        return self._state.keep() if pictures.keep_state else b""

    def _cut(self, part: int, rows: Span, columns: Span, pictures: _Pictures) -> _Tile:
        cut, made = self._blocks.popleft()
        high, wide = self._tiling.tile.height, self._tiling.tile.width
        source = pictures.inputs.array((pictures.frames, self._size.height, self._size.width, 3))
        tile = source[:, rows.start : rows.start + high, columns.start : columns.start + wide]
        cut.array((pictures.frames, high, wide, 3))[...] = tile
        state = self._state.blocks(part) if self._state else None
        request = self._server.infer(
            self._contract, cut, made, frames=pictures.frames, height=high, width=wide, state=state
        )
        return _Tile(rows, columns, cut, made, request)

    def _paste(self, tile: _Tile, pictures: _Pictures) -> None:
        try:
            tile.request.result(_TILE_SECONDS)
        except TimeoutError:
            message = f"the model server did not answer within {_TILE_SECONDS:.0f} s"
            raise Unavailable(message, code=ErrorCode.INFERENCE_UNAVAILABLE) from None
        scale = self._contract.scale
        size, whole = self._tiling.tile.times(scale), self._size.times(scale)
        made = tile.made.array((pictures.frames, size.height, size.width, 3))
        target = pictures.outputs.array((pictures.frames, whole.height, whole.width, 3))
        target[:, _kept(tile.rows, scale), _kept(tile.columns, scale)] = made[
            :, _within(tile.rows, scale), _within(tile.columns, scale)
        ]
        self._blocks.append((tile.cut, tile.made))


def _whole(tiling: Tiling) -> FrameSize:
    return FrameSize(
        height=max(rows.keep_to for rows, _ in tiling.tiles), width=max(columns.keep_to for _, columns in tiling.tiles)
    )


def _kept(span: Span, scale: int) -> slice:
    """What is kept of a tile, in the whole result."""
    return slice(span.keep_from * scale, span.keep_to * scale)


def _within(span: Span, scale: int) -> slice:
    """What is kept of a tile, in the tile's result."""
    return slice((span.keep_from - span.start) * scale, (span.keep_to - span.start) * scale)
