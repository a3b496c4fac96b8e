"""A runner that does what its input file says, to test workers with: `python scripted_runner.py`.

The input is JSON, a list of actions or an object with a list per attempt; an action is a list of a name and arguments.
It keeps the runner's contract: length-prefixed messages, the end of stdin ends it, exit 0 after the last report.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from framewire.v1.asset_pb2 import MediaInfo, VideoInfo
from framewire.v1.job_pb2 import Error, FidelityReport, LogLine, Preview, Progress, Segment
from framewire.work.v1.work_pb2 import RunnerDone, RunnerFailed, RunnerOrder, RunnerReady, RunnerReport, StoredSegment

MEDIA = MediaInfo(container="scripted", duration=1.0, video=VideoInfo(codec="none", width=4, height=2, frames=10))


def main() -> None:
    send(RunnerReport(ready=RunnerReady()))
    size = int.from_bytes(sys.stdin.buffer.read(4), "big")
    if not size:
        return
    order = RunnerOrder.FromString(sys.stdin.buffer.read(size))
    threading.Thread(target=end_with_parent, daemon=True).start()
    script = json.loads(Path(order.input_path).read_text())
    actions = script[str(order.attempt)] if isinstance(script, dict) else script
    for name, *arguments in actions:
        ACTIONS[name](order, *arguments)


def end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(143)


def send(report: RunnerReport) -> None:
    payload = report.SerializeToString()
    sys.stdout.buffer.write(len(payload).to_bytes(4, "big") + payload)
    sys.stdout.buffer.flush()


def probe(order: RunnerOrder) -> None:
    send(RunnerReport(probed=MEDIA))


def progress(order: RunnerOrder, *fractions: float) -> None:
    for fraction in fractions:
        send(RunnerReport(progress=Progress(fraction=fraction, frames_done=int(fraction * 10), frames_total=10)))


def say(order: RunnerOrder, text: str) -> None:
    send(RunnerReport(log=LogLine(level="info", text=text)))


def say_environment(order: RunnerOrder) -> None:
    say(order, " ".join(sorted(os.environ)))


def say_pid(order: RunnerOrder) -> None:
    say(order, str(os.getpid()))


def gate(order: RunnerOrder, fifo: str) -> None:
    """Go on when somebody opens the other end."""
    Path(fifo).read_bytes()


def shrug_off_sigterm(order: RunnerOrder) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def die(order: RunnerOrder, name: str) -> None:
    os.kill(os.getpid(), signal.Signals[name])


def leave(order: RunnerOrder, code: int) -> None:
    os._exit(code)


def hang(order: RunnerOrder) -> None:
    threading.Event().wait(60)


def fail(order: RunnerOrder, code: str, *, retryable: bool = False) -> None:
    send(RunnerReport(failed=RunnerFailed(error=Error(code=code, message="as scripted"), retryable=retryable)))


def fail_for_now(order: RunnerOrder, code: str) -> None:
    fail(order, code, retryable=True)


def segment(order: RunnerOrder, index: int, text: str = "") -> None:
    """Close a segment of two seconds: 5 bytes of header and some text, and a record."""
    path = Path(order.segments_path) / f"{index}.mp4"
    path.write_text(f"head:{text or index}")
    record = path.with_suffix(".record")
    record.write_text(f"record {index} of attempt {order.attempt}")
    closed = Segment(index=index, first_frame=index * 50, frames=50, start=index * 2.0, duration=2.0, header_bytes=5)
    send(RunnerReport(segment=StoredSegment(segment=closed, path=str(path), record_path=str(record))))


def segment_elsewhere(order: RunnerOrder, path: str) -> None:
    """Call a file that is not its own a segment."""
    send(RunnerReport(segment=StoredSegment(segment=Segment(), path=path, record_path=path)))


def say_resume(order: RunnerOrder) -> None:
    """What there is to go on behind: the segments' contents, and that of the last record."""
    contents = [Path(stored.path).read_text().removeprefix("head:") for stored in order.resume]
    records = [Path(stored.record_path).read_text() for stored in order.resume if stored.record_path]
    say(order, f"resumes {contents} {records}")


def preview(order: RunnerOrder, size: int = 3) -> None:
    send(RunnerReport(preview=Preview(position=1.0, before=b"b" * size, after=b"a" * size)))


def write(order: RunnerOrder, text: str) -> None:
    Path(order.output_path).write_text(text)


def done(order: RunnerOrder, thumbnail: str = "") -> None:
    picture = Path(order.output_path).with_name("thumbnail.jpg")
    if thumbnail:
        picture.write_text(thumbnail)
    fidelity = FidelityReport(frames_in=10, frames_out=10)
    path = str(picture) if thumbnail else ""
    send(RunnerReport(done=RunnerDone(fidelity=fidelity, media=MEDIA, thumbnail_path=path)))


ACTIONS = {
    action.__name__: action
    for action in (
        probe, progress, say, say_environment, say_pid, gate, shrug_off_sigterm, die, leave, hang, fail, fail_for_now,
        segment, segment_elsewhere, say_resume, preview, write, done,
    )
}  # fmt: skip

if __name__ == "__main__":
    main()
