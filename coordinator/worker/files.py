"""Where an attempt's files lie on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from framewire.errors import ErrorCode, WorkerError
from framewire.work.v1.work_pb2 import StoredSegment


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """All of them below one folder."""

    folder: Path
    input: Path
    output: Path
    segments: Path
    """Folder for segments the runner closes."""
    resume: Path
    """Folder for segments of earlier attempts."""

    @classmethod
    def below(cls, folder: Path, *, suffix: str) -> Files:
        """Make the folders; a few, not worth a thread. `suffix` is that of the output."""
        segments, resume = folder / "segments", folder / "resume"
        segments.mkdir()
        resume.mkdir()
        output = folder / f"output{suffix}"
        return cls(folder=folder, input=folder / "input-0", output=output, segments=segments, resume=resume)

    def checked(self, stored: StoredSegment) -> StoredSegment:
        """The segment as it is. Raises WorkerError (RUNNER_CRASHED) when a path leads elsewhere."""
        for path in (stored.path, stored.record_path):
            self.inside(path)
        return stored

    def inside(self, path: str) -> Path:
        """A path the runner names. It opens hostile files: what it says must not make this worker store others."""
        if not (resolved := Path(path).resolve()).is_relative_to(self.folder.resolve()):
            raise WorkerError("the runner named a file that is not its own", code=ErrorCode.RUNNER_CRASHED)
        return resolved
