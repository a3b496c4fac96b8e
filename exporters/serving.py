"""A Triton of one's own for a while: to prove there what will be served."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from tritonclient import grpc as tritongrpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from exporters.declaration import Tensors
from exporters.errors import ExportFailed, writing
from framewire.errors import ErrorCode, LocalError
from framewire.stack import launch, triton
from framewire.stack.ports import HOST, PortChooser

_START_TIMEOUT = 60.0
_REQUEST_TIMEOUT = 300.0
_STOP_TIMEOUT = 10.0
_PAUSE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server that runs, and what opens its restricted protocols."""

    client: tritongrpc.InferenceServerClient
    key: str
    pid: int
    log: Path

    @property
    def headers(self) -> dict[str, str]:
        """Of requests to the restricted protocols."""
        return {f"triton-grpc-protocol-{triton.TRITON_KEY_HEADER}": self.key}

    def run(self, model: str, feeds: Tensors) -> Tensors:
        """One request. Raises ExportFailed when the model is not served or fails."""
        inputs = []
        for name, array in feeds.items():
            tensor = tritongrpc.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(np.ascontiguousarray(array))
            inputs.append(tensor)
        try:
            answer = self.client.infer(model, inputs, client_timeout=_REQUEST_TIMEOUT)
        except InferenceServerException as error:
            raise ExportFailed(f"{model} on Triton: {_reason(error)}{self._said()}") from error
        names = [output.name for output in answer.get_response().outputs]
        return {name: answer.as_numpy(name) for name in names}

    def _said(self) -> str:
        """The last error in its log, which says why a model was not loaded."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if " failed to load " in line]
        return f" ({lines[-1].partition('failed to load ')[2][:300]})" if lines else ""


@contextlib.contextmanager
def serve(repository: Path, *models: str) -> Iterator[Served]:
    """Triton on a repository, these models of it loaded; gone, with all it made, when the block ends.

    Raises LocalError: TOOL_MISSING when there is no Triton, STACK_START_FAILED when it does not come up,
    FILE_UNWRITABLE when there is no room for what it needs.
    """
    installed = triton.find_tritonserver()
    port, key = PortChooser().choose(None), secrets.token_hex(16)
    prefix = f"framewire_export_{secrets.token_hex(4)}_"
    with tempfile.TemporaryDirectory(prefix="framewire-export-") as folder:
        with writing("a server to prove the model on"):
            backends = triton.prepare_backends(installed, Path(folder) / "backends")
        argv, env = triton.command(
            installed,
            models=repository,
            backends=backends,
            port=port,
            key=key,
            shm_prefix=prefix,
            load=models,
            path=os.environ.get("PATH", os.defpath),
        )
        log = Path(folder) / "triton.log"
        try:
            with _process(argv, {**os.environ, **env}, log) as process:
                _wait(process, f"{HOST}:{port}", log)
                with tritongrpc.InferenceServerClient(f"{HOST}:{port}") as client:
                    yield Served(client=client, key=key, pid=process.pid, log=log)
        finally:
            triton.sweep_shared_memory(prefix)


@contextlib.contextmanager
def _process(argv: list[str], env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), *argv]
    with log.open("wb") as output:
        # a session of its own: Ctrl-C on the terminal is this process's to handle
        process = subprocess.Popen(command, stdout=output, stderr=output, env=env, start_new_session=True)  # noqa: S603 - the stack's own argument vector
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """TERM, a bounded wait, and KILL for what is left of its session."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_TIMEOUT)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait(_STOP_TIMEOUT)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    with tritongrpc.InferenceServerClient(address) as client:
        while not _ready(client):
            if process.poll() is not None or time.monotonic() > deadline:
                end = log.read_text(errors="replace")[-1000:]
                raise LocalError(f"Triton did not come up: {end}", code=ErrorCode.STACK_START_FAILED)
            time.sleep(_PAUSE)


def _ready(client: tritongrpc.InferenceServerClient) -> bool:
    try:
        return bool(client.is_server_ready(client_timeout=2))
    except (InferenceServerException, grpc.RpcError):
        return False


def _reason(error: InferenceServerException) -> str:
    return " ".join(str(error.message() or error).split())[:500]
