"""What `python -m coordinator` says before it works."""

from __future__ import annotations

import pytest

from coordinator.__main__ import VARIABLES, main, read_settings
from coordinator.sandbox import Layer
from coordinator.settings import FRUGAL, SINGLE_THREADED, runner_environment
from framewire.errors import LocalError
from framewire.v1.step_pb2 import LANE_CPU

KEYS = {"FRAMEWIRE_S3_ACCESS_KEY": "key", "FRAMEWIRE_S3_SECRET_KEY": "secret"}


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({}, "set FRAMEWIRE_S3_ACCESS_KEY"),
        (KEYS | {"FRAMEWIRE_SLOTS": "0"}, "FRAMEWIRE_SLOTS must be at least 1, not 0"),
        (KEYS | {"FRAMEWIRE_LANES": "gpu,tpu"}, "FRAMEWIRE_LANES must be a list of gpu, cpu, not 'gpu,tpu'"),
        (KEYS | {"FRAMEWIRE_PRIORITIES": "0,4"}, "FRAMEWIRE_PRIORITIES must be a list of 0, 1, 2, 3, not '0,4'"),
        (KEYS | {"FRAMEWIRE_OVERFLOW_AFTER": "-1"}, "FRAMEWIRE_OVERFLOW_AFTER must be at least 0, not -1"),
        (KEYS | {"FRAMEWIRE_WORKER": "a b"}, "FRAMEWIRE_WORKER must be 1 to 100 letters"),
        (KEYS | {"FRAMEWIRE_TRITON_SHARED_MEMORY": "perhaps"}, "FRAMEWIRE_TRITON_SHARED_MEMORY must be yes or no"),
        (KEYS | {"FRAMEWIRE_LOG_STYLE": "xml"}, "FRAMEWIRE_LOG_STYLE must be text or json, not 'xml'"),
        (KEYS | {"FRAMEWIRE_LOG_LEVEL": "LOUD"}, "FRAMEWIRE_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR"),
    ],
)
def test_a_setting_that_is_wrong_is_named_in_one_line(
    variables: dict[str, str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], variables) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"coordinator: {complaint}")


def test_help_names_every_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["--help"], {})
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in VARIABLES)


def test_every_variable_that_is_read_is_in_the_help() -> None:
    read: set[str] = set()

    class Recorder(dict[str, str]):
        def get(self, name: str, default: object = None) -> object:  # type: ignore[override]  # as Environment asks
            read.add(name)
            return super().get(name, default)  # type: ignore[arg-type]  # passed through

    read_settings(Recorder(KEYS))
    assert read <= VARIABLES.keys()


def test_settings_come_from_the_variables() -> None:
    settings = read_settings(
        KEYS | {"FRAMEWIRE_LANES": "cpu, cpu", "FRAMEWIRE_WORKER": "box-1", "FRAMEWIRE_SLOTS": "5"}
    )
    assert (settings.worker.lanes, settings.worker.name, settings.worker.slots) == ((LANE_CPU,), "box-1", 5)
    assert settings.worker.inference.shared_memory


def test_a_worker_takes_every_priority_and_does_not_wait_for_a_backlog_unless_told() -> None:
    settings = read_settings(KEYS).worker
    assert (settings.priorities, settings.overflow_after) == ((0, 1, 2, 3), None)
    settings = read_settings(KEYS | {"FRAMEWIRE_PRIORITIES": "3, 1", "FRAMEWIRE_OVERFLOW_AFTER": "0"}).worker
    assert (settings.priorities, settings.overflow_after) == ((1, 3), 0)


def test_the_pace_of_ageing_is_a_variable() -> None:
    assert read_settings(KEYS).nats.ageing == 60
    assert read_settings(KEYS | {"FRAMEWIRE_AGEING": "90"}).nats.ageing == 90
    with pytest.raises(LocalError, match="FRAMEWIRE_AGEING must be at least 1"):
        read_settings(KEYS | {"FRAMEWIRE_AGEING": "0"})


def test_the_command_line_goes_before_the_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--overflow-after", "some"], KEYS | {"FRAMEWIRE_OVERFLOW_AFTER": "3"}) == 2
    assert "must be a whole number, not 'some'" in capsys.readouterr().err


def test_a_runner_is_told_nothing_that_opens_a_door() -> None:
    variables = KEYS | {
        "PATH": "/bin",
        "FRAMEWIRE_NATS_URL": "nats://u:p@host",
        "AWS_SECRET_ACCESS_KEY": "x",
        "LC_ALL": "C",
    }
    assert runner_environment(variables) == {"PATH": "/bin", "LC_ALL": "C", **SINGLE_THREADED, **FRUGAL}


def test_a_worker_that_requires_what_is_not_there_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("coordinator.__main__.layers", lambda: [Layer(name="files", here=False, words="no Landlock")])
    assert main([], KEYS | {"FRAMEWIRE_SANDBOX": "require"}) == 1
    assert "FRAMEWIRE_SANDBOX=require: no Landlock" in capsys.readouterr().err


def test_secrets_are_not_shown_with_the_settings() -> None:
    assert "secret" not in repr(read_settings(KEYS))


def test_a_missing_required_variable_is_a_local_error() -> None:
    with pytest.raises(LocalError):
        read_settings({})
