"""`framewire models`: the exporters' commands, in a process of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from framewire.cli.main import run

FRAMEWIRE = str(Path(sys.executable).with_name("framewire"))


def test_help_is_the_commands_own_and_names_it_as_it_was_called(capfd: pytest.CaptureFixture) -> None:
    assert run(["models", "import", "--help"]) == 0
    out = capfd.readouterr().out
    assert "Usage: framewire models import" in out
    assert "--license SPDX" in out


def test_the_built_in_models_are_listed(capfd: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert run(["models", "list", "--data", str(tmp_path), "--json"]) == 0
    names = [json.loads(line)["model"]["name"] for line in capfd.readouterr().out.splitlines()]
    assert "upscale_bicubic_x2" in names


def test_errors_and_exit_codes_come_through(capfd: pytest.CaptureFixture, tmp_path: Path) -> None:
    arguments = ["--license", "MIT", "--data", str(tmp_path)]
    assert run(["models", "import", str(tmp_path / "none.pth"), *arguments, "--json"]) == 1
    said = capfd.readouterr()
    assert "MODEL_INVALID: there is no file" in said.err
    assert json.loads(said.out.splitlines()[-1])["error"]["code"] == "MODEL_INVALID"
    assert run(["models", "import", str(tmp_path / "none.pth")]) == 2
    assert "--license" in capfd.readouterr().err


def test_a_licence_has_to_be_an_identifier(capfd: pytest.CaptureFixture) -> None:
    assert run(["models", "import", "x.pth", "--license", "free for all!"]) == 2
    assert "no SPDX identifier" in capfd.readouterr().err


def test_help_needs_none_of_the_heavy_packages_and_use_says_what_to_install(tmp_path: Path) -> None:
    """With torch hidden from the child."""
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    (tmp_path / "x.pth").touch()
    argv = [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv.pop(1)); "
            "from exporters.cli import main; sys.exit(main(sys.argv[1:]))", str(tmp_path)]  # fmt: skip
    shown = subprocess.run([*argv, "import", "--help"], capture_output=True, text=True, check=False)
    assert shown.returncode == 0
    assert "torch" not in shown.stderr
    used = subprocess.run(
        [*argv, "import", str(tmp_path / "x.pth"), "--license", "MIT", "--data", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert used.returncode == 1
    assert "TOOL_MISSING: this needs torch: install it with `pip install 'framewire[export]'`" in used.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_an_export_and_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    target = tmp_path / "models"
    argv = [FRAMEWIRE, "models", "export", "upscale_bicubic_x2", "--repository", str(target)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if "Triton" in line:
                break
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, (out, err)
    assert "stopped" in err
    assert list(tmp_path.iterdir()) == []
