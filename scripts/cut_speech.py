"""Our speech detector beside silero-vad itself, on the same sound."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from coordinator.speech import SpeechMeter

_RATE, _CHUNK = 16_000, 512
_SPEECH = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How two detectors judge one file."""

    share: float
    """Of the time, in which they do not say the same."""
    ours: float
    """Times real time."""
    theirs: float


def compare(wav: Path, silero: Path) -> Agreement:
    """`silero`: a folder with the package silero_vad, which is called chunk by chunk as it is meant to be."""
    samples = _read(wav)
    seconds = samples.size / _RATE
    ours, our_time = _timed(lambda: _ours(samples))
    theirs, their_time = _timed(lambda: _theirs(samples, silero))
    both = min(len(ours), len(theirs))
    differ = (ours[:both] >= _SPEECH) != (theirs[:both] >= _SPEECH)
    return Agreement(share=float(differ.mean()), ours=seconds / our_time, theirs=seconds / their_time)


def _timed(work: Callable[[], NDArray[np.float32]]) -> tuple[NDArray[np.float32], float]:
    """The second of two runs."""
    work()
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def _read(wav: Path) -> NDArray[np.float32]:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=_RATE)
    with av.open(str(wav)) as file:
        frames = [made for frame in file.decode(audio=0) for made in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray().ravel() for frame in frames]).astype(np.float32)


def _ours(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    meter = SpeechMeter(_RATE)
    meter.take(0, samples[None])
    return meter.by_hop(Fraction(_CHUNK, _RATE))


def _theirs(samples: NDArray[np.float32], silero: Path) -> NDArray[np.float32]:
    sys.path.insert(0, str(silero))
    import silero_vad
    import torch

    model = silero_vad.load_silero_vad(onnx=True)
    whole = samples[: len(samples) // _CHUNK * _CHUNK].reshape(-1, _CHUNK)
    return np.array([model(torch.from_numpy(chunk), _RATE).item() for chunk in whole], np.float32)
