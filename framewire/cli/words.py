"""Jobs, events and results in words for people."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from framewire.jobs.states import state_name
from framewire.steps.parse import format_step
from framewire.v1.job_pb2 import AudioFidelity, Event, FidelityReport, Job, Progress, StatusChange, TagFidelity
from framewire.v1.step_pb2 import Lane

STYLES = {"SUCCEEDED": "green", "FAILED": "red", "CANCELLED": "yellow", "RUNNING": "cyan"}


def size(count: float) -> str:
    """Bytes: `3.4 MB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def event_line(event: Event) -> str:
    """One event on one line, beginning with its number."""
    return f"{event.number:>6}  {_event_words(event)}"


def _event_words(event: Event) -> str:
    kind = event.WhichOneof("kind")
    if kind == "status":
        return status_words(event.status, event.attempt)
    if kind == "progress":
        return progress_words(event.progress)
    if kind == "input":
        video = event.input.media.video
        return (
            f"input {video.codec} {video.width}x{video.height}, {video.fps:.6g} fps, {event.input.media.duration:.2f} s"
        )
    if kind == "log":
        return f"{event.log.level}: {event.log.text}"
    if kind == "segment":
        return f"watchable: {event.segment.start + event.segment.duration:.1f} s"
    if kind == "preview":
        return f"preview at {event.preview.position:.1f} s"
    return "something this version does not know"


def status_words(status: StatusChange, attempt: int) -> str:
    """`RUNNING (attempt 2, worker local)`."""
    facts = [f"attempt {attempt}" if attempt > 1 else "", f"worker {status.worker}" if status.worker else ""]
    if status.placement.startswith("overflow"):
        facts.append(status.placement)
    known = ", ".join(fact for fact in facts if fact)
    why = status.error.message or status.message
    code = f" {status.error.code}" if status.error.code else ""
    return state_name(status.state) + (f" ({known})" if known else "") + code + (f": {why}" if why else "")


def progress_words(progress: Progress) -> str:
    """`process  42%  160/377 frames  25.1 fps  eta 9 s`."""
    words = [progress.stage, f"{progress.fraction:.0%}"]
    if progress.frames_done:
        total = f"/{progress.frames_total}" if progress.frames_total else ""
        words.append(f"{progress.frames_done}{total} frames")
    if progress.fps:
        words.append(f"{progress.fps:.1f} fps")
    if progress.HasField("eta"):
        words.append(f"eta {seconds(progress.eta):.0f} s")
    return "  ".join(words)


def fidelity_words(report: FidelityReport) -> str:
    """What the job kept: `fidelity: 377 frames in, 377 out; audio identical; drift 0.0 ms`."""
    words = [f"{report.frames_in} frames in, {report.frames_out} out"]
    before, after = report.video_in, report.video_out
    words.append(f"{before.width}x{before.height} -> {after.width}x{after.height}")
    if report.audio:
        words.append(_sound_words(report.audio))
    else:
        words.append("no audio")
    words.append(f"drift {abs(report.av_drift_ms):.1f} ms")
    if report.HasField("edit"):
        words.append(f"{report.edit.joins} joins")
    if report.held_frames:
        words.append(f"{report.held_frames} held")
    if report.tags:
        changed = sum(not tag.kept for tag in report.tags)
        words.append(f"{len(report.tags) - changed} tags kept" + (f", {changed} changed" if changed else ""))
    return "fidelity: " + "; ".join(words)


def _sound_words(tracks: Iterable[AudioFidelity]) -> str:
    """What became of the sound; in capitals what nobody asked for."""
    done = dict.fromkeys(track.edited or ("identical" if track.identical else "CHANGED") for track in tracks)
    return "AUDIO CHANGED" if "CHANGED" in done else f"audio {'; '.join(done)}"


def fidelity_warnings(report: FidelityReport) -> list[str]:
    """What the job did not keep, and faults of its result, a line each."""
    checks = report.checks
    counts = {"black": checks.black, "frozen": checks.frozen, "broken": checks.broken}
    faults = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return [
        *(f"left out: {omission.what}: {omission.why}" for omission in report.left_out),
        *(f"changed: {_change(tag)}" for tag in report.tags if not tag.kept),
        *([f"frames at fault, of {checks.frames}: {faults}; look at the result"] if faults else []),
    ]


def _change(tag: TagFidelity) -> str:
    return f"{tag.name}: {tag.before or 'none'} -> {tag.after or 'none'}"


def job_steps(job: Job) -> str:
    """The steps as they are written on the command line."""
    return " ".join(format_step(step) for step in job.steps)


def queue_words(job: Job) -> str:
    """Where a job that waits stands: `3rd in the queue, starts in about 2 min`; empty for any other."""
    if not job.queue_position:
        return ""
    words = f"{ordinal(job.queue_position)} in the queue"
    if job.HasField("queue_eta"):
        words += f", starts in about {span(seconds(job.queue_eta))}"
    return words


def retried_words(job: Job) -> str:
    """What became of a job that was asked for again: `job_... is QUEUED, attempt 3 of 4 is next`."""
    return f"{job.job_id} is {state_name(job.state)}, attempt {job.attempt + 1} of {job.max_attempts} is next"


def lane_name(lane: Lane.ValueType) -> str:
    """`gpu`, as it is written on the command line."""
    return Lane.Name(lane).removeprefix("LANE_").lower()


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `3rd`, `11th`."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def span(time: float) -> str:
    """Seconds in the unit people would use: `12 s`, `3 min`, `2.5 h`."""
    if time < 100:
        return f"{time:.0f} s"
    return f"{time / 60:.0f} min" if time < 5400 else f"{time / 3600:.1f} h"


def job_took(job: Job) -> str:
    """How long it has run, while that is known."""
    if not (job.HasField("start_time") and job.HasField("end_time")):
        return ""
    return f"{job.end_time.ToMicroseconds() / 1e6 - job.start_time.ToMicroseconds() / 1e6:.1f} s"


def clock(time: Timestamp) -> str:
    """Local date and time."""
    return time.ToDatetime().replace(microsecond=0).isoformat(sep=" ") + "Z" if time.seconds else ""


def seconds(duration: Duration) -> float:
    """A duration in seconds."""
    return duration.ToMicroseconds() / 1e6
