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
from framewire.v1.job_pb2 import Error, FidelityReport, LogLine, Progress
from framewire.work.v1.work_pb2 import RunnerDone, RunnerFailed, RunnerOrder, RunnerReport

MEDIA = MediaInfo(container="scripted", duration=1.0, video=VideoInfo(codec="none", width=4, height=2, frames=10))


def main() -> None:
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


def write(order: RunnerOrder, text: str) -> None:
    Path(order.output_path).write_text(text)


def done(order: RunnerOrder) -> None:
    send(RunnerReport(done=RunnerDone(fidelity=FidelityReport(frames_in=10, frames_out=10), media=MEDIA)))


ACTIONS = {
    action.__name__: action
    for action in (
        probe, progress, say, say_environment, say_pid, gate, shrug_off_sigterm, die, leave, hang, fail, fail_for_now,
        write, done,
    )
}  # fmt: skip

if __name__ == "__main__":
    main()
