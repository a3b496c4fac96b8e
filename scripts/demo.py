"""One real job through every real server: `make demo`, or with a clip of your own `make demo CLIP=path`.

Starts a local stack in a temporary folder, runs `enhance:scale=2`, checks the result with its own eyes, stops the
stack. The exit code says whether everything was right.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av
from sample_clip import draw_clip

from framewire.cli.main import run

OUT = Path(__file__).resolve().parent.parent / "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What is seen of a clip from outside."""

    width: int
    height: int
    frames: int
    audio: str
    """SHA-256 over the audio packets; empty when there are none."""


def look(path: Path) -> Looks:
    """Decode every frame, hash every audio packet."""
    digest, frames, packets = hashlib.sha256(), 0, 0
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        for packet in container.demux():
            if packet.stream.index == video.index:
                frames += len(packet.decode())
            elif packet.stream.type == "audio" and packet.size:
                packets += 1
                digest.update(bytes(packet))
        return Looks(width=video.width, height=video.height, frames=frames, audio=digest.hexdigest() if packets else "")


def faults(before: Looks, after: Looks) -> list[str]:
    """What is wrong with a result that should be twice the size and otherwise the same."""
    checks = {
        f"size is {after.width}x{after.height}, not twice {before.width}x{before.height}": (after.width, after.height)
        == (2 * before.width, 2 * before.height),
        f"{after.frames} frames, not {before.frames}": after.frames == before.frames,
        "the audio packets differ": after.audio == before.audio,
    }
    return [fault for fault, right in checks.items() if not right]


def main() -> int:
    """0 when the result is right."""
    parser = argparse.ArgumentParser(description="Run one real job through every real server.")
    parser.add_argument("--clip", type=Path, help="a clip of your own; one is drawn otherwise")
    parser.add_argument("--output", type=Path, default=OUT / "demo.mp4", help="where the result goes")
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="framewire-demo-") as folder:
        clip = arguments.clip or Path(folder) / "clip.mp4"
        if not arguments.clip:
            print("drawing a clip: 4 s, 640x360, 25 fps, with a tone")
            draw_clip(clip, seconds=4, width=640, height=360)
        data = Path(folder) / "data"
        code = run(["run", str(clip), "--step", "enhance:scale=2", "-o", str(arguments.output), "--data", str(data)])
        return code or judge(clip, arguments.output)


def judge(clip: Path, result: Path) -> int:
    """Say whether the result is right."""
    before, after = look(clip), look(result)
    wrong = faults(before, after)
    for fault in wrong:
        print(f"demo: WRONG: {fault}", file=sys.stderr)
    if not wrong:
        sound = "audio bit-identical" if after.audio else "no audio"
        print(f"demo: right: {after.frames} frames, {after.width}x{after.height}, {sound}: {result}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
