"""Compare how Framewire reads files with a plain loop around PyAV: time stamps and samples of every picture.

    python scripts/decode_check.py FOLDER_OR_FILE...

Prints a line a file: `equal`, `refused` with the reason, or `DIFFERENT` with the first difference. The loop below
shares no code with what it checks. Exit status 1 when any file differs.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from coordinator.media.decode import Picture, Reader
from coordinator.media.limits import MediaLimits
from coordinator.media.probe import inspect
from framewire.errors import MediaError

MOST = 300
"""Pictures of one file that are looked at."""
Seen = list[tuple[int | None, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the comparison of one file came to."""

    path: Path
    words: str
    pictures: int = 0
    decodable: int = 0
    """Pictures that the plain loop finds in a file that was refused."""

    @property
    def equal(self) -> bool:
        """Both saw the same."""
        return self.words == "equal"

    @property
    def differs(self) -> bool:
        """They did not."""
        return self.words.startswith("DIFFERENT")


def plain_loop(path: Path) -> Seen:
    """pts and SHA-256 of the samples of each picture, by PyAV alone."""
    seen: Seen = []
    with av.open(str(path), metadata_errors="replace") as container:
        tracks = [s for s in container.streams.video if not int(s.disposition) & 0xC00]  # no covers, no thumbnails
        stream = next((s for s in tracks if int(s.disposition) & 1), tracks[0])
        stream.thread_count = 1
        packets = container.demux(stream)
        while len(seen) < MOST:
            try:
                packet = next(packets)
            except (StopIteration, av.FFmpegError):
                break
            try:
                frames = stream.decode(packet)
            except (av.error.InvalidDataError, av.error.EOFError):
                continue
            order = container.format.name == "avi"  # it counts packets and does not say when pictures are shown
            seen += [(frame.dts if order else frame.pts, samples(frame)) for frame in frames]
    return seen[:MOST]


def samples(frame: av.VideoFrame) -> str:
    """SHA-256 of a picture's visible samples."""
    digest = hashlib.sha256(f"{frame.format.name} {frame.width}x{frame.height}".encode())
    parts = frame.format.components
    for number, plane in enumerate(frame.planes):
        if len(frame.planes) == 1:
            used = -(-frame.format.padded_bits_per_pixel * frame.width // 8)
        else:
            used = sum(-(-part.bits // 8) * part.width for part in parts if part.plane == number)
        lines = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, -1)
        digest.update(lines[:, :used].tobytes())
    return digest.hexdigest()


def ours(path: Path) -> Seen:
    """The same as Framewire reads it, before it deinterlaces. Raises MediaError."""
    facts, seen = inspect(path).video, Seen()
    with Reader(path, facts, MediaLimits(), deinterlace=False) as reader:
        for item in reader:
            if isinstance(item, Picture):
                seen.append((item.stamp.pts, samples(item.frame)))
            if len(seen) == MOST:
                break
    return seen


def check(path: Path) -> Verdict:
    """Compare one file."""
    try:
        mine = ours(path)
    except MediaError as error:
        return Verdict(path=path, words=f"refused: {error.code}", decodable=_pictures(path))
    try:
        plain = plain_loop(path)
    except Exception as error:  # noqa: BLE001 - whatever a broken file does to a plain loop
        return Verdict(path=path, words=f"DIFFERENT: the plain loop failed: {error!r}", pictures=len(mine))
    return Verdict(path=path, words=difference(mine, plain), pictures=len(mine))


def _pictures(path: Path) -> int:
    """How many the plain loop finds in a file that was refused."""
    try:
        return len(plain_loop(path))
    except Exception:  # noqa: BLE001 - whatever a broken file does to a plain loop
        return 0


def difference(mine: Seen, plain: Seen) -> str:
    """`equal`, or the first picture that is not.

    A time stamp that a file does not give is Framewire's to choose, and those from the first that does not grow.
    """
    if len(mine) != len(plain):
        return f"DIFFERENT: {len(mine)} pictures, the plain loop has {len(plain)}"
    last, given, grows = -(1 << 63), -(1 << 63), True
    for number, ((pts, picture), (plain_pts, plain_picture)) in enumerate(zip(mine, plain, strict=True)):
        if picture != plain_picture:
            return f"DIFFERENT: the samples of picture {number}"
        if plain_pts is not None:
            grows, last = grows and plain_pts > last, plain_pts
            if grows and plain_pts > given and pts != plain_pts:
                return f"DIFFERENT: picture {number} at {pts}, the plain loop has {plain_pts}"
        given = pts if pts is not None else given
    return "equal"


def files(paths: Sequence[Path]) -> Iterator[Path]:
    """All files given, and all in folders given."""
    for path in paths:
        yield from (sorted(inner for inner in path.rglob("*") if inner.is_file()) if path.is_dir() else [path])


def main(arguments: Sequence[str]) -> int:
    """Check files and print a table."""
    av.logging.set_level(None)
    verdicts = []
    for path in files([Path(argument) for argument in arguments]):
        verdict = check(path)
        verdicts.append(verdict)
        note = f" (the plain loop decodes {verdict.decodable})" if verdict.decodable else ""
        print(f"{verdict.pictures:6}  {verdict.words:40}  {path.name}{note}", flush=True)
    different = sum(verdict.differs for verdict in verdicts)
    equal = sum(verdict.equal for verdict in verdicts)
    print(f"{len(verdicts)} files: {equal} equal, {len(verdicts) - equal - different} refused, {different} different")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
