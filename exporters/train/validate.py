"""Measures a network, as its graph, on clips and scenes it was not trained on, beside bicubic interpolation."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from av.video.reformatter import Interpolation

from exporters.architectures import recurrent_onnx
from exporters.architectures.recurrent import BLOCK, RecurrentEnhancer, Shape, to_frames
from exporters.declaration import INPUT, OUTPUT, Frames
from exporters.quality import Quality, measure
from exporters.train import clips, held_out, networks
from exporters.train.degrade import Degradation, apply

Enhancer = Callable[[Frames], Frames]
"""A whole clip, `[time, height, width, 3]`, to its enhanced frames."""
_DRAWN = (384, 640)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A clip's quality, by interpolation and by the network."""

    clip: str
    """Its name."""
    bicubic: Quality
    """What costs nothing; at scale 1 the degraded frames themselves."""
    enhanced: Quality
    """What the network gives."""

    @property
    def gain(self) -> float:
        """Decibels."""
        return self.enhanced.psnr - self.bicubic.psnr


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 1 when something is worse than bicubic."""
    options = _parser().parse_args(arguments)
    known = networks.network(options.network)
    graph = options.graph.read_bytes() if options.graph else _graph(known, options.weights)
    enhance = film(graph, carry=not options.forget)
    results = []
    for name, truth in truths(options.clips, frozenset(options.skip), options.frames):
        results.append(compare(name, truth, degradation(known, options.crf), enhance))
        sys.stderr.write(f"{name}: {results[-1].gain:+.2f} dB\n")
    sys.stdout.write(_json(results) if options.json else table(results))
    return 1 if any(result.gain < 0 for result in results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m exporters.train.validate", description=__doc__)
    parser.add_argument("network", choices=networks.names())
    parser.add_argument("--clips", type=Path, help="folder of clips; without it only drawn scenes are used")
    parser.add_argument("--skip", action="append", default=[], metavar="CLIP", help="a clip it was trained on")
    parser.add_argument("--frames", type=int, default=40, help="frames of each clip; default: %(default)s")
    parser.add_argument("--crf", type=int, default=16, help="H.264's CRF; default: %(default)s")
    parser.add_argument("--weights", type=Path, help="default: the network's own")
    parser.add_argument("--graph", type=Path, help="a .onnx file instead of weights")
    parser.add_argument("--forget", action="store_true", help="begin each frame with an empty state")
    parser.add_argument("--json", action="store_true", help="as JSON")
    return parser


def degradation(known: networks.Network, crf: int) -> Degradation:
    """What clips go through before they are enhanced; a clip is denoised from visible noise as well."""
    noise = 6.0 if known.shape.scale == 1 else 0.0
    return Degradation(scale=known.shape.scale, kernel=Interpolation.BICUBIC, noise=noise, crf=crf)


def truths(folder: Path | None, skip: frozenset[str], length: int) -> Iterator[tuple[str, Frames]]:
    """Clips and drawn scenes by name; sides are cut to multiples of 8."""
    for clip in clips.clips_in(folder, skip) if folder else []:
        frames = np.stack(list(islice(clips.frames_of(clip), length)))
        height, width = (side // 8 * 8 for side in frames.shape[1:3])
        yield clip.stem, frames[:, :height, :width]
    for name, scene in held_out.SCENES.items():
        yield name, scene(*_DRAWN, length)


def compare(name: str, truth: Frames, how: Degradation, enhance: Enhancer) -> Result:
    """Degrade, enhance, measure."""
    low = apply(truth, how)
    plain = interpolated(low, how.scale)
    return Result(clip=name, bicubic=measure(truth, plain), enhanced=measure(truth, enhance(low)))


def interpolated(low: Frames, scale: int) -> Frames:
    """The frames, `scale` times as large by bicubic interpolation."""
    shape = Shape(scale=scale, channels=1, depth=0, state_channels=0)
    network = RecurrentEnhancer(shape)
    with torch.inference_mode():
        return np.concatenate([_plain(network, frame[None]) for frame in low])


def film(graph: bytes, *, carry: bool = True) -> Enhancer:
    """The graph, frame by frame; without `carry` each frame is the first one."""
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    channels = {value.name: value.shape[0] for value in session.get_inputs()}[recurrent_onnx.STATE_IN]

    def enhance(frames: Frames) -> Frames:
        height, width = frames.shape[1] // BLOCK, frames.shape[2] // BLOCK
        start = state = np.zeros((channels, height, width), np.float32)
        results = []
        for frame in frames:
            feeds = {INPUT: frame[None], recurrent_onnx.STATE_IN: state if carry else start}
            result, state = session.run([OUTPUT, recurrent_onnx.STATE_OUT], feeds)
            results.append(result[0])
        return np.stack(results)

    return enhance


def table(results: Sequence[Result]) -> str:
    """The results as a Markdown table."""
    head = "| clip | PSNR of bicubic | PSNR | gain | SSIM of bicubic | SSIM | warp error of bicubic | warp error |"
    head += " flicker of bicubic | flicker |"
    return "\n".join([head, "|---" * 10 + "|", *map(_row, results)]) + "\n"


def _row(result: Result) -> str:
    a, b = result.bicubic, result.enhanced
    cells = (
        f"{result.clip} | {a.psnr:.2f} | {b.psnr:.2f} | {result.gain:+.2f} | {a.ssim:.4f} | {b.ssim:.4f}"
        f" | {a.warp_error:.3f} | {b.warp_error:.3f} | {a.flicker:.3f} | {b.flicker:.3f}"
    )
    return f"| {cells} |"


def _json(results: Sequence[Result]) -> str:
    return json.dumps([{**asdict(result), "gain": result.gain} for result in results], indent=2) + "\n"


def _graph(known: networks.Network, weights: Path | None) -> bytes:
    network = RecurrentEnhancer(known.shape)
    network.load(weights or networks.WEIGHTS / f"{known.name}.safetensors")
    return recurrent_onnx.build(network).SerializeToString()


def _plain(network: RecurrentEnhancer, frames: Frames) -> Frames:
    found, _ = network(torch.from_numpy(frames), network.start(*frames.shape[:3]))
    result: Frames = to_frames(found, network.side).numpy()
    return result


if __name__ == "__main__":
    sys.exit(main())
