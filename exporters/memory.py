"""How much memory a graph needs, measured in a process of its own: `python -m exporters.memory GRAPH < sizes`."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from exporters.config import Memory
from exporters.declaration import Model
from exporters.errors import ExportFailed

_FRAME = (360, 640)
_TIMEOUT = 300.0
_MIB = 1 << 20


def measure_memory(model: Model, graph: bytes) -> Memory:
    """Load it, run a quarter of a 640x360 frame, then a whole one. Raises ExportFailed when that fails."""
    small, large = model.fitting(_FRAME[0] // 2, _FRAME[1] // 2), model.fitting(*_FRAME)
    requests = [_shapes(model, *size) for size in (small, large)]
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        Path(file.name).write_bytes(graph)
        command = [sys.executable, "-P", "-m", "exporters.memory", file.name]
        try:
            done = subprocess.run(  # noqa: S603 - this module itself
                command, input=json.dumps(requests).encode(), capture_output=True, timeout=_TIMEOUT, check=True
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise ExportFailed(f"{model.name}: its memory could not be measured: {_end(error)}") from error
    before, after = json.loads(done.stdout)
    pixels = large[0] * large[1] - small[0] * small[1]
    return Memory(
        loaded=-(-after * model.instances // _MIB) * _MIB,
        per_pixel=max(0, after - before) // pixels if pixels else 0,
    )


def _shapes(model: Model, height: int, width: int) -> dict[str, tuple[str, list[int]]]:
    """Type and shape of each input, by name."""
    import numpy as np

    feeds = model.feeds(np.zeros((1, height, width, 3), np.uint8))
    return {name: (str(array.dtype), list(array.shape)) for name, array in feeds.items()}


def _end(error: subprocess.SubprocessError) -> str:
    said = getattr(error, "stderr", None) or b""
    return said.decode(errors="replace").strip().rpartition("\n")[2] or str(error)


def _resident() -> int:
    """Bytes of memory this process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def _main() -> None:
    import numpy as np
    import onnxruntime as ort

    requests = json.load(sys.stdin)
    empty = _resident()
    session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
    held = []
    for request in requests:
        feeds = {name: np.zeros(shape, dtype) for name, (dtype, shape) in request.items()}
        session.run(None, feeds)
        del feeds
        held.append(max(0, _resident() - empty))
    json.dump(held, sys.stdout)


if __name__ == "__main__":
    _main()
