"""How the local stack starts Triton."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from framewire.errors import ErrorCode, LocalError
from framewire.stack import triton


@pytest.fixture
def server(tmp_path: Path) -> triton.TritonInstallation:
    """An installation that brings the Python backend and nothing else, like the wheel."""
    root = tmp_path / "installed"
    (root / "backends" / "python" / "__pycache__").mkdir(parents=True)
    (root / "backends" / "python" / "libtriton_python.so").write_text("library")
    (root / "stub").write_text("stub")
    return triton.TritonInstallation(
        program=root / "tritonserver", backends=root / "backends", stub=root / "stub", libraries=(root / "lib",)
    )


def command(server: triton.TritonInstallation, **changes: object) -> tuple[list[str], dict[str, str]]:
    arguments = {"models": Path("/m"), "backends": Path("/b"), "port": 9, "key": "secret", "shm_prefix": "fw_"}
    return triton.command(server, **{**arguments, **changes})  # type: ignore[arg-type]  # arguments by name


def test_the_backend_folder_holds_the_servers_own_the_stub_and_the_drop_ins(
    server: triton.TritonInstallation, tmp_path: Path
) -> None:
    folder = triton.prepare_backends(server, tmp_path / "composed")
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"python/libtriton_python.so", "python/triton_python_backend_stub", "onnxruntime/model.py"}


def test_preparing_again_replaces_what_an_older_version_left(server: triton.TritonInstallation, tmp_path: Path) -> None:
    folder = triton.prepare_backends(server, tmp_path / "composed")
    (folder / "onnxruntime" / "model.py").write_text("old")
    (folder / "gone").mkdir()
    triton.prepare_backends(server, folder)
    assert (folder / "onnxruntime" / "model.py").read_text() != "old"
    assert not (folder / "gone").exists()


def test_a_native_backend_is_not_replaced_by_the_drop_in(server: triton.TritonInstallation, tmp_path: Path) -> None:
    native = server.backends / "onnxruntime"
    native.mkdir()
    (native / "libtriton_onnxruntime.so").touch()
    folder = triton.prepare_backends(server, tmp_path / "composed")
    assert [path.name for path in (folder / "onnxruntime").iterdir()] == ["libtriton_onnxruntime.so"]


def test_missing_drop_ins_are_an_error_that_says_where_they_should_be(
    server: triton.TritonInstallation, tmp_path: Path
) -> None:
    with pytest.raises(LocalError, match="nowhere") as caught:
        triton.prepare_backends(server, tmp_path / "composed", tmp_path / "nowhere")
    assert caught.value.code == ErrorCode.TOOL_MISSING


def test_the_server_listens_on_loopback_and_for_grpc_alone(server: triton.TritonInstallation) -> None:
    argv, _ = command(server)
    assert "--grpc-address=127.0.0.1" in argv
    assert "--grpc-port=9" in argv
    assert {"--allow-http=false", "--allow-metrics=false"} <= set(argv)


def test_shared_memory_and_repository_ask_for_the_key(server: triton.TritonInstallation) -> None:
    argv, _ = command(server)
    assert "--grpc-restricted-protocol=shared-memory,model-repository:framewire-key=secret" in argv


def test_models_are_loaded_when_somebody_asks_and_from_every_repository(server: triton.TritonInstallation) -> None:
    argv, _ = command(server, more_models=[Path("/own")], load=["first"], name="this-one")
    assert [each for each in argv if "repository=" in each] == ["--model-repository=/m", "--model-repository=/own"]
    assert {"--model-control-mode=explicit", "--load-model=first", "--id=this-one"} <= set(argv)
    assert not any(each.startswith("--load-model") for each in command(server, load=())[0])


def test_the_environment_finds_this_python_first_and_keeps_the_rest(server: triton.TritonInstallation) -> None:
    _, env = command(server, path="/somewhere")
    first, *rest = env["PATH"].split(os.pathsep)
    assert shutil.which("python3", path=first)
    assert rest == ["/somewhere"]


def test_an_installation_without_triton_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(triton.shutil, "which", lambda _name: None)
    with pytest.raises(LocalError, match="nvidia-pytriton") as caught:
        triton.find_tritonserver()
    assert caught.value.code == ErrorCode.TOOL_MISSING


def test_leftovers_are_swept_by_prefix_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton, "SHARED_MEMORY", tmp_path)
    for name in ("fw_1", "fw_2", "other_1"):
        (tmp_path / name).touch()
    triton.sweep_shared_memory("fw_")
    assert [path.name for path in tmp_path.iterdir()] == ["other_1"]


def test_hiding_a_key_that_is_not_there_changes_nothing() -> None:
    assert not triton.hide_key(os.getpid(), "no such argument")
    assert not triton.hide_key(2**22 + 1, "no such process")
