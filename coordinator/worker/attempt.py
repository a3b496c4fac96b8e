"""One attempt at one job: fetch its inputs, have a runner process them, store the result."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path, PurePath
from typing import TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from coordinator.child import RunnerProcess, to_the_end
from coordinator.disposition import Done
from coordinator.moments import Moments
from coordinator.worker.files import Files
from coordinator.worker.journal import Journal
from coordinator.worker.keys import AttemptKeys
from coordinator.worker.overall import OverallProgress, Stage
from coordinator.worker.previews import PreviewPace
from coordinator.worker.resume import committed_before, fetch_committed
from coordinator.worker.scratch import remove
from coordinator.worker.segments import Commits
from coordinator.worker.tools import Tools
from coordinator.worker.transfer import FileFacts, file_facts
from framewire.errors import ErrorCode, FramewireError, WorkerError
from framewire.jobs.segments import Committed
from framewire.lifecycle import together
from framewire.steps.catalogue import models_of
from framewire.v1.asset_pb2 import ASSET_STATE_READY, Asset, MediaInfo
from framewire.v1.job_pb2 import LogLine, Progress, Usage
from framewire.work.v1.work_pb2 import (
    JobOrder,
    RunnerDone,
    RunnerFailed,
    RunnerOrder,
    RunnerReport,
    StoredSegment,
)

log = logging.getLogger(__name__)

Linger: TypeAlias = Callable[[], float]


class Attempt:
    """Runs in a folder of its own, which is gone afterwards; so is the runner."""

    def __init__(
        self,
        order: JobOrder,
        journal: Journal,
        tools: Tools,
        keys: AttemptKeys,
        *,
        linger: Linger,
        moments: Moments,
    ) -> None:
        """`linger` is asked, when the attempt ends early, for how many seconds closed segments may still be stored."""
        self._order = order
        self._journal = journal
        self._tools = tools
        self._keys = keys
        self._linger = linger
        self._moments = moments
        self._warm = False
        self._overall = OverallProgress(interval=tools.settings.progress_interval)
        self._previews = PreviewPace()

    async def run(self) -> Done:
        """Raises FramewireError when it fails, EventConflict when the job's log has moved on."""
        folder: Path | None = None
        try:
            # a runner that is to use the GPU itself may reach more, and hears of that with its order
            async with self._tools.runners.lend(ahead=not self._order.output.hardware) as runner:
                self._moments.note("runner taken")
                self._warm = runner.warm
                folder = runner.folder or self._tools.scratch.job_folder(self._order.job_id)
                return await self._run(folder, runner)
        finally:
            if folder is not None:
                await asyncio.to_thread(remove, folder)

    async def _run(self, folder: Path, runner: RunnerProcess) -> Done:
        files = Files.below(folder, suffix=_suffix(self._order.output_filename))
        async with AsyncExitStack() as held:
            await together(self._fetch(files), held.enter_async_context(self._leased()))
            committed = await self._committed()
            resume = await fetch_committed(self._order, committed, files.resume, self._tools)
            commits = Commits(self._order, self._journal, self._tools, committed[: len(resume)])
            runner = await self._ready(runner, held)
            held.push_async_callback(lambda: to_the_end(runner.stop()))  # before the models it uses may go
            return await self._make(files, runner, held, resume, commits)

    async def _ready(self, runner: RunnerProcess, held: AsyncExitStack) -> RunnerProcess:
        """The runner, or another: one that loses its model server while the input is fetched can only leave."""
        if runner.alive:
            return runner
        log.info("the runner has left before its order came, another takes its place")
        return await held.enter_async_context(self._tools.runners.lend(ahead=False))

    async def _make(
        self, files: Files, runner: RunnerProcess, held: AsyncExitStack, resume: list[StoredSegment], commits: Commits
    ) -> Done:
        """`held`: what the runner holds; given back before the result is stored."""
        try:
            await runner.send(self._runner_order(files, resume))
            self._moments.note("order sent")
            done = await self._follow(runner, files, commits)
            await held.aclose()
            facts = await self._store(files.output, done.fidelity.frames_out)
            thumbnail = await self._store_thumbnail(files, done.thumbnail_path)
        except BaseException:
            await to_the_end(held.aclose())  # once the runner has ended it closes no more segments
            await commits.close(within=self._linger())
            raise
        await commits.close(within=0.0)  # the result takes their place
        self._tell_start(done.fidelity.usage)
        return Done(output=self._asset(facts, done.media, thumbnail=thumbnail), fidelity=done.fidelity)

    def _tell_start(self, usage: Usage) -> None:
        """What the worker did comes before what the runner says it did."""
        start = [*self._moments.messages(), *usage.start]
        del usage.start[:]
        usage.start.extend(start)
        usage.warm = self._warm

    async def _committed(self) -> Committed:
        patience = self._tools.settings.patience
        return await committed_before(self._journal, self._tools.bus.events, self._order, patience=patience)

    async def _fetch(self, files: Files) -> None:
        fetching = self._tools.transfer.fetch(self._order.inputs[0], files.input)
        await together(self._show("fetch", Progress()), fetching)
        self._moments.note("input fetched")

    @asynccontextmanager
    async def _leased(self) -> AsyncIterator[None]:
        async with self._lease():
            self._moments.note("models leased")
            yield

    def _lease(self) -> AbstractAsyncContextManager[None]:
        purpose = f"{self._order.job_id}/{self._journal.attempt}"
        return self._tools.models.lease(models_of(self._order.steps), purpose=purpose, told=self._tell)

    async def _tell(self, text: str) -> None:
        log.info("%s", text)
        await self._journal.log(LogLine(level="info", text=text))

    async def _follow(self, runner: RunnerProcess, files: Files, commits: Commits) -> RunnerDone:
        async with aclosing(runner.reports()) as reports:
            async for report in reports:
                match report.WhichOneof("kind"):
                    case "done":
                        await self._show_last()
                        return report.done
                    case "segment":
                        commits.add(files.checked(report.segment))
                    case _:
                        await self._pass_on(report)
        raise WorkerError("the runner ended without a result", code=ErrorCode.RUNNER_CRASHED, retryable=True)

    async def _pass_on(self, report: RunnerReport) -> None:
        match report.WhichOneof("kind"):
            case "probed":
                await self._journal.input(self._order.inputs[0].asset_id, report.probed)
            case "progress":
                await self._show("process", report.progress)
            case "log":
                await self._journal.log(report.log)
            case "preview":
                if self._previews.offer(report.preview):
                    self._journal.preview(report.preview)
            case "failed":
                await self._show_last()
                raise _error(report.failed)

    async def _store(self, output: Path, frames: int) -> FileFacts:
        await self._show("store", Progress(frames_done=frames, frames_total=frames))
        facts = await asyncio.to_thread(file_facts, output)
        await self._tools.transfer.store(self._keys.result, output)
        await self._show("store", Progress(fraction=1.0, frames_done=frames, frames_total=frames))
        await self._show_last()
        return facts

    async def _store_thumbnail(self, files: Files, path: str) -> bool:
        """Whether there is one in the store. A result without its small picture is a result all the same."""
        if not path:
            return False
        try:
            await self._tools.transfer.store(self._keys.thumbnail, files.inside(path))
        except FramewireError as error:
            log.warning("no thumbnail: %s", error.message)
            return False
        return True

    async def _show(self, stage: Stage, progress: Progress) -> None:
        if shown := self._overall.offer(stage, progress):
            await self._journal.progress(shown)

    async def _show_last(self) -> None:
        if shown := self._overall.last():
            await self._journal.progress(shown)

    def _runner_order(self, files: Files, resume: list[StoredSegment]) -> RunnerOrder:
        return RunnerOrder(
            job_id=self._order.job_id,
            attempt=self._journal.attempt,
            steps=self._order.steps,
            output=self._order.output,
            input_path=str(files.input),
            output_path=str(files.output),
            segments_path=str(files.segments),
            resume=resume,
            inference=self._tools.settings.inference,
        )

    def _asset(self, facts: FileFacts, media: MediaInfo, *, thumbnail: bool) -> Asset:
        created = Timestamp()
        created.GetCurrentTime()
        return Asset(
            asset_id=self._order.output_asset_id,
            workspace_id=self._order.workspace_id,
            filename=self._order.output_filename,
            state=ASSET_STATE_READY,
            size_bytes=facts.size,
            sha256=facts.sha256,
            source_job_id=self._order.job_id,
            media=media,
            create_time=created,
            has_thumbnail=thumbnail,
        )


def _suffix(filename: str) -> str:
    """The ending of a result's name if it can do no harm as a path, for the container to be chosen by."""
    suffix = PurePath(filename).suffix.lower()
    return suffix if re.fullmatch(r"\.[a-z0-9]{1,5}", suffix) else ".mp4"


def _error(failed: RunnerFailed) -> WorkerError:
    try:
        code = ErrorCode(failed.error.code)
    except ValueError:
        code = ErrorCode.INTERNAL
    # the model was there when the runner was started: the model server has been started anew since
    retryable = failed.retryable or code is ErrorCode.MODEL_UNKNOWN
    return WorkerError(failed.error.message, code=code, retryable=retryable)
