"""What the way through Triton costs: an identity model behind it beside the same graph in a bare loop.

    python scripts/bench_hop.py [--pairs 7] [--batches 60] [--json]

Frames of 640x360 in batches of 8, four under way. The ways are taken in turn, A-B-C-C-B-A, in one run. Processor time
is that of all processes together: it says what the way costs when others are busy, too.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import numpy as np
import onnx
import onnxruntime
from grpc_health.v1 import health_pb2, health_pb2_grpc
from meter import Meter
from onnx import TensorProto, helper

from coordinator.inference.interface import Block
from coordinator.inference.triton import TritonServer, TritonSettings
from framewire.stack import triton
from framewire.stack.ports import PortChooser

HEIGHT, WIDTH, BATCH, IN_FLIGHT = 360, 640, 8, 4
IDENTITY = "identity"
BARE = "bare loop"
GOAL = 0.25
"""Milliseconds a frame more than the bare loop, through shared memory."""
_SHAPE = (BATCH, HEIGHT, WIDTH, 3)
_CONFIG = """\
name: "identity"
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "FRAMES_IN" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] } ]
output [ { name: "FRAMES_OUT" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] } ]
instance_group [ { count: 2 kind: KIND_AUTO } ]
parameters { key: "scale" value: { string_value: "1" } }
parameters { key: "size_multiple" value: { string_value: "1" } }
parameters { key: "license" value: { string_value: "Apache-2.0" } }
parameters { key: "description" value: { string_value: "Nothing." } }
"""


def measure_hop(*, pairs: int, batches: int) -> dict[str, float]:
    """Milliseconds a frame of each way, and of each way through Triton more than the bare loop: medians over pairs."""
    taken: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="framewire-hop-") as folder, ExitStack() as stack:
        ways = _ways(Path(folder), stack)
        meter = Meter({"bench": os.getpid()}, Path(folder))  # and its children, of which Triton is one
        for turn in range(pairs + 1):
            for name, way in (list(ways.items()), list(ways.items())[::-1])[turn % 2]:
                began = time.perf_counter()
                with meter.processor_time() as usage:
                    way(batches)
                seconds = time.perf_counter() - began, usage.cpu
                taken.setdefault(name, []).append((seconds[0] / batches / BATCH, seconds[1] / batches / BATCH))
    counted = {name: runs[1:] for name, runs in taken.items()}
    result = {
        f"{name}, ms a frame": statistics.median([1000 * wall for wall, _ in runs]) for name, runs in counted.items()
    }
    for name in ("shared memory", "gRPC"):
        pairs_of = list(zip(counted[name], counted[BARE], strict=True))
        result[f"hop, {name}, ms a frame"] = statistics.median([1000 * (way[0] - bare[0]) for way, bare in pairs_of])
        result[f"hop, {name}, processor ms"] = statistics.median([1000 * (way[1] - bare[1]) for way, bare in pairs_of])
    return result


def _ways(folder: Path, stack: ExitStack) -> Mapping[str, Callable[[int], None]]:
    models = folder / "models"
    _write_identity(models / IDENTITY)
    url, key = stack.enter_context(_running_triton(folder, models))
    session = onnxruntime.InferenceSession(str(models / IDENTITY / "1" / "model.onnx"))
    ways: dict[str, Callable[[int], None]] = {BARE: lambda batches: _bare(session, batches)}
    for name, shared in (("shared memory", True), ("gRPC", False)):
        server = TritonServer(TritonSettings(url=url, key=key, shared_memory=shared))
        stack.callback(server.close)
        ways[name] = _through(server)
    return ways


def _bare(session: onnxruntime.InferenceSession, batches: int) -> None:
    frames = np.full(_SHAPE, 7, np.uint8)
    for _ in range(batches):
        session.run(None, {"FRAMES_IN": frames})


def _through(server: TritonServer) -> Callable[[int], None]:
    """Runs so many batches, IN_FLIGHT of them under way, as the pipeline does."""
    contract = server.contract(IDENTITY)
    arena = server.open_arena(block_bytes=int(np.prod(_SHAPE)), blocks=2 * IN_FLIGHT)
    blocks = [(arena.acquire(timeout=1), arena.acquire(timeout=1)) for _ in range(IN_FLIGHT)]
    for inputs, _ in blocks:
        inputs.array(_SHAPE)[...] = 7

    def run(batches: int) -> None:
        under_way = deque(_submit(pair) for pair in blocks)
        for left in range(batches - len(blocks), -len(blocks), -1):
            request, pair = under_way.popleft()
            request.result(60)
            if left > 0:
                under_way.append(_submit(pair))

    def _submit(pair: tuple[Block, Block]) -> tuple[Future[None], tuple[Block, Block]]:
        return server.infer(contract, *pair, frames=BATCH, height=HEIGHT, width=WIDTH), pair

    return run


def _write_identity(folder: Path) -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(_CONFIG)
    shape = ["batch", "height", "width", 3]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["FRAMES_IN"], ["FRAMES_OUT"])],
        IDENTITY,
        [helper.make_tensor_value_info("FRAMES_IN", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("FRAMES_OUT", TensorProto.UINT8, shape)],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), folder / "1" / "model.onnx"
    )


@contextmanager
def _running_triton(folder: Path, models: Path) -> Iterator[tuple[str, str]]:
    server, port, key = triton.find_tritonserver(), PortChooser().choose(None), secrets.token_hex(16)
    prefix = f"framewire_hop_{secrets.token_hex(4)}_"
    argv, env = triton.command(
        server,
        models=models,
        backends=triton.prepare_backends(server, folder / "backends"),
        port=port,
        key=key,
        shm_prefix=prefix,
        path=os.environ.get("PATH", os.defpath),
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, env={**os.environ, **env}, stdout=log, stderr=log)
    try:
        _wait_until_ready(f"127.0.0.1:{port}", process)
        yield f"127.0.0.1:{port}", key
    finally:
        process.terminate()
        process.wait(10)
        triton.sweep_shared_memory(prefix)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    with grpc.insecure_channel(url) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while time.monotonic() < until and process.poll() is None:
            try:
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            except grpc.RpcError:
                pass
            time.sleep(0.1)
    raise RuntimeError("Triton did not become ready")


def main() -> int:
    """0 when everything ran."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = measure_hop(pairs=max(1, arguments.pairs), batches=max(IN_FLIGHT, arguments.batches))
    if arguments.json:
        print(json.dumps(result))
        return 0
    print("\n".join(f"{name:32} {value:8.3f}" for name, value in result.items()))
    met = result["hop, shared memory, ms a frame"] <= GOAL
    print(f"{'goal, through shared memory':32} {GOAL:8.3f} {'met' if met else 'not met'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
