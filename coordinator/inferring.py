"""The stages of a run that send frames to models, and the memory they share with the model server."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack
from functools import partial

from coordinator.account import Account
from coordinator.batch import Batch, Lease
from coordinator.flow import Channel, Flow
from coordinator.inference.interface import Block, InferenceServer
from coordinator.plan import BLOCKS, Plan
from coordinator.steps.interface import FrameStep
from framewire.errors import ErrorCode, Unavailable

INFERENCE_SECONDS = 120.0
"""Longest wait for one batch."""
ARENA_SECONDS = 10.0
"""Longest wait for a block of an arena that has just been opened."""
SETTLE_SECONDS = 0.5
"""Longest wait for requests under way when a run ends early."""


class Inferring:
    """The steps of one run."""

    def __init__(
        self, flow: Flow, plan: Plan, steps: Sequence[FrameStep], server: InferenceServer, account: Account
    ) -> None:
        self._flow = flow
        self._plan = plan
        self._steps = steps
        self._server = server
        self._account = account
        self._requests: set[Future[bytes]] = set()

    def restore(self, states: Sequence[bytes]) -> None:
        """Have every step go on behind what these say; none of them: from the start of the film."""
        for step, state in zip(self._steps, states, strict=False):
            step.restore(state)

    def open_pools(self, stack: ExitStack) -> list[Channel[Block]]:
        """Blocks for the frames before the first step, between steps and after the last.

        They come while the flow runs already: reserving them takes longer than decoding the first frame.
        """
        pools: list[Channel[Block]] = [self._flow.channel("free", depth=BLOCKS) for _ in self._plan.padded]
        arenas = stack.enter_context(ExitStack())
        stack.callback(self._settle)
        self._flow.stage("memory", partial(self._fill, pools, arenas))
        return pools

    def _fill(self, pools: Sequence[Channel[Block]], arenas: ExitStack) -> None:
        for size, free in zip(self._plan.padded, pools, strict=True):
            arena = self._server.open_arena(block_bytes=self._plan.batch * size.bytes, blocks=BLOCKS)
            arenas.callback(arena.close)
            for _ in range(BLOCKS):
                free.put(arena.acquire(timeout=ARENA_SECONDS))

    def add_stages(self, pools: Sequence[Channel[Block]], batches: Channel[Batch]) -> Channel[Batch]:
        """One stage for each step; where the batches come out behind the last."""
        for number in range(len(self._steps)):
            done: Channel[Batch] = self._flow.channel(f"step {number + 1}", depth=BLOCKS)
            work = partial(self._step, number, pools[number + 1], batches, done)
            self._flow.stage(f"step {number + 1}", work, closes=done)
            batches = done
        return batches

    def complete(self, batch: Batch) -> None:
        """Wait until the batch's frames are there."""
        if batch.request is None or batch.read is None:
            return
        try:
            state = self._flow.wait(batch.request, timeout=INFERENCE_SECONDS)
        except TimeoutError:
            raise _no_answer() from None
        if batch.end is not None:
            batch.states.append(state)
        batch.read.give_back()
        batch.request = batch.read = None

    def _step(self, number: int, free: Channel[Block], source: Channel[Batch], target: Channel[Batch]) -> None:
        step, size = self._steps[number], self._plan.padded[number]
        for batch in source:
            self.complete(batch)
            if batch.frames is not None:
                outputs = Lease(free.get(), free)
                batch.request = step.submit(
                    batch.frames.block,
                    outputs.block,
                    frames=len(batch.shots),
                    size=size,
                    keep_state=batch.end is not None,
                )
                self._account.while_any(f"model {number + 1}", batch.request)
                self._requests.add(batch.request)
                batch.request.add_done_callback(self._requests.discard)
                batch.read, batch.frames = batch.frames, outputs
            target.put(batch)

    def _settle(self) -> None:
        """After an abort: requests under way still write into the blocks, so let them end before the memory goes."""
        wait(list(self._requests), timeout=SETTLE_SECONDS)


def _no_answer() -> Unavailable:
    return Unavailable(
        f"the model server did not answer within {INFERENCE_SECONDS:.0f} s", code=ErrorCode.INFERENCE_UNAVAILABLE
    )
