"""Checkpoints as the community publishes them, with random weights: state dicts in the wrapping of each family."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import torch

_ARCHITECTURES = "spandrel.architectures"


def compact(folder: Path, scale: int = 2) -> Path:
    """SRVGGNetCompact, 6,876 weights, as Real-ESRGAN saves it: below `params`."""
    weights = _weights(
        "Compact.__arch.SRVGG",
        "SRVGGNetCompact",
        num_in_ch=3,
        num_out_ch=3,
        num_feat=16,
        num_conv=2,
        upscale=scale,
        act_type="prelu",
    )
    return _save(folder / "compact.pth", {"params": weights})


def esrgan(folder: Path) -> Path:
    """RRDBNet with one block, x4, as Real-ESRGAN saves it: below `params_ema`."""
    weights = _weights("ESRGAN.__arch.RRDB", "RRDBNet", in_nc=3, out_nc=3, num_filters=4, num_blocks=1, scale=4)
    return _save(folder / "4x-Photo V2.pth", {"params_ema": weights})


def span(folder: Path) -> Path:
    """SPAN with 8 features, x2, as a safetensors file."""
    from safetensors.torch import save_file

    weights = _weights("SPAN", "SPAN", num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2)
    path = folder / "span.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    return path


def lama(folder: Path) -> Path:
    """LaMa as big-lama saves it: below `state_dict`, `generator.model`. Use inside `small_lama`."""
    weights = _weights("LaMa", "LaMa", in_nc=4, out_nc=3)
    last = max((name for name in weights if name.endswith(".weight")), key=lambda name: int(name.split(".")[2]))
    weights[last] *= 50  # or what a random network says would lie within a level of grey
    state = {name.replace("model.model", "generator.model"): tensor for name, tensor in weights.items()}
    return _save(folder / "big-lama.ckpt", {"state_dict": state, "epoch": 1})


@contextlib.contextmanager
def small_lama() -> Iterator[None]:
    """LaMa has but one size, 51 million weights. Inside it is 8 channels wide and 2 blocks deep, its keys the same."""
    module = import_module(f"{_ARCHITECTURES}.LaMa.__arch.LaMa")
    with mock.patch.object(
        module, "FFCResNetGenerator", functools.partial(module.FFCResNetGenerator, ngf=8, n_blocks=2)
    ):
        yield


def _weights(module: str, name: str, **arguments: object) -> dict[str, torch.Tensor]:
    """A network's state dict, as its own initialisation draws it, the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = getattr(import_module(f"{_ARCHITECTURES}.{module}"), name)(**arguments)
    return dict(network.state_dict())


def _save(path: Path, content: dict[str, Any]) -> Path:
    torch.save(content, path)
    return path
