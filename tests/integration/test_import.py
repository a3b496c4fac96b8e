"""Models from elsewhere, proven on a real Triton; and all that is refused, with nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from pathlib import Path

import checkpoints
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from exporters import bring_in as importing
from exporters import memory
from exporters.bring_in import bring_in
from exporters.checkpoint import read_weights
from exporters.cli import main
from exporters.cli.bring_in import default_name
from exporters.config import config_text, parse_config
from exporters.declaration import INPUT, MASK, OUTPUT, Kind
from exporters.engine import GRAPH
from exporters.errors import ExportFailed
from exporters.folder import read_folder
from exporters.fourier import irfft2, rfft2
from exporters.labels import Labels
from exporters.network import OPSET
from exporters.onnx_file import read_onnx
from exporters.parity import session
from framewire.errors import ErrorCode


def labels(name: str = "mine") -> Labels:
    return Labels(name=name, license="MIT", source="a test")


@pytest.fixture(autouse=True)
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model needs is measured on small frames here: it is the slowest part of an import, and not asked for."""
    monkeypatch.setattr(memory, "_FRAME", (48, 64))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the repository's folder lies, and nothing else."""
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def files(tmp_path: Path) -> Path:
    files = tmp_path / "files"
    files.mkdir()
    return files


def refused(file: Path, home: Path, match: str) -> None:
    with pytest.raises(ExportFailed, match=match) as caught:
        bring_in(file, labels(), home / "models")
    assert caught.value.code is ErrorCode.MODEL_INVALID
    assert list(home.rglob("*")) == []


# --- what comes in


@pytest.mark.parametrize(
    ("make", "architecture", "scale"),
    [(checkpoints.compact, "RealESRGAN Compact", 2), (checkpoints.esrgan, "ESRGAN", 4), (checkpoints.span, "SPAN", 2)],
    ids=["compact", "esrgan", "span"],
)
def test_a_community_checkpoint_is_recognised_and_proven(make, architecture, scale, files: Path, home: Path) -> None:
    file = make(files)
    found = bring_in(file, labels(), home / "models")
    assert found.triton.within(found.model.tolerance)
    model, card = read_folder(home / "models" / "mine")
    assert (card["architecture"], card["license"], model.scale) == (architecture, "MIT", scale)
    assert card["checkpoint"]["file"] == file.name
    assert card["graph"]["opset"] == OPSET
    assert model.overlap
    assert sorted(path.name for path in home.iterdir()) == ["models"]


