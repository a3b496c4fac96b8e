"""Triton behind the InferenceServer seam: gRPC for what is said, shared memory for frames.

A batch is not sent: it lies in a block of an arena, a region of POSIX shared memory that Triton has mapped
too, and the request says where. The region's file is unlinked as soon as Triton has it, so that not even
kill -9 leaves one. When Triton is on another host, the same calls carry the bytes.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from coordinator.inference import regions
from coordinator.inference.arena import BlockArena, MemoryBlock, stride_of
from coordinator.inference.batch import Batch, Carried
from coordinator.inference.contracts import parse_contract
from coordinator.inference.failures import from_rpc
from coordinator.inference.interface import Block
from framewire.errors import ErrorCode, FramewireError, StepError, Unavailable
from framewire.stack.triton import TRITON_KEY_HEADER
from framewire.steps.contract import ModelContract
from framewire.work.v1.work_pb2 import InferenceAddress

log = logging.getLogger(__name__)

_CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),  # a batch of frames is larger than gRPC's 4 MiB
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),  # a server that was restarted is found again soon
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.client_idle_timeout_ms", 2**31 - 1),  # a runner that has connected can make no second connection
]
_ANSWERS = {
    grpc.ChannelConnectivity.READY,
    grpc.ChannelConnectivity.TRANSIENT_FAILURE,
    grpc.ChannelConnectivity.SHUTDOWN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonSettings:
    """Where Triton is and how long to wait for it."""

    url: str
    """`host:port` of its gRPC endpoint."""
    key: str = field(default="", repr=False)
    """Opens its restricted protocols; neutral value: "", for a server that restricts nothing."""
    shared_memory: bool = True
    """Triton runs on this host, as this user, and sees the same /dev/shm."""
    control_timeout: float = 5.0
    """Seconds for a call that moves no frames."""
    infer_timeout: float = 120.0
    """Seconds for a batch, the wait behind other batches included."""


class TritonServer:
    """An InferenceServer. Connects on the first call; may be used from several threads."""

    def __init__(self, settings: TritonSettings, *, one_job: bool = False) -> None:
        """For `one_job`, a contract is read once: what the job is told of a model stays the same throughout."""
        self._settings = settings
        self._contracts: dict[str, ModelContract] | None = {} if one_job else None
        self._channel = grpc.insecure_channel(settings.url, options=_CHANNEL_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._metadata = ((f"triton-grpc-protocol-{TRITON_KEY_HEADER}", settings.key),) if settings.key else ()
        self._arenas: set[BlockArena] = set()
        self._closed = False

    @classmethod
    def connect(cls, address: InferenceAddress) -> TritonServer:
        """The server at the address a runner was given."""
        settings = TritonSettings(url=address.url, key=address.key, shared_memory=address.shared_memory)
        return cls(settings, one_job=True)

    def wait_until_connected(self, timeout: float) -> bool:
        """Connect now; False when the server refuses, or does not answer within `timeout` seconds."""
        answered = threading.Event()
        states: list[grpc.ChannelConnectivity] = []

        def look(state: grpc.ChannelConnectivity) -> None:
            states.append(state)
            if state in _ANSWERS:
                answered.set()

        self._channel.subscribe(look, try_to_connect=True)
        answered.wait(timeout)
        self._channel.unsubscribe(look)
        return grpc.ChannelConnectivity.READY in states

    def when_lost(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have `call` called, from a thread, when there is no connection any more; now, if there is none.

        Returns what ends the watch.
        """

        def look(state: grpc.ChannelConnectivity) -> None:
            if state is not grpc.ChannelConnectivity.READY:
                call()

        self._channel.subscribe(look)
        return lambda: self._channel.unsubscribe(look)

    def models(self) -> list[ModelContract]:
        """Contracts of all models that are served now; those without one for frames are left out."""
        index = self._call(self._stub.RepositoryIndex, service_pb2.RepositoryIndexRequest(ready=True))
        contracts = []
        for name in sorted({model.name for model in index.models}):
            try:
                contracts.append(self.contract(name))
            except StepError as error:
                log.debug("not in the catalogue: %s", error.message)
        return contracts

    def contract(self, model: str) -> ModelContract:
        """One model's contract. Raises StepError (MODEL_UNKNOWN) when it is not served or says too little."""
        if self._contracts is None:
            return self._read_contract(model)
        if model not in self._contracts:
            self._contracts[model] = self._read_contract(model)
        return self._contracts[model]

    def _read_contract(self, model: str) -> ModelContract:
        served = self._call(self._stub.ModelMetadata, service_pb2.ModelMetadataRequest(name=model))
        version = max(served.versions, key=int)
        request = service_pb2.ModelConfigRequest(name=model, version=version)
        return parse_contract(self._call(self._stub.ModelConfig, request).config, version)

    def open_arena(self, *, block_bytes: int, blocks: int) -> BlockArena:
        """Memory for frames. Raises WorkerError (INFERENCE_FAILED) when there is too little shared memory."""
        if self._settings.shared_memory:
            return self._shared_arena(block_bytes, blocks)
        memory = np.empty(stride_of(block_bytes) * blocks, np.uint8)
        return self._arena(memory, block_bytes, blocks, region="", release=lambda: None)

    def infer(
        self,
        contract: ModelContract,
        inputs: Block,
        outputs: Block,
        *,
        frames: int,
        height: int,
        width: int,
        state: tuple[Block, Block] | None = None,
        mask: Block | None = None,
    ) -> Future[None]:
        """Run a batch. Its blocks are lent again only when the server is sure to have done with them.

        Raises ValueError when the batch does not fit the contract or its blocks.
        """
        carried = Carried(_own(state[0]), _own(state[1])) if state else None
        masked = _own(mask) if mask else None
        batch = Batch(contract, _own(inputs), _own(outputs), (frames, height, width), carried, masked)
        result: Future[None] = Future()
        result.set_running_or_notify_cancel()
        try:
            call = self._stub.ModelInfer.future(
                batch.request(), timeout=self._settings.infer_timeout, metadata=self._metadata
            )
        except ValueError:  # gRPC's word for a channel that was closed
            result.set_exception(_disconnected())
        else:
            call.add_done_callback(lambda done: _settle(result, batch, done))
        return result

    @property
    def url(self) -> str:
        """`host:port` of its gRPC endpoint."""
        return self._settings.url

    def ask(self, method: str, request: Any, *, timeout: float | None = None) -> Any:
        """Call a method of Triton's service that moves no frames. Raises as `failures.from_rpc` says."""
        return self._call(getattr(self._stub, method), request, timeout=timeout)

    def sweep_dead_regions(self) -> int:
        """Have Triton forget the regions of processes of this host that are gone; how many there were.

        Triton keeps a region mapped until it is told otherwise: call this at start and whenever a runner died.
        """
        if not self._settings.shared_memory:
            return 0
        for name in regions.dead_files():
            regions.unlink(name)
        status = self._call(self._stub.SystemSharedMemoryStatus, service_pb2.SystemSharedMemoryStatusRequest())
        dead = [text for text in status.regions if (maker := regions.RegionName.parse(text)) and maker.is_dead]
        for text in dead:
            self._unregister(text)
        return len(dead)

    def close(self) -> None:
        """Close what arenas are open and disconnect; requests in flight end with Unavailable. Idempotent."""
        if not self._closed:
            self._closed = True
            for arena in list(self._arenas):
                arena.close()
            self._channel.close()

    def _shared_arena(self, block_bytes: int, blocks: int) -> BlockArena:
        size = stride_of(block_bytes) * blocks
        name = regions.RegionName.new()
        mapping = regions.create(name, size)
        try:
            self._register(str(name), size)
        except BaseException:
            mapping.close()
            raise
        finally:
            regions.unlink(name)
        memory = np.frombuffer(mapping, np.uint8)
        return self._arena(memory, block_bytes, blocks, region=str(name), release=lambda: self._forget(name, mapping))

    def _arena(
        self,
        memory: np.typing.NDArray[np.uint8],
        block_bytes: int,
        blocks: int,
        *,
        region: str,
        release: Callable[[], None],
    ) -> BlockArena:
        def on_close() -> None:
            self._arenas.discard(arena)
            release()

        arena = BlockArena(memory, block_bytes=block_bytes, blocks=blocks, region=region, on_close=on_close)
        self._arenas.add(arena)
        return arena

    def _register(self, name: str, size: int) -> None:
        request = service_pb2.SystemSharedMemoryRegisterRequest(name=name, key=f"/{name}", offset=0, byte_size=size)
        self._call(self._stub.SystemSharedMemoryRegister, request)

    def _unregister(self, name: str) -> None:
        self._call(self._stub.SystemSharedMemoryUnregister, service_pb2.SystemSharedMemoryUnregisterRequest(name=name))

    def _forget(self, name: regions.RegionName, mapping: mmap.mmap) -> None:
        try:
            self._unregister(str(name))
        except FramewireError as error:  # a server that is gone has forgotten it; else a sweep will see to it
            log.debug("region %s was not unregistered: %s", name, error.message)
        with contextlib.suppress(BufferError):  # somebody still looks at a block: the mapping goes with the last look
            mapping.close()

    def _call(self, method: Any, request: Any, *, timeout: float | None = None) -> Any:
        try:
            return method(request, timeout=timeout or self._settings.control_timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc(error) from error
        except ValueError as error:
            raise _disconnected() from error


def _settle(result: Future[None], batch: Batch, call: Any) -> None:
    """Runs in a thread of gRPC's; nothing may escape, or the future would never end."""
    try:
        batch.take(call.result())
    except grpc.RpcError as error:
        batch.give_up()
        result.set_exception(_gone_meanwhile(from_rpc(error)))
    except grpc.FutureCancelledError:
        batch.give_up()
        result.set_exception(_disconnected())
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to who waits for the future
        result.set_exception(error)
    else:
        result.set_result(None)


def _gone_meanwhile(error: FramewireError) -> FramewireError:
    """A model whose contract was read and that is unknown now was unloaded, or the server started anew: try again."""
    if error.code != ErrorCode.MODEL_UNKNOWN:
        return error
    return Unavailable(error.message, code=ErrorCode.INFERENCE_UNAVAILABLE)


def _own(block: Block) -> MemoryBlock:
    if not isinstance(block, MemoryBlock):
        raise TypeError("the block was not lent by this server's arena")
    return block


def _disconnected() -> Unavailable:
    return Unavailable("the connection to Triton is closed", code=ErrorCode.INFERENCE_UNAVAILABLE)
