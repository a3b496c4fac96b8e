"""What is timed of cutting, each run in a process of its own: `python scripts/cut_loops.py NAME SOURCE TARGET KEEP`.

    copy       every packet into a new file: nothing that cuts can be faster
    cut        our engine, on the ranges of KEEP
    smartcut   the library `smartcut`, on the same ranges (its own Python)
    decode     the sound alone, and nothing with it: nothing that listens can be faster
    detect     what our step keeps of SOURCE; prints it as `keep`
    silence    our step: detect, then cut

KEEP is JSON: [[start, end], ...], exact seconds as texts (`"13/15"`). The last line that is printed is JSON: `wall`,
the seconds from having been imported to having the result, and `peak`, the most memory the process held, in bytes.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

Ranges = Sequence[tuple[Fraction, Fraction]]
Work = Callable[[], dict[str, object]]


def copy(source: Path, target: Path, keep: Ranges) -> Work:
    """Every packet of every track."""
    import av

    del keep

    def work() -> dict[str, object]:
        with av.open(str(source)) as film, av.open(str(target), "w") as output:
            streams = {stream.index: output.add_stream_from_template(stream) for stream in film.streams}
            for packet in film.demux():
                if packet.dts is not None:
                    packet.stream = streams[packet.stream.index]
                    output.mux(packet)
        return {}

    return work


def cut(source: Path, target: Path, keep: Ranges) -> Work:
    """Ours."""
    from coordinator.media.cut.smart_cut import smart_cut
    from framewire.edits.edit_list import EditList, Span

    edits = EditList(Span(start=start, end=end) for start, end in keep)

    def work() -> dict[str, object]:
        done = smart_cut(source, target, edits)
        return {"copied": done.copied, "encoded": done.encoded}

    return work


def smartcut(source: Path, target: Path, keep: Ranges) -> Work:
    """As the command `smartcut` does it."""
    from smartcut.cut_video import (  # type: ignore[import-not-found]  # it is in a Python of its own
        AudioExportInfo,
        AudioExportSettings,
        VideoExportMode,
        VideoExportQuality,
        VideoSettings,
        smart_cut,
    )
    from smartcut.media_container import MediaContainer  # type: ignore[import-not-found]  # the same

    settings = VideoSettings(VideoExportMode.SMARTCUT, VideoExportQuality.NORMAL, "copy")

    def work() -> dict[str, object]:
        film = MediaContainer(str(source))
        sound = AudioExportInfo(output_tracks=[AudioExportSettings(codec="passthru")] * len(film.audio_tracks))
        error = smart_cut(film, list(keep), str(target), audio_export_info=sound, video_settings=settings)
        if error is not None:
            raise error
        return {}

    return work


def decode(source: Path, target: Path, keep: Ranges) -> Work:
    """The first track of sound."""
    import av

    del target, keep

    def work() -> dict[str, object]:
        with av.open(str(source)) as film:
            return {"samples": sum(frame.samples for frame in film.decode(audio=0))}

    return work


def detect(source: Path, target: Path, keep: Ranges) -> Work:
    """What is kept by the step's defaults."""
    from coordinator.media.limits import MediaLimits
    from coordinator.media.probe import inspect
    from coordinator.silence import decide_cuts
    from framewire.v1.step_pb2 import CutSilence

    del target, keep

    def work() -> dict[str, object]:
        edits = decide_cuts(source, CutSilence(), inspect(source), MediaLimits())
        return {"keep": [[str(span.start), str(span.end)] for span in edits.spans]}

    return work


def silence(source: Path, target: Path, keep: Ranges) -> Work:
    """Both, as a job does it."""
    found = detect(source, target, keep)

    def work() -> dict[str, object]:
        spans = found()["keep"]
        return cut(source, target, read_ranges(json.dumps(spans)))()

    return work


LOOPS: Mapping[str, Callable[[Path, Path, Ranges], Work]] = {
    each.__name__: each for each in (copy, cut, smartcut, decode, detect, silence)
}


def read_ranges(text: str) -> list[tuple[Fraction, Fraction]]:
    """From JSON."""
    return [(Fraction(start), Fraction(end)) for start, end in json.loads(text)]


def main() -> None:
    name, source, target, keep = sys.argv[1:]
    work = LOOPS[name](Path(source), Path(target), read_ranges(keep))
    began = time.perf_counter()
    facts = work()
    wall = time.perf_counter() - began
    print(json.dumps({"wall": wall, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10, **facts}))


if __name__ == "__main__":
    main()
