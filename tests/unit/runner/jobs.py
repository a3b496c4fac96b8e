"""Running a pipeline inside the test's own process."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from coordinator.bounds import OutputBounds
from coordinator.inference.interface import Block
from coordinator.media.codecs import EncoderSettings
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import inspect
from coordinator.order import Order, Reports, Result
from coordinator.pipeline import Pipeline
from coordinator.resume import EarlierWork
from coordinator.steps.interface import FrameSize, FrameStep
from coordinator.steps.registry import prepare_steps
from framewire.edits.edit_list import EditList
from framewire.testing.inference import FakeInferenceServer, fake_contract
from framewire.v1.step_pb2 import Enhance, Step

BEST = EncoderSettings(crf=0, preset="ultrafast", threads=1)
"""Lossless: what differs afterwards was not the encoder."""


def enhance(*models: str) -> list[Step]:
    """One enhance step for each model."""
    return [Step(enhance=Enhance(model=model)) for model in models]


def server_with(*scales: int) -> FakeInferenceServer:
    """A server with a model `x<scale>` for each."""
    return FakeInferenceServer([fake_contract(f"x{scale}", scale=scale, max_batch=4) for scale in scales])


def pipeline(
    source: Path,
    target: Path,
    server: FakeInferenceServer | None,
    steps: Sequence[Step],
    *,
    settings: EncoderSettings = BEST,
    reports: Reports | None = None,
    bounds: OutputBounds | None = None,
    earlier: EarlierWork | None = None,
    prepared: Sequence[FrameStep] | None = None,
    edits: EditList | None = None,
) -> Pipeline:
    """Ready to run; its units go to a folder `<target>.segments`. Without a server frames pass as they are."""
    segments = target.with_suffix(".segments")
    segments.mkdir(exist_ok=True)
    order = Order(
        source=source,
        target=target,
        segments=segments,
        settings=settings,
        bounds=bounds or OutputBounds(),
        fingerprint="of the test",
        earlier=earlier or EarlierWork(),
        edits=edits,
    )
    return Pipeline(
        order,
        inspect(source),
        prepared or (prepare_steps(steps, server) if server else []),
        server,
        limits=MediaLimits(),
        reports=reports or Reports(),
    )


def process(source: Path, target: Path, *models: str, server: FakeInferenceServer | None = None) -> Result:
    """Run the file through the models; by default one that changes nothing."""
    server = server or server_with(1, 2, 3)
    return pipeline(source, target, server, enhance(*(models or ("x1",)))).run()


@dataclass(frozen=True)
class Size:
    """A step that only has a shape."""

    scale: int = 1
    size_multiple: int = 1
    max_batch: int = 64

    def submit(self, inputs: Block, outputs: Block, *, frames: int, size: FrameSize) -> Future[None]:
        raise AssertionError("only its sizes are asked for")
