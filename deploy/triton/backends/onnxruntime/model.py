"""Triton's `onnxruntime` backend for servers that do not come with it, written on the Python backend.

Triton takes the folder this file lies in for a backend called `onnxruntime` and runs one process of it
for each instance of each model that says `backend: "onnxruntime"`. So a model repository made for
NVIDIA's container, which has the native backend, is served here as it is.

What it honours of config.pbtxt, with the native backend's meaning: `default_model_filename`,
`optimization.graph.level`, `instance_group`, and the parameters `intra_op_thread_count`,
`inter_op_thread_count`, `execution_mode`, `enable_mem_arena`, `enable_mem_pattern`.
Different on purpose: without `intra_op_thread_count` the machine's cores are divided among the
model's instances, where the native backend gives all of them to each.
"""

import contextlib
import ctypes
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils

_GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    0: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


class TritonPythonModel:
    """One instance of one model: an ONNX Runtime session on its model file."""

    def initialize(self, args):
        """Open the session. What is raised here is what the server says about a model it cannot load."""
        config = json.loads(args["model_config"])
        file = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / file
        if not path.is_file():
            raise pb_utils.TritonModelException(f"{args['model_name']}: there is no {path}")
        self._session = ort.InferenceSession(
            str(path), _session_options(config), providers=_providers(args["model_instance_kind"], args)
        )
        _keep_freed_memory()
        _spare_copies()
        self._inputs = [tensor.name for tensor in self._session.get_inputs()]
        self._watch = _end_server_without_me()
        pb_utils.Logger.log_info(f"{args['model_name']}: {file} on {self._session.get_providers()[0]}")

    def execute(self, requests):
        """Run each request as the batch it is."""
        return [self._answer(request) for request in requests]

    def finalize(self):
        """Give the session's memory and threads back."""
        self._session = None
        with contextlib.suppress(BrokenPipeError):
            self._watch.communicate(b"finalized\n")

    def _answer(self, request):
        try:
            return pb_utils.InferenceResponse(self._run(request))
        except _INVALID as error:
            return _failure(error, pb_utils.TritonError.INVALID_ARG)
        except Exception as error:  # noqa: BLE001 - a request that fails must not end the process
            return _failure(error, pb_utils.TritonError.INTERNAL)

    def _run(self, request):
        # DLPack both ways: nothing is copied here. as_numpy() and Tensor(name, array) were built for numpy 1;
        # with numpy 2 they give, without a word, strides of 0 and tensors of no bytes.
        feeds = {name: np.from_dlpack(pb_utils.get_input_tensor_by_name(request, name)) for name in self._inputs}
        names = list(request.requested_output_names())
        results = self._session.run(names, feeds)
        return [_tensor(name, array) for name, array in zip(names, results, strict=True)]


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20  # glibc takes no larger one
_KEPT = 256 << 20


def _keep_freed_memory():
    """Have glibc give a result's memory to the next result, and not to the kernel in between.

    It maps what is large anew each time, and each page of it then costs a fault: for a batch of 640x360 that
    was half of this process's time.
    """
    with contextlib.suppress(AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)


_NEW_COPY = 85  # PyArray_NewCopy's place in the table of NumPy's C interface, the same since 1.0


def _spare_copies():
    """Have Triton's own NumPy arrays be views.

    For every tensor that comes or goes it makes an array for `as_numpy()`, which nobody calls here, and has NumPy copy
    it: a fifth of the way through Triton. It looks the functions up once, with its first tensor, and finds one here
    that gives the array it was given.
    """
    with contextlib.suppress(AttributeError, ImportError, ValueError):  # another NumPy, or another Python
        table = _pointer(np._core.multiarray._ARRAY_API, None)
        entry = ctypes.c_void_p.from_address(table + _NEW_COPY * ctypes.sizeof(ctypes.c_void_p))
        copy, entry.value = entry.value, ctypes.cast(ctypes.pythonapi.Py_NewRef, ctypes.c_void_p).value
        try:
            _tensor("first", np.zeros(1, np.uint8))
        finally:
            entry.value = copy


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.argtypes, _pointer.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p


def _end_server_without_me():
    """A shell that ends the server when this process dies without having been finalized.

    The server does not notice such a death: it would call itself ready and fail every request from then on.
    Whoever supervises it starts it anew.
    """
    script = 'read _ || { read name <"/proc/$0/comm" && [ "$name" = tritonserver ] && kill -TERM "$0"; }'
    argv = ["/bin/sh", "-c", script, str(os.getppid())]
    return subprocess.Popen(argv, stdin=subprocess.PIPE)  # noqa: S603 - nothing in it comes from outside


_INVALID = (ort.capi.onnxruntime_pybind11_state.InvalidArgument,)


def _tensor(name, array):
    capsule = array.__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    # Triton marks the capsule it has taken with a name of its own; numpy knows only the standard's, and would
    # complain in the log about every single one
    _rename_capsule(capsule, b"used_dltensor")
    return tensor


_rename_capsule = ctypes.pythonapi.PyCapsule_SetName
_rename_capsule.argtypes = [ctypes.py_object, ctypes.c_char_p]


def _failure(error, code):
    return pb_utils.InferenceResponse([], pb_utils.TritonError(f"{type(error).__name__}: {error}", code))


def _session_options(config):
    options = ort.SessionOptions()
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = _GRAPH_LEVELS[level]
    options.intra_op_num_threads = _parameter(config, "intra_op_thread_count", 0) or _fair_share(config)
    options.inter_op_num_threads = _parameter(config, "inter_op_thread_count", 1)
    if _parameter(config, "execution_mode", 0) == 1:
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = bool(_parameter(config, "enable_mem_arena", 1))
    options.enable_mem_pattern = bool(_parameter(config, "enable_mem_pattern", 1))
    # threads that spin while they wait take the cores that decode and encode
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _parameter(config, name, default):
    value = config.get("parameters", {}).get(name, {}).get("string_value", "")
    try:
        return int(value) if value else default
    except ValueError:
        raise pb_utils.TritonModelException(f"parameter {name} must be a whole number, not {value!r}") from None


def _fair_share(config):
    instances = sum(int(group.get("count", 1)) for group in config.get("instance_group", [])) or 1
    return max(1, len(os.sched_getaffinity(0)) // instances)


def _providers(kind, args):
    if kind == "GPU" and "CUDAExecutionProvider" in ort.get_available_providers():
        return [("CUDAExecutionProvider", {"device_id": args["model_instance_device_id"]}), "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]
