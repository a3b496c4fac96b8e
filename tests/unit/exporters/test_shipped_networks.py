"""The weights that are shipped, on scenes they were not trained on: never worse than doing nothing clever."""

from __future__ import annotations

from functools import cache

import pytest

from exporters.comparison import Enhancer, degradation, larger
from exporters.declaration import Model
from exporters.models import MODELS
from exporters.parity import session
from exporters.quality import psnr, ssim
from exporters.train import held_out, validate
from exporters.train.degrade import apply
from exporters.trained import Trained

SHIPPED = [model for model in MODELS if isinstance(model.recipe, Trained)]
FRAMES = 3


@cache
def enhancer(name: str) -> Enhancer:
    model = next(model for model in SHIPPED if model.name == name)
    return validate.film(model.recipe.graph(model).SerializeToString())


@pytest.mark.parametrize("scene", held_out.SCENES)
@pytest.mark.parametrize("model", SHIPPED, ids=lambda model: model.name)
def test_a_shipped_network_is_never_worse_than_bicubic_on_drawn_scenes(model: Model, scene: str) -> None:
    truth = held_out.SCENES[scene](384, 640, FRAMES)  # 3 frames of 640x384, degraded by H.264 at CRF 16
    how = degradation(model.scale)
    low = apply(truth, how)
    plain, enhanced = larger(low, how.scale), enhancer(model.name)(low)
    assert psnr(truth, enhanced) >= psnr(truth, plain) - 0.01
    assert ssim(truth, enhanced) >= ssim(truth, plain) - 0.001


@pytest.mark.parametrize("model", SHIPPED, ids=lambda model: model.name)
def test_a_shipped_network_takes_less_than_two_megabytes(model: Model) -> None:
    assert model.recipe.checkpoint.stat().st_size < 2_000_000
    graph = model.recipe.graph(model).SerializeToString()
    assert len(graph) < 2_000_000
    session(graph)
