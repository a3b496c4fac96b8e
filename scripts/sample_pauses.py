"""A film with pauses, drawn on the spot; and a long film made of a short one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from sample_clip import AUDIO_RATE, draw_clip

SAID, PAUSED = 3.0, 2.0
"""Seconds of tone, and of silence behind it."""


def draw_pauses(path: Path, *, seconds: float, width: int = 640, height: int = 360) -> Path:
    """H.264 at 30 pictures a second with AAC: a tone that pauses."""
    whole = path.with_name(f"whole-{path.name}")
    draw_clip(whole, seconds=seconds, width=width, height=height, fps=30)
    with av.open(str(whole)) as film, av.open(str(path), "w") as output:
        pictures = output.add_stream_from_template(film.streams.video[0])
        sound = output.add_stream("aac", rate=AUDIO_RATE, layout="stereo")
        for packet in film.demux(film.streams.video[0]):
            if packet.dts is not None:
                packet.stream = pictures
                output.mux(packet)
        film.seek(0)
        for frame in film.decode(film.streams.audio[0]):
            output.mux(sound.encode(_paused(frame)))
        output.mux(sound.encode(None))
    whole.unlink()
    return path


def _paused(frame: av.AudioFrame) -> av.AudioFrame:
    times = (frame.pts or 0) / AUDIO_RATE + np.arange(frame.samples) / AUDIO_RATE
    samples = frame.to_ndarray() * (times % (SAID + PAUSED) < SAID)
    quiet = av.AudioFrame.from_ndarray(samples.astype(np.float32), format="fltp", layout="stereo")
    quiet.sample_rate, quiet.pts, quiet.time_base = AUDIO_RATE, frame.pts, Fraction(1, AUDIO_RATE)
    return quiet


def repeat_film(film: Path, path: Path, *, seconds: float) -> Path:
    """The first tracks of pictures and of sound again and again until it is as long, packet for packet."""
    with av.open(str(path), "w") as output, av.open(str(film)) as source:
        tracks = [source.streams.video[0], *source.streams.audio[:1]]
        streams = {track.index: output.add_stream_from_template(track) for track in tracks}
        length = max(Fraction(track.duration or 0) * (track.time_base or 1) for track in tracks)
        for number in range(-(-int(seconds) // max(1, int(length)))):
            source.seek(0)
            for packet in source.demux(tracks):
                if packet.dts is None or packet.pts is None or packet.pts < 0:
                    continue
                later = int(number * length / (packet.time_base or 1))
                packet.pts, packet.dts = packet.pts + later, packet.dts + later
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    return path
