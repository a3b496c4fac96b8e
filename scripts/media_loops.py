"""What the media engine is compared with: loops without servers, each in a process of its own.

    python scripts/media_loops.py threaded|naive|files CLIP OUTPUT MODEL     one JSON object on stdout

- threaded: decode, two sessions of one thread each, and encode in threads with bounded queues; the model takes and
  gives uint8. The limit: nobody who decodes, runs this model and encodes on this machine does much better.
- naive: the loop everybody writes first: decode a frame, to float, run, to bytes, encode.
- files: every frame a PNG file, before the model and after it.

x264 veryfast, CRF 18, audio copied, in all of them.
"""

from __future__ import annotations

import contextlib
import json
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import onnxruntime
from numpy.typing import NDArray

_DEPTH = 8
Frame = NDArray[np.uint8]


class Output:
    """x264 and the input's audio, copied."""

    def __init__(self, path: Path, source: Path) -> None:
        self._source = av.open(str(source))
        self._container = av.open(str(path), "w", options={"movflags": "faststart"})
        self._rate = self._source.streams.video[0].average_rate
        self._video: av.VideoStream | None = None
        self._audio = {
            stream.index: self._container.add_stream_from_template(stream) for stream in self._source.streams.audio
        }

    def write(self, picture: Frame) -> None:
        """Encode one picture, RGB."""
        if self._video is None:
            options = {"crf": "18", "preset": "veryfast"}
            self._video = self._container.add_stream("libx264", rate=self._rate, options=options)
            self._video.height, self._video.width, self._video.pix_fmt = *picture.shape[:2], "yuv420p"
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        self._container.mux(self._video.encode(frame))

    def close(self) -> None:
        """Flush, and copy the audio."""
        if self._video is not None:
            self._container.mux(self._video.encode(None))
        for packet in self._source.demux(*self._source.streams.audio) if self._audio else ():
            if packet.dts is not None:
                packet.stream = self._audio[packet.stream.index]
                self._container.mux(packet)
        self._container.close()
        self._source.close()


def pictures(clip: Path) -> Iterator[Frame]:
    """Every frame as RGB."""
    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        video.thread_type = "AUTO"
        for frame in container.decode(video):
            yield frame.to_ndarray(format="rgb24")


def session(model: Path, threads: int) -> onnxruntime.InferenceSession:
    """On the processor, with so many threads; 0: as many as there are."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def threaded(clip: Path, output: Path, model: Path) -> int:
    """Frames that were written."""
    todo: queue.Queue[tuple[Frame, queue.Queue[Frame]] | None] = queue.Queue(_DEPTH)
    in_order: queue.Queue[queue.Queue[Frame] | None] = queue.Queue(_DEPTH)

    def decode() -> None:
        for picture in pictures(clip):
            place: queue.Queue[Frame] = queue.Queue(1)
            todo.put((picture, place))
            in_order.put(place)
        in_order.put(None)
        for _ in range(2):
            todo.put(None)

    def infer() -> None:
        run = session(model, 1)
        while item := todo.get():
            picture, place = item
            place.put(run.run(None, {run.get_inputs()[0].name: picture[None]})[0][0])

    threads = [threading.Thread(target=work) for work in (decode, infer, infer)]
    for thread in threads:
        thread.start()
    target, frames = Output(output, clip), 0
    while (place := in_order.get()) is not None:
        target.write(place.get())
        frames += 1
    target.close()
    for thread in threads:
        thread.join()
    return frames


def naive(clip: Path, output: Path, model: Path) -> int:
    """Frames that were written."""
    run, target, frames = session(model, 0), Output(output, clip), 0
    for picture in pictures(clip):
        target.write(_through(run, picture))
        frames += 1
    target.close()
    return frames


def files(clip: Path, output: Path, model: Path) -> int:
    """Frames that were written."""
    run, frames = session(model, 0), 0
    with tempfile.TemporaryDirectory(prefix="framewire-files-") as folder:
        for picture in pictures(clip):
            _write_png(Path(folder) / f"in-{frames:06d}.png", picture)
            frames += 1
        for number in range(frames):
            _write_png(
                Path(folder) / f"out-{number:06d}.png", _through(run, _read_png(Path(folder) / f"in-{number:06d}.png"))
            )
        target = Output(output, clip)
        for number in range(frames):
            target.write(_read_png(Path(folder) / f"out-{number:06d}.png"))
        target.close()
    return frames


def _through(run: onnxruntime.InferenceSession, picture: Frame) -> Frame:
    planes = picture.astype(np.float32).transpose(2, 0, 1)[None] / 255
    (result,) = run.run(None, {run.get_inputs()[0].name: planes})
    return np.clip(result[0].transpose(1, 2, 0) * 255 + 0.5, 0, 255).astype(np.uint8)


def _write_png(path: Path, picture: Frame) -> None:
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _read_png(path: Path) -> Frame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


LOOPS: dict[str, Callable[[Path, Path, Path], int]] = {"threaded": threaded, "naive": naive, "files": files}


def main() -> int:
    """One loop, timed from the first byte that is read to the last that is written."""
    name, *paths = sys.argv[1:]
    clip, output, model = map(Path, paths)
    wall, cpu = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(sys.stderr):
        frames = LOOPS[name](clip, output, model)
    facts = {"frames": frames, "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
