"""The composition of the local stack, without starting it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from framewire.stack.folder import DataFolder
from framewire.stack.local import child_environment
from framewire.stack.servers import Ports, server_specs
from framewire.stack.settings import StackSettings
from framewire.stack.spec import ChildSpec

PORTS = Ports(grpc=10_001, rest=10_002, nats=10_003, nats_monitor=10_006, s3=10_004, triton=10_005)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / 'a "data" folder')
    made.create()
    return made


@pytest.fixture
def specs(folder: DataFolder) -> dict[str, ChildSpec]:
    made = server_specs(StackSettings(data=folder.root), folder, folder.keys(), PORTS)
    return {spec.name: spec for spec in made}


def test_servers_stop_before_those_they_need(specs: dict[str, ChildSpec]) -> None:
    order = sorted(specs.values(), key=lambda spec: spec.stop_order)
    assert [spec.name for spec in order] == ["coordinator", "gateway", "triton", "nats", "s3"]
    for spec in specs.values():
        assert all(spec.stop_order < specs[name].stop_order for name in spec.needs)


def test_secrets_are_in_no_argument_but_tritons_which_is_hidden_once_it_runs(
    specs: dict[str, ChildSpec], folder: DataFolder
) -> None:
    keys = folder.keys()
    for spec in specs.values():
        shown = " ".join(spec.argv)
        assert not any(secret in shown for secret in (keys.s3_access_key, keys.s3_secret_key, keys.nats_password))
        assert keys.triton_key not in shown or spec.on_ready is not None


def test_the_queue_is_configured_to_survive_a_loss_of_power_and_to_be_private(
    specs: dict[str, ChildSpec], folder: DataFolder
) -> None:
    path = Path(specs["nats"].argv[-1])
    assert "sync_interval: always" in path.read_text()
    assert 'listen: "127.0.0.1:10003"' in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_address_is_of_the_loopback_interface(specs: dict[str, ChildSpec]) -> None:
    variables = {**specs["gateway"].env, **specs["coordinator"].env}
    addresses = [value for name, value in variables.items() if name.endswith(("_ADDRESS", "_URL", "_ENDPOINT"))]
    network = [address for address in addresses if not address.startswith("sqlite")]
    assert len(network) == 5
    assert all("127.0.0.1:" in address for address in network)


def test_children_inherit_neither_proxies_nor_settings_meant_for_other_programs() -> None:
    inherited = {
        "PATH": "/bin",
        "https_proxy": "http://proxy",
        "HTTP_PROXY": "http://proxy",
        "FRAMEWIRE_NATS_URL": "nats://elsewhere",
        "RCLONE_CONFIG": "/x",
    }
    assert child_environment(inherited) == {"PATH": "/bin"}
