"""Training: it learns, it stops and goes on, and its material is made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from exporters.architectures.recurrent import RecurrentEnhancer, Shape
from exporters.train import cache, loop
from exporters.train.__main__ import main
from exporters.train.degrade import UPSCALING
from exporters.train.loop import Plan, Training
from exporters.trained import WEIGHTS

SHAPE = Shape(scale=2, channels=16, depth=1)
RECIPE = cache.Recipe(clips=(), scale=2, severity=UPSCALING, sequences=12, drawn=1.0, side=32, length=5)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> cache.Material:
    """Twelve drawn sequences of five frames, 32x32 and 64x64."""
    folder = tmp_path_factory.mktemp("material")
    assert sum(cache.material(RECIPE, folder, workers=1)) == RECIPE.sequences
    return cache.opened(RECIPE, folder)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only wait for each other's threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def training(steps: int, rate: float = 4e-3) -> Training:
    torch.manual_seed(0)
    plan = Plan(minutes=1, steps=steps, batch=4, side=24, unroll=2, warm_up=2, rate=rate)
    return Training(RecurrentEnhancer(SHAPE), plan, torch.device("cpu"))


def test_errors_as_large_as_bicubics_count_as_one_and_half_of_them_as_half() -> None:
    bicubic = torch.randn(2, 3, 48, 8, 8, generator=torch.Generator().manual_seed(0)) * 40
    assert float(loop.relative(bicubic, bicubic)) == pytest.approx(1, abs=0.03)
    assert float(loop.relative(bicubic / 2, bicubic)) == pytest.approx(0.5, abs=0.03)


def test_a_sequence_counts_the_same_whether_its_errors_are_large_or_small() -> None:
    bicubic = (
        torch.randn(2, 3, 48, 8, 8, generator=torch.Generator().manual_seed(0))
        * torch.tensor([100.0, 10.0])[:, None, None, None, None]
    )
    halved = [torch.tensor(factors)[:, None, None, None, None] for factors in ([0.5, 1.0], [1.0, 0.5])]
    one, other = (float(loop.relative(bicubic * factor, bicubic)) for factor in halved)
    assert one == pytest.approx(other, abs=0.04)


def test_some_steps_of_training_make_it_better_than_bicubic(material: cache.Material) -> None:
    reports = list(training(40).run(material))
    assert reports[-1].step == 40
    assert reports[-1].done == 1
    assert reports[-1].error < 0.97


def test_the_same_seed_gives_the_same_weights(material: cache.Material) -> None:
    weights = []
    for _ in range(2):
        made = training(3)
        list(made.run(material))
        weights.append(torch.cat([value.flatten() for value in made.averaged.parameters()]))
    assert torch.equal(*weights)


def test_training_goes_on_where_it_was_saved(material: cache.Material, tmp_path: Path) -> None:
    whole = training(6)
    list(whole.run(material))
    first = training(6)
    steps = first.run(material)
    for _ in range(3):
        next(steps)
    first.save(tmp_path / "checkpoint.pt")
    second = training(6)
    second.restore(tmp_path / "checkpoint.pt")
    assert next(second.run(material)).step == 4
    list(second.run(material))
    for one, other in zip(whole.averaged.parameters(), second.averaged.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_activations_bend_at_zero_only_when_training_ends(material: cache.Material) -> None:
    made = training(10)
    slopes = [made._network.slope for _ in made.run(material)]
    assert slopes[0] == pytest.approx(0.2)
    assert slopes == sorted(slopes, reverse=True)
    assert slopes[-1] == made.averaged.slope == 0


def test_training_that_diverges_says_so(material: cache.Material) -> None:
    broken = training(3)
    with torch.no_grad():
        broken._network.last.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="lower rate"):
        list(broken.run(material))


def test_material_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    small = cache.Recipe(clips=(), scale=1, severity=UPSCALING, sequences=2, drawn=1.0, side=16, length=2)
    list(cache.material(small, tmp_path, workers=1))
    (tmp_path / "low.npy").chmod(0o400)
    before = (tmp_path / "low.npy").stat().st_mtime_ns
    assert list(cache.material(small, tmp_path, workers=1)) == [2]
    assert (tmp_path / "low.npy").stat().st_mtime_ns == before


def test_one_command_trains_and_writes_weights_that_fit(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    arguments = ["enhance_x2", "--steps", "2", "--sequences", "4", "--batch", "1", "--device", "cpu", "--workers", "1"]
    assert main([*arguments, "--work", str(tmp_path / "work"), "--output", str(weights)]) == 0
    RecurrentEnhancer(Shape(scale=2, channels=48, depth=3)).load(weights)
    assert weights.stat().st_size < 2_000_000


def test_a_part_of_what_it_started_from_stays_in_the_result(tmp_path: Path) -> None:
    kept = tmp_path / "kept.safetensors"
    start = WEIGHTS / "enhance_x2.safetensors"
    arguments = ["enhance_x2", "--steps", "2", "--sequences", "4", "--batch", "1", "--device", "cpu", "--workers", "1"]
    arguments += ["--start-from", str(start), "--work", str(tmp_path / "work"), "--output", str(kept)]
    assert main([*arguments, "--keep", "1"]) == 0
    assert all(torch.equal(value, load_file(start)[name]) for name, value in load_file(kept).items())
    assert main([*arguments, "--keep", "0.5", "--fresh"]) == 0
    assert not all(torch.equal(value, load_file(start)[name]) for name, value in load_file(kept).items())
