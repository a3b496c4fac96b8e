"""One attempt at one job: fetch its inputs, have a runner process them, store the result."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from pathlib import Path, PurePath

from google.protobuf.timestamp_pb2 import Timestamp

from coordinator.child import RunnerProcess
from coordinator.disposition import Done
from coordinator.worker.journal import Journal
from coordinator.worker.overall import OverallProgress, Stage
from coordinator.worker.scratch import remove
from coordinator.worker.tools import Tools
from coordinator.worker.transfer import FileFacts, file_facts
from framewire.errors import ErrorCode, WorkerError
from framewire.v1.asset_pb2 import ASSET_STATE_READY, Asset, MediaInfo
from framewire.v1.job_pb2 import Progress
from framewire.work.v1.work_pb2 import JobOrder, RunnerDone, RunnerFailed, RunnerOrder, RunnerReport


class Attempt:
    """Runs in a folder of its own, which is gone afterwards; so is the runner."""

    def __init__(self, order: JobOrder, journal: Journal, tools: Tools, *, result_key: str) -> None:
        self._order = order
        self._journal = journal
        self._tools = tools
        self._result_key = result_key
        self._overall = OverallProgress(interval=tools.settings.progress_interval)

    async def run(self) -> Done:
        """Raises FramewireError when it fails, EventConflict when the job's log has moved on."""
        folder = self._tools.scratch.job_folder(self._order.job_id)  # one mkdir: not worth a thread
        try:
            inputs = await self._fetch(folder)
            output = folder / f"output{_suffix(self._order.output_filename)}"
            done = await self._process(inputs[0], output)
            facts = await self._store(output, done.fidelity.frames_out)
        finally:
            await asyncio.to_thread(remove, folder)
        return Done(output=self._asset(facts, done.media), fidelity=done.fidelity)

    async def _fetch(self, folder: Path) -> list[Path]:
        await self._show("fetch", Progress())
        paths = []
        for index, file in enumerate(self._order.inputs):
            paths.append(folder / f"input-{index}")
            await self._tools.transfer.fetch(file, paths[-1])
        return paths

    async def _process(self, source: Path, output: Path) -> RunnerDone:
        async with self._tools.runners.lend() as runner:
            await runner.send(self._runner_order(source, output))
            return await self._follow(runner)

    async def _follow(self, runner: RunnerProcess) -> RunnerDone:
        async with aclosing(runner.reports()) as reports:
            async for report in reports:
                if report.WhichOneof("kind") == "done":
                    await self._show_last()
                    return report.done
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
            case "failed":
                await self._show_last()
                raise _error(report.failed)

    async def _store(self, output: Path, frames: int) -> FileFacts:
        await self._show("store", Progress(frames_done=frames, frames_total=frames))
        facts = await asyncio.to_thread(file_facts, output)
        await self._tools.transfer.store(self._result_key, output)
        await self._show("store", Progress(fraction=1.0, frames_done=frames, frames_total=frames))
        await self._show_last()
        return facts

    async def _show(self, stage: Stage, progress: Progress) -> None:
        if shown := self._overall.offer(stage, progress):
            await self._journal.progress(shown)

    async def _show_last(self) -> None:
        if shown := self._overall.last():
            await self._journal.progress(shown)

    def _runner_order(self, source: Path, output: Path) -> RunnerOrder:
        return RunnerOrder(
            job_id=self._order.job_id,
            attempt=self._journal.attempt,
            steps=self._order.steps,
            output=self._order.output,
            input_path=str(source),
            output_path=str(output),
            inference=self._tools.settings.inference,
        )

    def _asset(self, facts: FileFacts, media: MediaInfo) -> Asset:
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
    return WorkerError(failed.error.message, code=code, retryable=failed.retryable)
