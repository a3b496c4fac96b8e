"""How often our speech detector and silero-vad's own ONNX model disagree, and how fast each is.

    python scripts/vad_check.py SPEECH.wav silero_vad.onnx

The WAV file has one channel of 16 bits at 16 kHz. The model comes from the package silero-vad; onnxruntime runs it.
"""

from __future__ import annotations

import os
import sys
import time
import wave
from collections.abc import Callable
from fractions import Fraction

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as runners have it, and before numpy is imported

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from coordinator.speech import SpeechMeter
from coordinator.speech.network import CHUNK, CONTEXT, RATE

Probabilities = NDArray[np.float32]
_BLOCK = 1 << 16


def main() -> None:
    with wave.open(sys.argv[1]) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / np.float32(32768)
    theirs, their_time = _timed(lambda: silero(sys.argv[2], sound))
    ours, our_time = _timed(lambda: meter(sound))
    seconds, both = len(sound) / RATE, min(len(theirs), len(ours))
    differ = float(np.mean((theirs[:both] >= 0.5) != (ours[:both] >= 0.5)))
    print(f"{seconds:.1f} s of sound, {float(np.mean(theirs >= 0.5)):.1%} of it speech")
    print(f"disagreement       {differ:.2%} of the time (goal: at most 3 %)")
    print(f"largest difference {np.abs(theirs[:both] - ours[:both]).max():.3f}")
    print(f"silero-vad, ONNX   {seconds / their_time:7.0f} times real time")
    print(f"ours, numpy        {seconds / our_time:7.0f} times real time")


def _timed(work: Callable[[], Probabilities]) -> tuple[Probabilities, float]:
    """What it gives, and the best of five times, in seconds of processor time."""
    times = []
    for _ in range(5):
        began = time.process_time()
        made = work()
        times.append(time.process_time() - began)
    return made, min(times)


def silero(model: str, sound: Probabilities) -> Probabilities:
    """As its own package calls it: 32 ms after 32 ms, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options)
    state, context, made = np.zeros((2, 1, 128), np.float32), np.zeros((1, CONTEXT), np.float32), []
    for start in range(0, len(sound) - CHUNK + 1, CHUNK):
        chunk = np.concatenate([context, sound[None, start : start + CHUNK]], axis=1)
        context = chunk[:, -CONTEXT:]
        answer, state = session.run(None, {"input": chunk, "state": state, "sr": np.array(RATE)})
        made.append(answer[0, 0])
    return np.array(made, np.float32)


def meter(sound: Probabilities) -> Probabilities:
    """As a job calls it: a second or so at a time."""
    ours = SpeechMeter(RATE)
    for start in range(0, len(sound), _BLOCK):
        ours.take(start, sound[None, start : start + _BLOCK])
    return ours.by_hop(Fraction(CHUNK, RATE))


if __name__ == "__main__":
    main()
