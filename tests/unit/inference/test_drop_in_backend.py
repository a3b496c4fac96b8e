"""The drop-in backend beside what Triton's stub does with NumPy, as the stub was seen to do it; no server."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from framewire.stack.triton import DROP_INS


class Stub(ModuleType):
    """Triton's module for backends: looks NumPy's functions up with its first tensor, and copies every one."""

    def __init__(self) -> None:
        super().__init__("triton_python_backend_utils")
        self.copies: list[Any] = []
        self._copy: Any = None
        self.Tensor = SimpleNamespace(from_dlpack=self._tensor)

    def _tensor(self, name: str, capsule: object) -> str:
        self._copy = self._copy or new_copy()
        array = np.arange(4, dtype=np.uint8)
        self.copies.append((array, self._copy(array, -1)))
        return name


def new_copy() -> Any:
    """PyArray_NewCopy as the table of NumPy's C interface has it now."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.argtypes, pointer.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
    table = pointer(import_module("numpy._core.multiarray")._ARRAY_API, None)
    address = ctypes.c_void_p.from_address(table + 85 * ctypes.sizeof(ctypes.c_void_p)).value
    assert address
    return ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.c_int)(address)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub = Stub()
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    return stub


@pytest.fixture
def backend(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("drop_in_backend", DROP_INS / "onnxruntime" / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "_rename_capsule", lambda capsule, name: 0)
    return module


def test_the_stub_makes_views_of_all_its_tensors_and_everybody_else_copies(backend: Any, stub: Stub) -> None:
    backend._spare_copies()
    backend._tensor("second", np.zeros(1, np.uint8))
    assert len(stub.copies) == 2
    assert all(made is given for given, made in stub.copies)
    given = np.arange(4, dtype=np.uint8)
    made = new_copy()(given, -1)
    assert made is not given
    assert np.array_equal(made, given)


def test_a_stub_that_fails_leaves_numpy_as_it_was(backend: Any, stub: Stub) -> None:
    def fail(name: str, capsule: object) -> None:
        raise ValueError("no such tensor")

    stub.Tensor.from_dlpack = fail
    backend._spare_copies()
    given = np.arange(4, dtype=np.uint8)
    assert new_copy()(given, -1) is not given


def test_another_numpy_is_left_alone(backend: Any, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.np, "_core", None)
    backend._spare_copies()
    assert stub.copies == []
