"""Checkpoints as the community publishes them, with random weights: state dicts in the wrapping of each family."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch

_ARCHITECTURES = "spandrel.architectures"


def compact(folder: Path, scale: int = 2) -> Path:
    """SRVGGNetCompact, 6,876 weights, as Real-ESRGAN saves it: below `params`."""
    network = _class("Compact.__arch.SRVGG", "SRVGGNetCompact")(
        num_in_ch=3, num_out_ch=3, num_feat=16, num_conv=2, upscale=scale, act_type="prelu"
    )
    return _save(folder / "compact.pth", {"params": _seeded(network)})


def esrgan(folder: Path) -> Path:
    """RRDBNet with one block, x4, as Real-ESRGAN saves it: below `params_ema`."""
    network = _class("ESRGAN.__arch.RRDB", "RRDBNet")(in_nc=3, out_nc=3, num_filters=4, num_blocks=1, scale=4)
    return _save(folder / "4x-Photo V2.pth", {"params_ema": _seeded(network)})


def span(folder: Path) -> Path:
    """SPAN with 8 features, x2, as a safetensors file."""
    from safetensors.torch import save_file

    network = _class("SPAN", "SPAN")(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2)
    path = folder / "span.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in _seeded(network).items()}, path)
    return path


def lama(folder: Path) -> Path:
    """LaMa, which has but one size: 51 million weights, as big-lama saves it: below `state_dict`, `generator.model`."""
    weights = _seeded(_class("LaMa", "LaMa")(in_nc=4, out_nc=3))
    last = max((name for name in weights if name.endswith(".weight")), key=lambda name: int(name.split(".")[2]))
    weights[last] *= 50  # or what a random network says would lie within a level of grey
    state = {name.replace("model.model", "generator.model"): tensor for name, tensor in weights.items()}
    return _save(folder / "big-lama.ckpt", {"state_dict": state, "epoch": 1})


def _class(module: str, name: str) -> Any:
    return getattr(import_module(f"{_ARCHITECTURES}.{module}"), name)


def _seeded(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        with torch.no_grad():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter += noise * 0.1 * parameter.detach().abs().mean()
    return dict(network.state_dict())


def _save(path: Path, content: dict[str, Any]) -> Path:
    torch.save(content, path)
    return path
