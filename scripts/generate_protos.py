"""Generate framewire/v1, framewire/work/v1 and the protovalidate module from proto/.

    python scripts/generate_protos.py            write the generated code
    python scripts/generate_protos.py --check    fail when it differs from what is committed

`buf/validate/validate.proto` is not on disk anywhere: its descriptor is taken from
the installed protovalidate, so that the rules and the engine that enforces them are
always the same version. Its Python module is generated into `framewire/_buf`,
because a top-level package called `buf` would belong to somebody else.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import google.api
from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb  # no public way to its descriptor

ROOT = Path(__file__).resolve().parent.parent
GENERATED = ("framewire/v1", "framewire/work/v1", "framewire/_buf")
VALIDATE = "buf/validate/validate.proto"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        out.mkdir()
        generate(out, Path(scratch) / "validate.binpb")
        if check:
            return report_drift(out)
        for folder in GENERATED:
            shutil.rmtree(ROOT / folder, ignore_errors=True)
            shutil.copytree(out / folder, ROOT / folder)
    return 0


def generate(out: Path, descriptors: Path) -> None:
    """Run protoc over every file of proto/ into `out`, laid out as in the repository."""
    descriptors.write_bytes(validate_descriptors())
    sources = sorted(p.relative_to(ROOT / "proto").as_posix() for p in (ROOT / "proto").rglob("*.proto"))
    googleapis = Path(next(iter(google.api.__path__))).parent.parent
    well_known = Path(protoc.__file__).parent / "_proto"
    run_protoc(
        f"--proto_path={ROOT / 'proto'}",
        f"--proto_path={googleapis}",
        f"--proto_path={well_known}",
        f"--descriptor_set_in={descriptors}",
        f"--python_out={out}",
        f"--mypy_out=quiet,readable_stubs:{out}",
        f"--grpc_python_out={out}",
        f"--mypy_grpc_out=quiet:{out}",
        f"--descriptor_set_out={out / 'api.binpb'}",
        "--include_source_info",
        VALIDATE,
        *sources,
    )
    (out / "api.binpb").rename(out / "framewire/v1/api.binpb")  # comments for people, at run time
    (out / "buf").rename(out / "framewire/_buf")
    for path in sorted((out / "framewire").rglob("*.py*")):
        if path.name.endswith(("_pb2_grpc.py", "_pb2_grpc.pyi")) and "Stub" not in path.read_text():
            path.unlink()  # a file without services
            continue
        path.write_text(relocate(path.read_text()))
    for folder in {p.parent for p in out.rglob("*_pb2.py")} | {out / "framewire/_buf"}:
        (folder / "__init__.py").write_text("")
    (out / "framewire/work/__init__.py").unlink(missing_ok=True)


def validate_descriptors() -> bytes:
    """A FileDescriptorSet of validate.proto and everything it imports."""
    files = descriptor_pb2.FileDescriptorSet()
    seen: set[str] = set()

    def add(desc: object) -> None:
        if desc.name in seen:  # type: ignore[attr-defined]  # protobuf-py's descriptors have no public type name
            return
        seen.add(desc.name)  # type: ignore[attr-defined]  # as above
        for dependency in desc.dependencies:  # type: ignore[attr-defined]  # as above
            add(dependency)
        files.file.add().ParseFromString(desc.proto.to_binary())  # type: ignore[attr-defined]  # as above

    add(validate_pb.desc())
    for file in files.file:  # protobuf-py keeps names without the ending
        if not file.name.endswith(".proto"):
            file.name += ".proto"
    return files.SerializeToString()


def run_protoc(*arguments: str) -> None:
    plugins = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True, env={**os.environ, "PATH": plugins}
    )


def relocate(source: str) -> str:
    """Make imports of `buf.validate` point into `framewire._buf`."""
    source = re.sub(r"\bfrom buf\.validate\b", "from framewire._buf.validate", source)
    return re.sub(r"\bimport buf\.validate\b", "import framewire._buf.validate", source)


def report_drift(out: Path) -> int:
    drift = [
        path.relative_to(base).as_posix()
        for base, other in ((out, ROOT), (ROOT, out))
        for folder in GENERATED
        for path in sorted((base / folder).rglob("*.*"))
        if path.suffix in {".py", ".pyi", ".binpb"}
        and not (
            (other / path.relative_to(base)).exists()
            and filecmp.cmp(path, other / path.relative_to(base), shallow=False)
        )
    ]
    for path in sorted(set(drift)):
        print(f"{path} is not what proto/ generates; run `make proto`", file=sys.stderr)
    return 1 if drift else 0


if __name__ == "__main__":
    sys.exit(main())
