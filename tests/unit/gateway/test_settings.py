"""Settings: everything wrong is said in one line before anything starts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from framewire.environment import Environment
from framewire.errors import ErrorCode, LocalError
from gateway.addresses import Address
from gateway.settings import GatewaySettings

COMPLETE = {
    "FRAMEWIRE_NATS_URL": "nats://127.0.0.1:1",
    "FRAMEWIRE_S3_ACCESS_KEY": "key",
    "FRAMEWIRE_S3_SECRET_KEY": "secret",
}


def read(**changes: str) -> GatewaySettings:
    return GatewaySettings.from_environment(Environment({**COMPLETE, **changes}))


def test_without_addresses_it_listens_on_this_machine_alone():
    settings = read()
    assert (str(settings.grpc), str(settings.rest)) == ("127.0.0.1:7600", "127.0.0.1:7680")


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.8.9.1:7000", "[::1]:7000", "localhost:7000"])
def test_loopback_addresses_are_accepted(address):
    assert str(read(FRAMEWIRE_GRPC_ADDRESS=address).grpc) == address


@pytest.mark.parametrize("name", ["FRAMEWIRE_GRPC_ADDRESS", "FRAMEWIRE_REST_ADDRESS"])
@pytest.mark.parametrize(
    "address", ["0.0.0.0:7600", "[::]:7600", "192.168.1.4:7600", "example.org:7600", "[::ffff:0.0.0.0]:7600"]
)
def test_a_public_address_is_refused_while_nobody_is_authenticated(name, address):
    with pytest.raises(LocalError) as caught:
        read(**{name: address})
    assert caught.value.code == ErrorCode.CONFIG_INVALID
    assert name in caught.value.message


@pytest.mark.parametrize("address", ["7600", "127.0.0.1", ":7600", "127.0.0.1:x", "127.0.0.1:70000", "unix:/tmp/x"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(LocalError):
        read(FRAMEWIRE_REST_ADDRESS=address)


def test_a_v6_address_keeps_its_brackets_outside_only():
    assert Address.parse("[::1]:80", "x") == Address("::1", 80)


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The program itself, with nothing in its environment but this."""
    env = {"PATH": os.environ["PATH"], **variables}
    argv = [sys.executable, "-m", "gateway", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env, check=False)


def test_the_program_refuses_a_public_address_in_one_line():
    done = run(**COMPLETE, FRAMEWIRE_GRPC_ADDRESS="0.0.0.0:7600")
    assert done.returncode == 2
    assert done.stderr.startswith("CONFIG_INVALID: FRAMEWIRE_GRPC_ADDRESS=0.0.0.0:7600")
    assert done.stderr.count("\n") == 1


def test_the_program_names_the_setting_it_misses():
    done = run()
    assert (done.returncode, done.stderr) == (2, "CONFIG_INVALID: set FRAMEWIRE_NATS_URL\n")


def test_help_names_every_setting():
    done = run("--help")
    assert done.returncode == 0
    assert "FRAMEWIRE_DATABASE_URL" in done.stdout
