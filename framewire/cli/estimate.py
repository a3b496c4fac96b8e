"""`framewire estimate`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from google.protobuf.json_format import MessageToDict

from framewire.cli.exports import Export, check_exports, export_option, write_exports
from framewire.cli.files import check_input, check_output
from framewire.cli.options import connection_options, output_options, read_steps, step_option
from framewire.cli.progress import RunView
from framewire.cli.run import gateway_address
from framewire.cli.running import run_async
from framewire.cli.screen import Screen
from framewire.client import Client
from framewire.edits.wire import seconds
from framewire.errors import ErrorCode, LocalError
from framewire.steps.parse import format_step
from framewire.v1.job_pb2 import CutEstimate, EstimateJobResponse, OutputSettings
from framewire.v1.step_pb2 import CutSpan, Lane, Step

_MOST_LINES = 20


@click.command("estimate")
@click.argument("clip", type=click.Path(path_type=Path))
@step_option
@output_options
@click.option("--picture", type=click.Path(path_type=Path), help="Where to put a picture of what is cut, a PNG.")
@export_option
@connection_options
def command(
    clip: Path,
    steps: tuple[str, ...],
    settings: OutputSettings,
    picture: Path | None,
    exports: tuple[Export, ...],
    server: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Upload CLIP and say what the steps would make of it, without making it.

    For cut_silence it says what is kept and what is cut; with --json the list can be edited and handed back.

    \b
    Examples:
      framewire estimate talk.mp4 --step cut_silence
      framewire estimate talk.mp4 --step cut_silence:detector=speech,margin=0.3s --picture cuts.png
      framewire estimate talk.mp4 --step cut_silence --export edl=talk.edl --export otio=talk.otio
      framewire estimate talk.mp4 --step cut_silence --json > list.json
      framewire run talk.mp4 --step cut_silence:cuts=@list.json -o short.mp4
    """
    check_input(clip)
    if picture is not None:
        check_output(picture, clip)
    check_exports(exports, clip)
    question = _Question(clip=clip, steps=read_steps(steps), settings=settings, picture=picture, exports=exports)
    run_async(_estimate(question, server, data, Screen(as_json=as_json)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    clip: Path
    steps: list[Step]
    settings: OutputSettings
    picture: Path | None
    exports: tuple[Export, ...]


async def _estimate(question: _Question, server: str | None, data: Path | None, screen: Screen) -> None:
    async with contextlib.AsyncExitStack() as stack:
        # with --json there is one object, the answer: it is made to be kept in a file
        quiet = Screen(as_json=False) if not screen.as_json else None
        address = server or await gateway_address(data, screen, stack)
        client = await stack.enter_async_context(Client(address))
        view = stack.enter_context(RunView(quiet)) if quiet else None
        upload = await client.announce(question.clip)
        asset = await client.send(upload, **({"advance": view.uploading} if view else {}))
        answer = await client.estimate_job(
            [asset.asset_id], question.steps, output=question.settings, picture=question.picture is not None
        )
    if question.picture is not None:
        _write_picture(question.picture, answer)
    write_exports(question.exports, answer, question.clip)
    screen.show("\n".join(_words(answer, question.steps)), _record(answer))


def _write_picture(path: Path, answer: EstimateJobResponse) -> None:
    pictures = [step.cut.picture for step in answer.steps if step.cut.picture]
    if not pictures:
        raise LocalError(
            "there is nothing to draw: no cut_silence among the steps, or no sound", code=ErrorCode.FILE_UNWRITABLE
        )
    try:
        path.write_bytes(pictures[0])
    except OSError as error:
        raise LocalError(f"cannot write {path}: {error.strerror}", code=ErrorCode.FILE_UNWRITABLE) from None


def _record(answer: EstimateJobResponse) -> dict[str, object]:
    """The answer without pictures, and the list of cuts once more where a step's `cuts` looks for it."""
    plain = EstimateJobResponse()
    plain.CopyFrom(answer)
    for step in plain.steps:
        step.cut.ClearField("picture")
    lists = [MessageToDict(step.cut.cuts) for step in plain.steps if step.HasField("cut") and step.cut.cuts.spans]
    return {"estimate": MessageToDict(plain), **({"cuts": lists[0]} if lists else {})}


def _words(answer: EstimateJobResponse, steps: list[Step]) -> Iterator[str]:
    for step, estimate in zip(steps, answer.steps, strict=True):
        if step.HasField("cut_silence"):
            yield from _cut_words(estimate.cut)
        else:
            yield f"{format_step(step)}: {_size(estimate.video.width, estimate.video.height)}"
    video = answer.video
    lane = Lane.Name(answer.lane).removeprefix("LANE_").lower()
    size, frames = _size(video.width, video.height), f"{video.frames} frames" if video.frames else "frames not known"
    yield f"result: {video.codec} {size}, {video.fps:.6g} fps, {frames}, {answer.duration:.2f} s, on the {lane} lane"


def _size(width: int, height: int) -> str:
    return f"{width}x{height}" if width else "size not known"


def _cut_words(cut: CutEstimate) -> Iterator[str]:
    share = cut.seconds_cut / cut.seconds_in * 100 if cut.seconds_in else 0.0
    yield (
        f"cut_silence: keeps {cut.seconds_kept:.2f} s of {cut.seconds_in:.2f} s, cuts {cut.seconds_cut:.2f} s "
        f"({share:.0f} %), lasts {cut.seconds_out:.2f} s, {cut.joins} joins"
    )
    for span in cut.cuts.spans[:_MOST_LINES]:
        yield f"  {float(seconds(span.start)):9.3f} - {float(seconds(span.end)):9.3f}{_changes(span)}"
    if len(cut.cuts.spans) > _MOST_LINES:
        yield f"  and {len(cut.cuts.spans) - _MOST_LINES} more (--json shows all)"


def _changes(span: CutSpan) -> str:
    speed = f"  speed {span.speed:g}" if span.HasField("speed") else ""
    return speed + (f"  volume {span.volume:g}" if span.HasField("volume") else "")
