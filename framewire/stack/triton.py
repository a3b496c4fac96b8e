"""How the local stack runs Triton: where its files are, which backends it gets, how it is started.

The server comes from the nvidia-pytriton wheel, or from PATH (NVIDIA's container). The wheel brings
the Python backend alone; what else the model repository asks for is written on top of that in
deploy/triton/backends, one folder a backend, and left out where the server has the native one.

    server = find_tritonserver()
    backends = prepare_backends(server, data / "backends")
    argv, env = command(server, models=..., backends=backends, port=..., key=..., shm_prefix=..., path=...)

Triton has no authentication. The command binds it to loopback, offers nothing but gRPC, and asks for `key` in
the header TRITON_KEY_HEADER before it maps shared memory, lists its repository, loads a model or unloads one.
Triton takes that key on its command line only, where every user of the machine can read it (`ps`): call
`hide_key` as soon as the server is ready.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import framewire
from framewire.errors import ErrorCode, LocalError
from framewire.stack.ports import HOST

TRITON_KEY_HEADER = "framewire-key"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX keeps shared memory, not a temporary folder
_REPOSITORY = Path(framewire.__file__).resolve().parent.parent
DROP_INS = _REPOSITORY / "deploy" / "triton" / "backends"
_PROC = Path("/proc")
_STUB = "triton_python_backend_stub"
_INSTALL = "install it with `make venv`, or `pip install --no-deps nvidia-pytriton`"


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonInstallation:
    """Where one installation of Triton lies."""

    program: Path
    backends: Path
    """Folder of the backends it brings."""
    stub: Path
    """The Python backend's interpreter process, for the Python that runs this."""
    libraries: tuple[Path, ...]
    """Folders the program's and the stub's shared libraries are in."""


def find_tritonserver() -> TritonInstallation:
    """The installed server. Raises LocalError (TOOL_MISSING) that says what to install."""
    server = _in_wheel() or _on_path()
    if server is None:
        raise _missing(f"there is no tritonserver; {_INSTALL}")
    if not server.stub.is_file():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise _missing(
            f"this tritonserver cannot run Python {version} ({server.stub} is missing); use Python 3.11, 3.12 or 3.13"
        )
    return server


def prepare_backends(server: TritonInstallation, folder: Path, drop_ins: Path = DROP_INS) -> Path:
    """Compose the backend directory in `folder`, anew each time: the server's own, and drop-ins for those it lacks.

    Returns `folder`. Raises LocalError (TOOL_MISSING) when there are no drop-ins at `drop_ins`.
    """
    if not drop_ins.is_dir():
        raise _missing(f"there are no Triton backends at {drop_ins}; run from a checkout of the repository")
    shutil.rmtree(folder, ignore_errors=True)
    for source in (*_folders(server.backends), *_folders(drop_ins)):
        if not (folder / source.name).exists():
            shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(server.stub, folder / "python" / _STUB)
    return folder


def command(
    server: TritonInstallation,
    *,
    models: Path,
    more_models: Sequence[Path] = (),
    backends: Path,
    port: int,
    key: str,
    shm_prefix: str,
    load: Sequence[str] = ("*",),
    name: str = "triton",
    path: str = os.defpath,
) -> tuple[list[str], dict[str, str]]:
    """What to execute, and the environment variables it needs besides the inherited ones.

    It is ready when gRPC's standard health service on `port` says SERVING: it has tried to load the models `load`
    names, `*` for all; none when it is empty. The others of the repositories, `models` and `more_models`, those
    included that are put there while it runs, are loaded and unloaded by those who hold `key`. A model that does
    not load is in the log, and is not served. When a backend process dies, so does the server, to be started anew.
    `name` tells it from other servers, whatever address it is reached at; "triton" is Triton's own word for none.
    Files it makes in /dev/shm start with `shm_prefix`. `path` is the PATH it would inherit.
    """
    argv = [
        str(server.program),
        *(f"--model-repository={folder}" for folder in (models, *more_models)),
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in load),
        f"--id={name}",
        "--strict-readiness=false",  # ready once every model was tried, also when one does not load
        "--exit-on-error=false",  # a broken model must not take the others with it
        f"--grpc-address={HOST}",
        f"--grpc-port={port}",
        f"--grpc-restricted-protocol=shared-memory,model-repository:{TRITON_KEY_HEADER}={key}",
        "--allow-http=false",
        "--allow-metrics=false",
        "--exit-timeout-secs=3",
        "--pinned-memory-pool-byte-size=0",
        "--log-info=false",
        "--log-format=ISO8601",
    ]
    # the stub finds the interpreter's packages through the first python3 on PATH
    python = Path(sys.executable).parent
    env = {
        "PATH": f"{python}{os.pathsep}{path}",
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, server.libraries)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return argv, env


def sweep_shared_memory(shm_prefix: str) -> None:
    """Remove what a server that was killed left in /dev/shm. Only while no server with this prefix runs."""
    for leftover in SHARED_MEMORY.glob(f"{shm_prefix}*"):
        with contextlib.suppress(FileNotFoundError):
            leftover.unlink()


def hide_key(pid: int, key: str) -> bool:
    """Overwrite the key where others can read it: in the running server's argument vector. Whether that worked.

    Triton has its own copy by then. The kernel lets this user write to that memory, and nobody else but root.
    """
    process = _PROC / str(pid)
    try:
        start, end = map(int, (process / "stat").read_bytes().rpartition(b")")[2].split()[45:47])
        with (process / "mem").open("r+b", buffering=0) as memory:
            memory.seek(start)
            at = memory.read(end - start).find(key.encode())
            if not key or at < 0:
                return False
            memory.seek(start + at)
            return memory.write(b"*" * len(key)) == len(key)
    except (OSError, ValueError):
        return False


def _in_wheel() -> TritonInstallation | None:
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    root = package / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return TritonInstallation(
        program=root / "bin" / "tritonserver",
        backends=root / "backends",
        stub=root / "python_backend_stubs" / version / _STUB,
        libraries=(*_libpython(), package.parent / "nvidia_pytriton.libs"),
    )


def _on_path() -> TritonInstallation | None:
    found = shutil.which("tritonserver")
    if found is None:
        return None
    program = Path(found).resolve()
    root = program.parent.parent
    return TritonInstallation(
        program=program,
        backends=root / "backends",
        stub=root / "backends" / "python" / _STUB,
        libraries=(*_libpython(), root / "lib"),
    )


def _libpython() -> tuple[Path, ...]:
    """The folder of the interpreter's shared library, which the stub is linked to; none when it is the system's.

    Raises LocalError (TOOL_MISSING) when this Python was built without one and the system has none.
    """
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folder = Path(sys.base_prefix) / "lib"
    if (folder / f"lib{name}.so.1.0").is_file():
        return (folder,)
    if sysconfig.get_config_var("Py_ENABLE_SHARED") or ctypes.util.find_library(name):
        return ()
    raise _missing(f"Triton's Python backend needs lib{name}: install it with `apt install lib{name}`")


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(("_", ".")))


def _missing(message: str) -> LocalError:
    return LocalError(message, code=ErrorCode.TOOL_MISSING)
