"""Measures a network that is being trained, as its graph, on clips and scenes it was not trained on.

`framewire models verify` measures what is served; this takes weights before anything is exported.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from exporters.architectures import recurrent_onnx
from exporters.architectures.recurrent import BLOCK, RecurrentEnhancer
from exporters.comparison import CRF, Compared, Enhancer, compare, degradation, films, scenes
from exporters.declaration import INPUT, OUTPUT, Frames
from exporters.train import clips, networks


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 1 when something is worse than bicubic."""
    options = _parser().parse_args(arguments)
    known = networks.network(options.network)
    enhance = film(
        options.graph.read_bytes() if options.graph else _graph(known, options.weights), carry=not options.forget
    )
    how = degradation(known.shape.scale, options.crf)
    found = clips.clips_in(options.clips, frozenset(options.skip)) if options.clips else []
    results = []
    for source in (films(found, options.frames, known.shape.scale), scenes(options.frames)):
        for name, truth in source:
            results.append(compare(name, truth, how, enhance))
            sys.stderr.write(f"{name}: {results[-1].gain:+.2f} dB\n")
    sys.stdout.write(_json(results) if options.json else table(results))
    return 1 if any(result.gain < 0 for result in results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m exporters.train.validate", description=__doc__)
    parser.add_argument("network", choices=networks.names())
    parser.add_argument("--clips", type=Path, help="folder of clips; without it only drawn scenes are used")
    parser.add_argument("--skip", action="append", default=[], metavar="CLIP", help="a clip it was trained on")
    parser.add_argument("--frames", type=int, default=40, help="frames of each clip; default: %(default)s")
    parser.add_argument("--crf", type=int, default=CRF, help="H.264's CRF; default: %(default)s")
    parser.add_argument("--weights", type=Path, help="default: the network's own")
    parser.add_argument("--graph", type=Path, help="a .onnx file instead of weights")
    parser.add_argument("--forget", action="store_true", help="begin each frame with an empty state")
    parser.add_argument("--json", action="store_true", help="as JSON")
    return parser


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


_HEADINGS = (
    *("clip", "PSNR of bicubic", "PSNR", "gain", "scaling", "gain of luma", "scaling", "SSIM of bicubic", "SSIM"),
    *("warp error of bicubic", "warp error", "flicker of bicubic", "flicker"),
)


def table(results: Sequence[Compared]) -> str:
    """The results as a Markdown table."""
    return "\n".join([f"| {' | '.join(_HEADINGS)} |", "|---" * len(_HEADINGS) + "|", *map(_row, results)]) + "\n"


def _row(result: Compared) -> str:
    a, b, limit = result.before, result.after, result.limit
    cells = (
        f"{result.clip} | {a.psnr:.2f} | {b.psnr:.2f} | {result.gain:+.2f} | {limit.gain:.1f}"
        f" | {result.luma_gain:+.2f} | {limit.luma_gain:.1f} | {a.ssim:.4f} | {b.ssim:.4f}"
        f" | {a.warp_error:.3f} | {b.warp_error:.3f} | {a.flicker:.3f} | {b.flicker:.3f}"
    )
    return f"| {cells} |"


def _json(results: Sequence[Compared]) -> str:
    return (
        json.dumps(
            [{**result.record(), "gain": result.gain, "luma_gain": result.luma_gain} for result in results], indent=2
        )
        + "\n"
    )


def _graph(known: networks.Network, weights: Path | None) -> bytes:
    network = RecurrentEnhancer(known.shape)
    network.load(weights or networks.WEIGHTS / f"{known.name}.safetensors")
    return recurrent_onnx.build(network).SerializeToString()


if __name__ == "__main__":
    sys.exit(main())
