"""Going on behind a unit in films that are not read frame by frame: interlaced ones, and ones that are damaged."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, make_clip
from test_segments import Run, film_hash

from coordinator.order import Result
from coordinator.resume import earlier_work

_INTERLACED = 0x40000 | 0x20000000  # interlaced DCT and motion


def interlaced(path: Path) -> Path:
    """160 frames of 96x64 MPEG-2, top field first, a bar that moves between the fields; 6.4 s."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg2video", rate=25, options={"g": "12", "qscale": "2"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.flags |= _INTERLACED
        for number in range(160):
            picture = np.full((64, 96, 3), 40, np.uint8)
            for field in (0, 1):
                left = (number * 2 + field) * 2 % 80
                picture[field::2, left : left + 12] = 220
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def damaged(path: Path) -> Path:
    """160 frames of 64x48 H.264 with B-frames; in every tenth packet bytes are other ones, keyframes excepted."""
    whole = make_clip(path.with_name("whole.mp4"), Clip(frames=160, options=(("preset", "medium"), ("g", "50"))))
    dice = random.Random(4)
    with av.open(str(whole)) as source, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.dts is None:
                continue
            if number % 10 == 7 and not packet.is_keyframe:
                data = bytearray(bytes(packet))
                for _ in range(6):
                    data[dice.randrange(5, len(data))] ^= 0xFF
                other = av.Packet(bytes(data))
                other.pts, other.dts, other.duration = packet.pts, packet.dts, packet.duration
                other.time_base = packet.time_base
                packet = other
            packet.stream = stream
            output.mux(packet)
    return path


@pytest.fixture(scope="module", params=[interlaced, damaged])
def undisturbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Result]:
    folder = tmp_path_factory.mktemp("undisturbed")
    make: Callable[[Path], Path] = request.param
    run = Run(make(folder / "in.mp4"), folder / "out.mp4")
    return run, run.to_the_end()


@pytest.mark.parametrize(("after", "units"), [(14, 1), (60, 2), (110, 3)])
def test_such_a_film_goes_on_as_if_nothing_had_happened(
    undisturbed: tuple[Run, Result], tmp_path: Path, after: int, units: int
) -> None:
    whole, expected = undisturbed
    assert expected.remarks, "neither interlaced nor damaged"
    killed = Run(whole.source, tmp_path / "out.mp4")
    killed.until_killed(after, units)
    earlier, why = earlier_work(killed.units, "of the test")
    assert why == ""
    assert len(earlier.units) >= units
    heir = Run(whole.source, tmp_path / "out.mp4")
    result = heir.to_the_end(earlier)
    assert result.resumed == sum(unit.segment.frames for unit in killed.units)
    assert heir.step.frames < whole.step.frames, "what had been done was done again"
    assert result.remarks == expected.remarks
    assert film_hash(heir.target) == film_hash(whole.target)
