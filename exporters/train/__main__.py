"""Trains a built-in network on a folder of clips and on scenes drawn by code; can be stopped and gone on with."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file

from exporters.architectures.recurrent import RecurrentEnhancer
from exporters.train import cache, clips, networks
from exporters.train.loop import Plan, Training

_SAVE_EVERY = 60.0
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    known = networks.network(options.network)
    network = _network(known, options.start_from)
    start = {name: value.clone() for name, value in network.state_dict().items()}
    training = Training(network, _plan(options), _device(options.device))
    checkpoint = options.work / known.name / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _bar() as bar:
            material = _material(options, known, bar)
            if checkpoint.exists() and not options.fresh:
                training.restore(checkpoint)
            _train(training, material, checkpoint, bar)
    except KeyboardInterrupt:
        sys.stderr.write(f"stopped; the same command goes on from {checkpoint}\n")
        return _INTERRUPTED
    found = training.averaged.cpu().state_dict()
    weights = {name: torch.lerp(value, start[name], options.keep) for name, value in found.items()}
    _write(weights, options.output or networks.WEIGHTS / f"{known.name}.safetensors")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m exporters.train", description=__doc__)
    parser.add_argument("network", choices=networks.names())
    parser.add_argument("--clips", type=Path, help="folder of clips; without it only drawn scenes are used")
    parser.add_argument("--skip", action="append", default=[], metavar="CLIP", help="a clip kept for validation")
    parser.add_argument("--minutes", type=float, default=30, help="time to train; default: %(default)s")
    parser.add_argument("--steps", type=int, help="a number of steps instead")
    parser.add_argument("--sequences", type=int, default=1400, help="sequences of material; default: %(default)s")
    parser.add_argument("--batch", type=int, default=8, help="sequences of a step; default: %(default)s")
    parser.add_argument("--rate", type=float, default=2e-3, help="largest learning rate; default: %(default)s")
    parser.add_argument(
        "--steadiness", type=float, default=0.25, help="weight of errors from frame to frame; default: %(default)s"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps; default: %(default)s")
    parser.add_argument("--threads", type=int, help="threads of a CPU; default: all")
    parser.add_argument("--workers", type=int, default=2, help="processes that make material; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--work", type=Path, default=Path("out/train"), help="material, checkpoints; default: %(default)s"
    )
    parser.add_argument("--fresh", action="store_true", help="start over, whatever checkpoint there is")
    parser.add_argument("--start-from", type=Path, help="weights to start from, also of a related network")
    parser.add_argument(
        "--keep",
        type=float,
        default=0.0,
        metavar="PART",
        help="part of the weights it started from that stays in the result, 0 to 1: it then suits other clips better"
        " than those it was trained on (Wortsman et al., 2022); default: %(default)s",
    )
    parser.add_argument("--output", type=Path, help="default: exporters/weights/<network>.safetensors")
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    plan = Plan(minutes=options.minutes, steps=options.steps, rate=options.rate, seed=options.seed)
    plan = replace(plan, batch=options.batch, steadiness=options.steadiness)
    return replace(plan, slope=0.0) if options.start_from else plan


def _device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _network(known: networks.Network, start: Path | None) -> RecurrentEnhancer:
    network = RecurrentEnhancer(known.shape)
    if start is not None:
        network.borrow(start)
    return network


def _bar() -> Progress:
    words = TextColumn("{task.description}")
    return Progress(words, BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))


def _material(options: argparse.Namespace, known: networks.Network, bar: Progress) -> cache.Material:
    found = clips.clips_in(options.clips, frozenset(options.skip)) if options.clips else []
    recipe = cache.Recipe(
        clips=tuple(str(path) for path in found),
        scale=known.shape.scale,
        severity=known.severity,
        sequences=options.sequences,
        drawn=0.42 if found else 1.0,
        seed=options.seed,
    )
    folder = options.work / f"material-{networks.task(known)}"
    task = bar.add_task("material", total=recipe.sequences, note="")
    for count in cache.material(recipe, folder, options.workers):
        bar.advance(task, count)
    return cache.opened(recipe, folder)


def _train(training: Training, material: cache.Material, checkpoint: Path, bar: Progress) -> None:
    task, saved = bar.add_task("training", total=1.0, note=""), time.monotonic()
    try:
        for at in training.run(material):
            note = f"step {at.step}, error {at.error:.4f} of bicubic's"
            bar.update(task, completed=at.done, note=note)
            if time.monotonic() - saved > _SAVE_EVERY:
                training.save(checkpoint)
                if not bar.console.is_terminal:  # a log has no bar
                    bar.console.print(f"{at.done:.0%} {note}")
                saved = time.monotonic()
    finally:
        training.save(checkpoint)


def _write(weights: dict[str, torch.Tensor], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in weights.items()}, path)
    sys.stdout.write(f"{path}: {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    sys.exit(main())
