"""Bytes before the pixel shuffle: the same bits, and the graph left alone where they would not be."""

from __future__ import annotations

from pathlib import Path

import checkpoints
import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper, parser

from exporters import network
from exporters.declaration import INPUT, OUTPUT, Tensors
from exporters.labels import Labels
from exporters.onnx_file import between_frames
from exporters.parity import session
from exporters.recognise import recognise
from exporters.shuffle import bytes_before_shuffle

SHAPES = [(1, 1, 1), (2, 3, 5), (3, 17, 8)]


def graph(*lines: str, channels: int = 12, opset: int = 18, outputs: str = "") -> onnx.ModelProto:
    """Frames through a 3x3 convolution to `channels` of `body`; the lines give `bytes`, which become OUTPUT."""
    model = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": {opset}]>
        g (uint8[n, h, w, 3] {INPUT}) => (uint8[n, oh, ow, 3] {OUTPUT}{outputs})
        <float white = {{255}}, float zero = {{0}}, float one = {{1}}, float half = {{0.5}}, float[4] scales = {{1, 1, 2, 2}}> {{
            planes = Transpose <perm = [0, 3, 1, 2]> ({INPUT})
            floats = Cast <to = 1> (planes)
            x = Div (floats, white)
            body = Conv <pads = [1, 1, 1, 1]> (x, weight)
            {chr(10).join(lines)}
            {OUTPUT} = Transpose <perm = [0, 2, 3, 1]> (bytes)
        }}"""  # noqa: E501 - the constants of a graph are one line
    )
    weight = np.random.default_rng(0).normal(0, 0.2, (channels, 3, 3, 3)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "weight"))
    return model


TO_BYTES = (
    "clipped = Clip (y, zero, one)",
    "scaled = Mul (clipped, white)",
    "rounded = Add (scaled, half)",
    "bytes = Cast <to = 2> (rounded)",
)
SHUFFLE, PICTURE = (f'{name} = DepthToSpace <blocksize = 2, mode = "CRD"> (body)' for name in "ys")


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def results(model: onnx.ModelProto, shape: tuple[int, int, int]) -> Tensors:
    frames = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    return session(model.SerializeToString())({INPUT: frames})


def assert_same_bits(one: onnx.ModelProto, other: onnx.ModelProto, shapes: list[tuple[int, int, int]] = SHAPES) -> None:
    onnx.checker.check_model(other, full_check=True)
    for shape in shapes:
        expected, found = results(one, shape), results(other, shape)
        assert expected.keys() == found.keys()
        for name, array in expected.items():
            assert array.std() > 0 or array.size < 64  # or the same bits would say nothing
            np.testing.assert_array_equal(array, found[name])


def moved_floats(model: onnx.ModelProto) -> list[str]:
    """Operators that put floats into other places."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*inferred.input, *inferred.value_info)}
    moves = [node for node in inferred.node if node.op_type in ("DepthToSpace", "Transpose", "Reshape", "Resize")]
    return [node.op_type for node in moves if types[node.input[0]] == TensorProto.FLOAT]


@pytest.mark.parametrize("mode", ["CRD", "DCR"])
@pytest.mark.parametrize("block", [2, 3, 4])
def test_bytes_are_shuffled_instead_of_floats_bit_for_bit(mode: str, block: int) -> None:
    shuffle = f'y = DepthToSpace <blocksize = {block}, mode = "{mode}"> (body)'
    before = graph(shuffle, *TO_BYTES, channels=3 * block**2)
    after = bytes_before_shuffle(before)
    assert moved_floats(before) == ["DepthToSpace"]
    assert moved_floats(after) == []
    assert_same_bits(before, after)


@pytest.mark.parametrize("opset", [11, 13, 20])
def test_operators_are_those_of_the_graphs_opset(opset: int) -> None:
    before = graph(SHUFFLE, *TO_BYTES, opset=opset)
    assert_same_bits(before, bytes_before_shuffle(before))
    assert "DepthToSpace" not in kinds(bytes_before_shuffle(before))


def test_what_is_given_stays_as_it_is() -> None:
    before = graph(SHUFFLE, *TO_BYTES)
    content = before.SerializeToString()
    bytes_before_shuffle(before)
    assert before.SerializeToString() == content


ENLARGED = {
    "repeated by floor": 'e = Resize <coordinate_transformation_mode="asymmetric", nearest_mode="floor"> (x, , scales)',
    "repeated by the default": "e = Resize (x, , scales)",
    "shuffled": 'e = DepthToSpace <blocksize = 2, mode = "CRD"> (other)',
}


