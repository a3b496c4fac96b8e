"""The recurrent network, as torch computes it and as the graph that is served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from safetensors.torch import save_file

from exporters import bicubic
from exporters.architectures import quantised, recurrent_onnx
from exporters.architectures.interpolation import taps
from exporters.architectures.recurrent import RecurrentEnhancer, Shape, to_blocks, to_frames
from exporters.declaration import Frames

SMALL = Shape(scale=2, channels=16, depth=3)


def network(shape: Shape = SMALL, *, untrained: bool = False) -> RecurrentEnhancer:
    torch.manual_seed(0)
    made = RecurrentEnhancer(shape)
    if not untrained:
        torch.nn.init.normal_(made.last.weight, 0, 0.02)
    return made


def noise(height: int = 22, width: int = 30, frames: int = 1, seed: int = 0) -> Frames:
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def by_torch(made: RecurrentEnhancer, frame: Frames, state: np.ndarray) -> tuple[Frames, np.ndarray]:
    with torch.inference_mode():
        blocks, kept = made(torch.from_numpy(frame), torch.from_numpy(state)[None])
    return to_frames(blocks, made.side).numpy(), kept[0].numpy()


def by_graph(made: RecurrentEnhancer, frame: Frames, state: np.ndarray) -> tuple[Frames, np.ndarray]:
    session = ort.InferenceSession(recurrent_onnx.build(made).SerializeToString(), providers=["CPUExecutionProvider"])
    return tuple(session.run(["FRAMES_OUT", "STATE_OUT"], {"FRAMES_IN": frame, "STATE_IN": state}))


def start(frame: Frames) -> np.ndarray:
    return np.zeros((8, frame.shape[1] // 2, frame.shape[2] // 2), np.float32)


def test_an_untrained_network_is_bicubic_interpolation_exactly() -> None:
    frame = noise()
    result, _ = by_torch(network(untrained=True), frame, start(frame))
    assert np.array_equal(result, bicubic.reference(frame))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_interpolation_is_the_same_as_torchs_at_every_scale(scale: int) -> None:
    frame = noise()
    result, _ = by_torch(network(Shape(scale=scale, channels=16, depth=0), untrained=True), frame, start(frame))
    pixels = torch.from_numpy(frame).permute(0, 3, 1, 2).float()
    expected = torch.nn.functional.interpolate(pixels, scale_factor=scale, mode="bicubic", align_corners=False)
    assert np.abs(result.astype(float) - expected.clamp(0, 255).permute(0, 2, 3, 1).numpy()).max() <= 0.5001


def test_weights_of_interpolation_are_those_of_the_bicubic_model() -> None:
    assert np.array_equal(taps(2), bicubic.taps())


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_graph_computes_what_torch_computes(scale: int) -> None:
    made, frame = network(Shape(scale=scale, channels=16, depth=4)), noise()
    state = np.random.default_rng(1).uniform(-1, 1, start(frame).shape).astype(np.float32)
    (expected, kept), (result, given) = by_torch(made, frame, state), by_graph(made, frame, state)
    assert result.shape == (1, 22 * scale, 30 * scale, 3)
    assert np.abs(result.astype(int) - expected).max() <= 1
    assert np.mean(result != expected) < 0.001
    assert np.allclose(given, kept, atol=1e-5)


def test_the_graph_changes_frames_only_where_the_network_adds_something() -> None:
    frame = noise()
    trained, _ = by_graph(network(), frame, start(frame))
    assert not np.array_equal(trained, bicubic.reference(frame))


def test_one_graph_takes_frames_of_every_even_size() -> None:
    made = network()
    session = ort.InferenceSession(recurrent_onnx.build(made).SerializeToString(), providers=["CPUExecutionProvider"])
    for height, width in ((2, 2), (2, 40), (36, 4), (18, 26)):
        frame = noise(height, width)
        result, state = session.run(None, {"FRAMES_IN": frame, "STATE_IN": start(frame)})
        assert result.shape == (1, 2 * height, 2 * width, 3)
        assert state.shape == (8, height // 2, width // 2)


def test_what_is_remembered_changes_the_next_frame_and_stays_bounded() -> None:
    made, film = network(), noise(frames=30)
    state = start(film)
    for frame in film:
        forgetful, _ = by_torch(made, frame[None], start(film))
        result, state = by_torch(made, frame[None], state)
        assert np.abs(state).max() <= 1
    assert not np.array_equal(result, forgetful)


def test_building_twice_gives_the_same_bytes() -> None:
    one, other = (recurrent_onnx.build(network()).SerializeToString(deterministic=True) for _ in range(2))
    assert one == other


def test_blocks_and_frames_are_the_same_pixels() -> None:
    frame = noise(12, 20)
    assert np.array_equal(to_frames(to_blocks(torch.from_numpy(frame).float(), 4), 4).numpy(), frame)


def quantised_network(shape: Shape, film: Frames) -> quantised.QuantisedEnhancer:
    made = network(shape)
    return quantised.QuantisedEnhancer(made, quantised.calibrate(made, [film]))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_int8_graph_computes_what_torch_says(scale: int) -> None:
    film = noise(frames=2)
    small, frame = quantised_network(Shape(scale=scale, channels=16, depth=3), film), film[:1]
    state = np.random.default_rng(1).uniform(-1, 1, start(frame).shape).astype(np.float32)
    (expected, kept), (result, given) = by_torch(small, frame, state), by_graph(small, frame, state)
    assert result.shape == (1, 22 * scale, 30 * scale, 3)
    assert np.mean(result != expected) < 0.02
    assert np.allclose(given, kept, atol=0.05)


def test_all_that_int8_has_learned_is_in_integers() -> None:
    graph = recurrent_onnx.build(quantised_network(SMALL, noise(frames=2))).graph
    whole = [tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    floats = [tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    assert sum(len(tensor.dims) == 4 for tensor in whole) == 1 + SMALL.depth
    assert sum(len(tensor.dims) == 2 for tensor in whole) == 2  # the last layer, of pixels and of what is remembered
    assert [list(tensor.dims) for tensor in floats if len(tensor.dims) > 1 and np.prod(tensor.dims) > 16] == [
        [48, 12, 3, 3]  # bicubic interpolation
    ]


def test_the_runtime_computes_the_int8_graph_in_integers(tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    content = recurrent_onnx.build(quantised_network(SMALL, noise(frames=2))).SerializeToString()
    ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert kinds.count("QLinearConv") == 1 + SMALL.depth
    assert kinds.count("MatMulIntegerToFloat") == 2
    assert kinds.count("Conv") == 1


def test_pixels_in_steps_of_their_own_and_the_state_in_others_are_what_the_weights_say() -> None:
    weight = torch.randn(4, 20, 3, 3, generator=torch.Generator().manual_seed(0))
    there = quantised.as_pixels(weight, 8)
    assert torch.equal(there[:, :12], weight[:, :12])
    assert torch.allclose(there[:, 12:] * quantised.PIXEL_STEP, weight[:, 12:] * quantised.STATE_STEP)
    assert torch.allclose(quantised.from_pixels(there, 8), weight)


def test_int8_is_near_the_network_it_comes_from() -> None:
    made, film = network(), noise(frames=3)
    small = quantised.QuantisedEnhancer(made, quantised.calibrate(made, [film]))
    exact, _ = by_torch(made, film[2:], start(film))
    near, _ = by_torch(small, film[2:], start(film))
    assert 0 < np.abs(exact.astype(int) - near).mean() < 1


@pytest.mark.parametrize(
    "larger",
    [Shape(scale=2, channels=32, depth=3), Shape(scale=2, channels=16, depth=7), Shape(scale=2, channels=32, depth=7)],
)
def test_a_larger_network_begins_as_what_a_smaller_one_has_learned(larger: Shape, tmp_path: Path) -> None:
    small = network()
    save_file(small.state_dict(), tmp_path / "small.safetensors")
    large = network(larger, untrained=True)
    large.borrow(tmp_path / "small.safetensors")
    frame = noise()
    before, after = (by_torch(made, frame, start(frame)) for made in (small, large))
    assert not np.array_equal(before[0], bicubic.reference(frame))
    assert np.abs(before[0].astype(int) - after[0]).max() <= 1  # sums of another length round in another way
    np.testing.assert_allclose(after[1], before[1], atol=1e-4)


def test_what_a_larger_network_has_more_is_trained_too(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "small.safetensors")
    large = network(Shape(scale=2, channels=32, depth=5), untrained=True)
    large.borrow(tmp_path / "small.safetensors")
    frame, trained = noise(), dict(large.named_parameters())
    for _ in range(2):  # what adds nothing yet learns to be heard first, and what to say after that
        blocks, _ = large(torch.from_numpy(frame), torch.from_numpy(start(frame))[None])
        slopes = dict(zip(trained, torch.autograd.grad(blocks.square().mean(), list(trained.values())), strict=True))
        with torch.no_grad():
            for name, weights in trained.items():
                weights.sub_(1e-6 * slopes[name])
    assert slopes["body.2.weight"].abs().sum() > 0  # of the new pair
    assert slopes["first.weight"][16:].abs().sum() > 0  # of the new channels


def test_of_a_network_of_another_scale_all_but_the_last_layer_is_taken(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "twice.safetensors")
    four = network(Shape(scale=4, channels=16, depth=3), untrained=True)
    four.borrow(tmp_path / "twice.safetensors")
    assert torch.equal(four.first.weight, network().first.weight)
    assert four.last.weight[: four.side**2 * 3].abs().sum() == 0
