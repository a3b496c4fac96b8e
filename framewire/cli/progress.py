"""A run on the screen: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from framewire.cli.screen import Screen, as_record, event_record
from framewire.cli.words import event_line, progress_words, size, status_words
from framewire.client.run import RunObserver
from framewire.v1.asset_pb2 import Asset
from framewire.v1.job_pb2 import JOB_STATE_WAITING_UPLOAD, Event, Job

_STEP = 0.1


class RunView(RunObserver):
    """Shows a run; a context manager, because a bar has to be taken off the terminal again."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[words]}"),
            console=screen.console,
            disable=not screen.live,
            transient=True,
        )
        self._task: TaskID | None = None
        self._told = (-1.0, "")

    def __enter__(self) -> RunView:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def uploading(self, done: int, total: int) -> None:
        """Bytes go up."""
        self._advance("upload", done / total, f"{size(done)} of {size(total)}")

    def uploaded(self, asset: Asset) -> None:
        """The upload is complete."""
        self._screen.show(f"uploaded {asset.filename} as {asset.asset_id}", {"asset": as_record(asset)})

    def created(self, job: Job) -> None:
        """The job is accepted."""
        self._screen.show(f"created {job.job_id}", {"job": as_record(job)})

    def event(self, event: Event) -> None:
        """The job says something."""
        self._screen.record({"event": event_record(event)})
        if self._screen.as_json:
            return
        kind = event.WhichOneof("kind")
        if kind == "progress":
            self._advance(event.progress.stage, event.progress.fraction, progress_words(event.progress), job=True)
        elif kind == "status" and event.status.state != JOB_STATE_WAITING_UPLOAD:  # what it waited for is there
            self._screen.words(status_words(event.status, event.attempt))
        elif kind in {"input", "log"}:
            self._screen.words(event_line(event).split(maxsplit=1)[1])

    def downloading(self, done: int, total: int) -> None:
        """Bytes come down."""
        self._advance("download", done / total if total else 1.0, f"{size(done)} of {size(total)}")

    def _advance(self, stage: str, fraction: float, words: str, *, job: bool = False) -> None:
        if self._screen.live:
            self._draw(stage, fraction, words.partition("%")[2].strip() if job else words)
        elif stage != self._told[1] or fraction >= self._told[0] + _STEP or (fraction >= 1.0 > self._told[0]):
            self._told = (fraction, stage)
            self._screen.words(words if job else f"{stage}  {words}")

    def _draw(self, stage: str, fraction: float, words: str) -> None:
        if self._task is None:
            self._task = self._bar.add_task(stage, total=1.0, words=words)
        self._bar.update(self._task, completed=fraction, description=stage, words=words)