def test_lama_takes_a_picture_and_a_mask_and_fills_what_is_masked(files: Path, home: Path) -> None:
    with checkpoints.small_lama():
        found = bring_in(checkpoints.lama(files), labels("lama"), home / "models")
    assert (found.model.kind, found.model.size_multiple) == (Kind.INPAINT, 8)
    assert found.triton.within(found.model.tolerance)
    run = session((home / "models" / "lama" / GRAPH).read_bytes())
    frames = np.random.default_rng(0).integers(0, 256, (1, 24, 32, 3), dtype=np.uint8)
    mask = np.zeros((1, 24, 32, 1), np.uint8)
    mask[:, 8:16, 8:16] = 255
    result = run({INPUT: frames, MASK: mask})[OUTPUT]
    hole = np.broadcast_to(mask > 0, frames.shape)
    assert np.array_equal(result[~hole], frames[~hole])
    assert not np.array_equal(result[hole], frames[hole])


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 7), (6, 9), (12, 10)])
def test_fourier_transforms_as_products_are_those_of_torch(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    expected = torch.fft.rfft2(x, norm="ortho")
    real, imaginary = rfft2(x)
    assert torch.allclose(real, expected.real, atol=1e-5)
    assert torch.allclose(imaginary, expected.imag, atol=1e-5)
    spectrum = torch.complex(torch.randn(real.shape), torch.randn(real.shape))  # no spectrum of any real picture
    back = torch.fft.irfft2(spectrum, s=size, norm="ortho")
    assert torch.allclose(irfft2(spectrum.real, spectrum.imag, size[1]), back, atol=1e-5)


def test_an_onnx_file_gets_frames_at_its_edges(files: Path, home: Path) -> None:
    found = bring_in(doubling(files), labels(), home / "models")
    assert (found.model.scale, found.model.size_multiple) == (2, 1)
    run = session((home / "models" / "mine" / GRAPH).read_bytes())
    frames = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    assert np.array_equal(run({INPUT: frames})[OUTPUT], frames.repeat(2, axis=1).repeat(2, axis=2))


@pytest.mark.parametrize(
    ("kernel", "overlap"),
    [(5, 3), (95, None)],  # one pixel more than is seen; None: it may see all of a picture
    ids=["near", "far"],
)
def test_how_far_an_onnx_file_looks_is_measured(kernel: int, overlap: int | None, files: Path) -> None:
    weight = np.zeros((3, 1, kernel, kernel), np.float32)
    weight[..., 0, 0] = weight[..., kernel // 2, kernel // 2] = 0.5
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], group=3, pads=[kernel // 2] * 4)]
    file = save(files, nodes, [numpy_helper.from_array(weight, "w")])
    model = read_onnx(file, labels())
    assert model.overlap == overlap
    written = parse_config(config_text(model)).parameters
    assert ("overlap" in written) == (overlap is not None)


def test_the_command_brings_in_a_file_and_says_what_it_is(files: Path, home: Path, capsys) -> None:
    arguments = [str(checkpoints.compact(files)), "--license", "MIT", "--data", str(home / "data"), "--json"]
    assert main(["import", *arguments]) == 0
    record = json.loads(capsys.readouterr().out)["model"]
    assert (record["name"], record["architecture"]) == ("compact", "RealESRGAN Compact")
    assert read_folder(home / "data" / "models" / "compact")[1]["graph"] == record["graph"]
    assert main(["import", *arguments]) == 1
    assert "--replace" in capsys.readouterr().err


def test_a_name_is_made_of_the_files(files: Path) -> None:
    assert default_name(Path("4x-Photo V2.pth")) == "4x-photo_v2"


# --- what is refused


class Evil:
    """Runs a command when it is unpickled by an unpickler that lets it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("how", ["zip", "legacy", "bare"])
def test_a_pickle_with_code_in_it_is_refused_and_its_code_never_runs(how: str, files: Path, home: Path) -> None:
    trace, file = files / "trace", files / "model.pth"
    content = {"params": {"conv.weight": torch.zeros(1)}, "extra": Evil(trace)}
    if how == "bare":
        file.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=how == "zip")
    refused(file, home, "refused: it holds code")
    assert not trace.exists()


def test_a_program_that_torch_saved_is_refused(files: Path, home: Path, recwarn) -> None:
    torch.jit.trace(torch.nn.Conv2d(3, 3, 3), torch.zeros(1, 3, 8, 8)).save(files / "x.pt")
    recwarn.clear()
    refused(files / "x.pt", home, "refused: it holds code")
    assert not recwarn


def test_a_page_that_was_saved_as_a_checkpoint_is_refused_without_advice_to_run_it(files: Path, home: Path) -> None:
    (files / "x.pth").write_text("<html>404</html>")
    with pytest.raises(ExportFailed, match="no checkpoint") as caught:
        bring_in(files / "x.pth", labels(), home / "models")
    assert "weights_only" not in caught.value.message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, files: Path, home: Path) -> None:
    weights = torch.load(checkpoints.compact(files), weights_only=True)["params"]
    weights["body.2.weight"][0, 0, 0, 0] = value
    torch.save({"params": weights}, files / "x.pth")
    refused(files / "x.pth", home, "no finite numbers")


@pytest.mark.parametrize("name", ["x.pth", "x.onnx"])
def test_a_pipe_is_not_waited_for(name: str, files: Path, home: Path) -> None:
    os.mkfifo(files / name)
    refused(files / name, home, "there is no file")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("mit", "MIT"),
        ("(MIT or apache-2.0)", "(MIT OR Apache-2.0)"),
        ("LicenseRef-Own", "LicenseRef-Own"),
        ("GPL-3.0-or-later WITH Classpath-exception-2.0", "GPL-3.0-or-later WITH Classpath-exception-2.0"),
    ],
)
def test_a_licence_is_written_as_spdx_writes_it(said: str, meant: str, monkeypatch, capsys) -> None:
    taken = []
    monkeypatch.setattr(importing, "bring_in", lambda file, given, *_, **__: taken.append(given.license) or stop())
    with contextlib.suppress(KeyboardInterrupt):
        main(["import", "x.pth", "--license", said])
    assert taken == [meant]


def stop() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("said", ["", " ", "none of your business", "MIT OR", "freeware"])
def test_a_licence_that_nobody_knows_is_refused(said: str, files: Path, capsys) -> None:
    assert main(["import", str(checkpoints.compact(files)), "--license", said]) == 2
    assert "no SPDX identifier" in capsys.readouterr().err


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("make", [checkpoints.compact, checkpoints.span], ids=["pth", "safetensors"])
def test_a_checkpoint_that_breaks_off_is_refused(make, share: float, files: Path, home: Path) -> None:
    file = make(files)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    refused(file, home, "is broken")


@pytest.mark.parametrize("seed", range(12))
def test_a_checkpoint_with_wrong_bytes_is_refused_or_read_but_never_crashes(seed: int, files: Path) -> None:
    file = checkpoints.compact(files)
    content = bytearray(file.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(content), 40):
        content[place] = rng.integers(0, 256)
    file.write_bytes(content)
    with contextlib.suppress(ExportFailed):  # and with nothing else
        assert read_weights(file)


def test_weights_of_no_known_architecture_are_refused(files: Path, home: Path) -> None:
    torch.save({"some.weight": torch.zeros(3)}, files / "x.pth")
    refused(files / "x.pth", home, "none of the .* architectures")


def test_weights_that_contradict_themselves_are_refused(files: Path, home: Path) -> None:
    weights = torch.load(checkpoints.compact(files), weights_only=True)["params"]
    weights["body.2.weight"] = torch.zeros(5, 7, 3, 3)
    torch.save(weights, files / "x.pth")
    refused(files / "x.pth", home, "do not fit together")


@pytest.mark.parametrize("name", ["x.bin", "missing.pth", "missing.onnx"])
def test_a_file_that_is_missing_or_of_another_type_is_refused(name: str, files: Path, home: Path) -> None:
    (files / "x.bin").write_bytes(b"bytes")
    refused(files / name, home, "no checkpoint|no file")


@pytest.mark.parametrize("name", ["", "../up", "UPPER", "a/b", ".hidden", "x" * 65])
def test_a_name_that_is_none_for_a_folder_is_refused(name: str, files: Path, home: Path) -> None:
    with pytest.raises(ExportFailed, match="no name for a model"):
        bring_in(files / "x.pth", labels(name), home / "models")
    assert list(home.iterdir()) == []


def test_the_name_of_a_built_in_model_is_taken(files: Path, home: Path) -> None:
    (home / "built_in" / "mine").mkdir(parents=True)
    with pytest.raises(ExportFailed, match="built-in"):
        bring_in(files / "x.pth", labels(), home / "models", taken=[home / "built_in"])


def test_an_operator_that_cannot_be_exported_is_named(files: Path, home: Path, monkeypatch) -> None:
    class Strange(torch.nn.Module):
        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            return frames + torch.linalg.det(frames.reshape(-1, 3, 3).mean(0)) * 0

    recognise = importing.recognise

    def strange(path: Path, given: Labels):
        model = recognise(path, given)
        model.recipe.descriptor._call_fn = lambda network, frames: Strange()(network(frames))
        return model

    monkeypatch.setattr(importing, "recognise", strange)
    refused(checkpoints.compact(files), home, "cannot be written as ONNX|cannot compute")


def doubling(files: Path, **changes: object) -> Path:
    """A graph that repeats every pixel: float NCHW at its edges."""
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest", **changes)
    return save(files, [node], [scales])


def save(files: Path, nodes: list, weights: list, *, shape: tuple = ("n", 3, "h", "w"), opsets: tuple = ()) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c", "height", "width"])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), *opsets], ir_version=8)
    onnx.save(model, files / "x.onnx")
    return files / "x.onnx"


def test_an_onnx_file_with_operators_of_its_own_is_refused(files: Path, home: Path) -> None:
    node = helper.make_node("Magic", ["x"], ["y"], domain="org.example")
    refused(save(files, [node], [], opsets=(helper.make_opsetid("org.example", 1),)), home, "org.example.Magic")


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "sub/../../secret", "link", ""])
def test_an_onnx_file_that_wants_another_files_bytes_is_refused(location: str, files: Path, home: Path) -> None:
    (files.parent / "secret").write_bytes(bytes(64))
    (files / "link").symlink_to("../secret")
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    file = save(files, [helper.make_node("Mul", ["x", "w"], ["y"])], [])
    model = onnx.load(file)
    model.graph.initializer.append(tensor)
    file.write_bytes(model.SerializeToString())
    refused(file, home, "not a file beside it")


def test_data_in_a_file_beside_the_onnx_file_comes_along(files: Path, home: Path) -> None:
    weight = numpy_helper.from_array(np.ones((1, 3, 1, 1), np.float32), "w")
    file = save(files, [helper.make_node("Mul", ["x", "w"], ["y"])], [weight])
    onnx.save(onnx.load(file), file, save_as_external_data=True, location="x.data", size_threshold=0)
    assert (files / "x.data").stat().st_size
    found = bring_in(file, labels(), home / "models")
    assert (found.model.scale, found.model.kind) == (1, Kind.DENOISE)


@pytest.mark.parametrize(
    ("nodes", "shape", "match"),
    [
        ([("Identity", ["x"], ["y"])], ("n", 1, "h", "w"), "colour pictures"),
        ([("Identity", ["x"], ["y"])], ("n", 3, 64, 96), "only square"),
        ([("GlobalAveragePool", ["x"], ["y"])], ("n", 3, "h", "w"), "no picture of a whole scale"),
    ],
)
def test_an_onnx_file_that_is_no_picture_to_picture_model_is_refused(nodes, shape, match, files, home) -> None:
    refused(save(files, [helper.make_node(*node) for node in nodes], [], shape=shape), home, match)


def test_a_broken_onnx_file_is_refused(files: Path, home: Path) -> None:
    (files / "x.onnx").write_bytes(b"\x08\x07 no graph")
    refused(files / "x.onnx", home, "is broken")