@pytest.mark.parametrize("enlarged", ENLARGED.values(), ids=ENLARGED)
@pytest.mark.parametrize("order", ["s, e", "e, s"])
def test_a_picture_that_is_added_to_the_shuffled_one_is_enlarged_as_bytes_too(enlarged: str, order: str) -> None:
    other = ["other = Conv <pads = [1, 1, 1, 1]> (x, weight)"] if "other" in enlarged else []
    before = graph(*other, PICTURE, enlarged, f"y = Add ({order})", *TO_BYTES)
    after = bytes_before_shuffle(before)
    assert moved_floats(after) == []
    assert_same_bits(before, after)


def test_a_picture_is_repeated_in_the_shuffles_order() -> None:
    shuffle, enlarged = PICTURE.replace("CRD", "DCR"), "e = Resize (x, , scales)"
    before = graph(shuffle, enlarged, "y = Add (s, e)", *TO_BYTES)
    assert moved_floats(bytes_before_shuffle(before)) == []
    assert_same_bits(before, bytes_before_shuffle(before))


LEFT_ALONE = {
    "no shuffle": ["y = Identity (body)", *TO_BYTES],
    "an operator that sees neighbours": [PICTURE, "y = MaxPool <kernel_shape = [1, 1]> (s)", *TO_BYTES],
    "a number for each colour": [PICTURE, "y = Mul (s, per_colour)", *TO_BYTES],
    "a picture that cannot be shuffled": [
        PICTURE,
        'e = Resize <mode = "linear"> (x, , scales)',
        "y = Add (s, e)",
        *TO_BYTES,
    ],
    "another use of the picture": [SHUFFLE, *TO_BYTES, "SEEN = Identity (y)"],
    "the picture is a result, too": [SHUFFLE.replace("y =", "SEEN ="), "y = Identity (SEEN)", *TO_BYTES],
    "the bytes are taken elsewhere, too": [SHUFFLE, *TO_BYTES, "other = Identity (bytes)"],
}  # fmt: skip


@pytest.mark.parametrize("lines", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_a_graph_that_would_not_give_the_same_bits_or_gains_nothing_is_left_alone(lines: list[str]) -> None:
    seen = ", float[n, c, sh, sw] SEEN" if any("SEEN" in line for line in lines) else ""
    model = graph(*lines, channels=12 if any("DepthToSpace" in line for line in lines) else 3, outputs=seen)
    model.graph.initializer.append(numpy_helper.from_array(np.full((1, 3, 1, 1), 0.5, np.float32), "per_colour"))
    results(model, (1, 4, 6))  # or it would be left alone for being no graph at all
    assert bytes_before_shuffle(model) is model


def test_a_shuffle_of_grey_pictures_is_left_alone() -> None:
    model = graph(PICTURE, "y = Concat <axis = 1> (s, s, s)", *TO_BYTES, channels=4)
    assert bytes_before_shuffle(model) is model


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
def test_an_onnx_file_gets_its_bytes_before_its_shuffle(half: bool) -> None:
    kind = "float16" if half else "float"
    inner = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 18]>
        g ({kind}[n, 3, h, w] x) => ({kind}[n, 3, oh, ow] y) {{
            body = Conv <pads = [1, 1, 1, 1]> (x, weight)
            y = DepthToSpace <blocksize = 2, mode = "CRD"> (body)
        }}"""
    )
    weight = np.random.default_rng(0).normal(0, 0.2, (12, 3, 3, 3)).astype(np.float16 if half else np.float32)
    inner.graph.initializer.append(numpy_helper.from_array(weight, "weight"))
    found = between_frames(inner, half=half)
    assert "DepthToSpace" not in kinds(found)
    assert results(found, (2, 5, 7))[OUTPUT].shape == (2, 10, 14, 3)


@pytest.mark.parametrize("make", [checkpoints.compact, checkpoints.span], ids=["compact", "span"])
def test_community_networks_are_exported_with_their_bytes_before_their_shuffle(
    make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = recognise(make(tmp_path), Labels(name="mine", license="MIT", source="a test"))
    after = model.recipe.graph(model)
    monkeypatch.setattr(network, "bytes_before_shuffle", lambda given: given)
    before = model.recipe.graph(model)
    assert "DepthToSpace" in kinds(before)
    assert moved_floats(after) == []
    assert_same_bits(before, after, [(2, 24, 31)])
