"""A small recurrent network that tells speech from everything else, calculated with numpy.

The architecture and the weights are those of Silero VAD (version 6, 16 kHz, 309,633 weights, MIT; LICENSE-silero-vad is
beside this file): a short-time Fourier transform, four convolutions, one LSTM cell, one output. Its usual form takes
32 ms at a call, one after the other, and so spends most of its time between calls. Here the part without memory is
calculated for many chunks at once (`encode`), and the part with memory for many stretches of the film side by side
(`recur`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE: Final = 16_000
CHUNK: Final = 512
"""Samples that one answer is for: 32 ms."""
CONTEXT: Final = 64
"""Samples before a chunk that it is looked at with."""
FEATURES: Final = 128

_Array = NDArray[np.float32]
_FRAME, _HOP, _BINS = 256, 128, 129


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The weights, laid out for multiplication from the right."""

    fourier: _Array
    convolutions: tuple[tuple[_Array, _Array], ...]
    gates: tuple[_Array, _Array, _Array]
    """From features, from the state before, and what is added: input, forget, cell, output."""
    answer: tuple[_Array, float]

    @classmethod
    def load(cls) -> Network:
        """The weights beside this file."""
        with resources.files("coordinator.speech").joinpath("silero_vad_16k.npz").open("rb") as file:
            weights = {name: values.astype(np.float32) for name, values in np.load(file).items()}
        # the third convolution sees two frames, the fourth one: what would be multiplied by padding is left out
        kernels = [weights[f"conv{number}.weight"].transpose(2, 1, 0) for number in range(1, 5)]
        taps = (kernels[0], kernels[1], kernels[2][1:], kernels[3][1:2])
        return cls(
            fourier=np.ascontiguousarray(weights["stft_conv.weight"][:, 0].T),
            convolutions=tuple(
                (np.ascontiguousarray(tap.reshape(-1, tap.shape[2])), weights[f"conv{number}.bias"])
                for number, tap in enumerate(taps, start=1)
            ),
            gates=(
                np.ascontiguousarray(weights["lstm_cell.weight_ih"].T),
                np.ascontiguousarray(weights["lstm_cell.weight_hh"].T),
                weights["lstm_cell.bias_ih"] + weights["lstm_cell.bias_hh"],
            ),
            answer=(np.ascontiguousarray(weights["final_conv.weight"][0, :, 0]), float(weights["final_conv.bias"][0])),
        )

    def encode(self, samples: _Array) -> _Array:
        """`[CONTEXT + chunks * CHUNK]` samples to `[chunks, FEATURES]`. Full scale is 1."""
        spectrum = self._spectrum(samples)
        first = _relu(_windows(spectrum, 1), *self.convolutions[0])
        second = _relu(_windows(first, 2), *self.convolutions[1])
        third = _relu(second.reshape(len(second), -1), *self.convolutions[2])
        return _relu(third, *self.convolutions[3])

    def _spectrum(self, samples: _Array) -> _Array:
        """`[chunks, 4, 129]` magnitudes. Each chunk's end is mirrored: nobody knows what comes behind it."""
        chunks = (len(samples) - CONTEXT) // CHUNK
        step = samples.strides[0]
        whole = np.lib.stride_tricks.as_strided(samples, (chunks, CONTEXT + CHUNK), (CHUNK * step, step))
        padded = np.concatenate([whole, whole[:, -2 : -CONTEXT - 2 : -1]], axis=1)
        frames = np.lib.stride_tricks.as_strided(
            padded, (chunks, 4, _FRAME), (padded.strides[0], _HOP * step, step)
        ).reshape(-1, _FRAME)
        both = frames @ self.fourier
        both *= both
        magnitudes: _Array = np.sqrt(both[:, :_BINS] + both[:, _BINS:])
        return magnitudes.reshape(chunks, 4, _BINS)

    def recur(self, features: _Array) -> _Array:
        """`[steps, stretches, FEATURES]` to the probability of speech `[steps, stretches]`, each from zeros."""
        from_features, from_state, bias = self.gates
        hidden = cell = np.zeros(features.shape[1:], np.float32)
        inputs = (features.reshape(-1, FEATURES) @ from_features + bias).reshape(*features.shape[:2], -1)
        states = np.empty_like(features)
        for step, given in enumerate(inputs):
            given += hidden @ from_state
            entry, forget, candidate, exit_ = np.split(given, 4, axis=1)
            cell = _sigmoid(forget) * cell + _sigmoid(entry) * np.tanh(candidate)
            hidden = states[step] = _sigmoid(exit_) * np.tanh(cell)
        weights, added = self.answer
        return _sigmoid(np.maximum(states, 0) @ weights + np.float32(added))


@functools.cache
def network() -> Network:
    """The one there is."""
    return Network.load()


def _windows(frames: _Array, stride: int) -> _Array:
    """`[chunks, frames, channels]` to `[chunks, outputs, 3 * channels]`: what a kernel of three sees."""
    chunks, count, channels = frames.shape
    padded = np.zeros((chunks, count + 2, channels), np.float32)
    padded[:, 1:-1] = frames
    outputs = (count - 1) // stride + 1
    strides = padded.strides
    return np.lib.stride_tricks.as_strided(
        padded, (chunks, outputs, 3 * channels), (strides[0], strides[1] * stride, strides[2])
    )


def _relu(values: _Array, weights: _Array, bias: _Array) -> _Array:
    made = values.reshape(-1, values.shape[-1]) @ weights
    made += bias
    np.maximum(made, 0, out=made)
    shaped: _Array = made.reshape(*values.shape[:-1], -1)
    return shaped


def _sigmoid(values: _Array) -> _Array:
    made: _Array = np.tanh(values * np.float32(0.5))
    return np.float32(0.5) * made + np.float32(0.5)
