"""All files that are tried: public ones, damaged ones, and ones that point elsewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hostile.canaries import Traps, files_that_point, set_traps
from hostile.clips_to_damage import make_clips
from hostile.damage import damaged
from hostile.drive import Case, Driver, Outcome

from coordinator.settings import RunnerSettings
from framewire.v1.step_pb2 import Step
from framewire.work.v1.work_pb2 import InferenceAddress

PUBLIC = Path(__file__).resolve().parents[3] / "shared" / "hostile"
"""Files of other projects' test suites, beside the checkout where they are present."""
NOWHERE = InferenceAddress(url="127.0.0.1:9")
"""No model server: for jobs without steps, whose frames go from the decoder to the encoder."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """What is to be run."""

    seed: int
    public: Sequence[Path] = ()
    numbers: Sequence[int] = ()
    """Of damaged files."""
    pointing: bool = True
    """Whether those that point elsewhere are among them."""
    every: int = 1
    """Of those that point elsewhere, one in so many."""


async def run(
    corpus: Corpus,
    runner: RunnerSettings,
    *,
    at_once: int = 2,
    inference: InferenceAddress = NOWHERE,
    steps: Sequence[Step] = (),
) -> tuple[list[Outcome], list[str]]:
    """The outcomes, and the traps that were sprung."""
    with tempfile.TemporaryDirectory(prefix="framewire-hostile-") as name:
        folder = Path(name)
        jobs = folder / "jobs"
        jobs.mkdir()
        driver = Driver(runner=runner, folder=jobs, inference=inference, steps=tuple(steps))
        with set_traps(folder / "traps") as traps:
            cases = list(_cases(corpus, folder, traps))
            traps.sprung()  # what making them opened
            outcomes = await driver.run(cases, at_once=at_once)
            return outcomes, traps.sprung()


def _cases(corpus: Corpus, folder: Path, traps: Traps) -> Iterator[Case]:
    for path in corpus.public:
        yield Case(group="public", name=path.name, data=path.read_bytes())
    clips = make_clips(folder) if corpus.numbers else {}
    for number in corpus.numbers:
        name, data = damaged(clips, corpus.seed, number)
        yield Case(group="damaged", name=name, data=data)
    if corpus.pointing:
        for name, data in list(files_that_point(traps, folder).items())[:: corpus.every]:
            yield Case(group="pointing", name=name, data=data)


def public_files() -> list[Path]:
    """Those that are present."""
    return sorted(path for path in PUBLIC.glob("*") if path.is_file() and path.name != "README.md")
