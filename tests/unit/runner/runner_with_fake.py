"""The runner's process with a model server inside it.

FAKE_MODEL=hang: no batch ever comes back. FAKE_MODEL=noisy: it prints to stdout, as libraries do.
"""

from __future__ import annotations

import logging
import os

from coordinator.runner import main
from framewire.testing.inference import FakeInferenceServer
from framewire.work.v1.work_pb2 import InferenceAddress


def connect(_: InferenceAddress) -> FakeInferenceServer:
    kind = os.environ.get("FAKE_MODEL", "")
    if kind == "noisy":
        print("a stray line", flush=True)
    return FakeInferenceServer(hold=kind == "hang")


if __name__ == "__main__":
    status = main(connect, os.environ)
    logging.shutdown()
    os._exit(status)
