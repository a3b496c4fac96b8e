"""Reading weights from files nobody vouches for: tensors and plain values, never code."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from exporters.errors import ExportFailed

SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors")
_MAX_BYTES = 8 << 30


def read_weights(path: Path) -> dict[str, Any]:
    """The file's state dict, as it lies in the file.

    Raises ExportFailed for a file that is missing, broken or of another type, and for one that would have to run
    code to be read: a pickle is read with torch's weights-only unpickler, which knows tensors and plain values alone.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ExportFailed(f"{path} is no checkpoint: its name ends in none of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ExportFailed(f"there is no file {path}")
    if path.stat().st_size > _MAX_BYTES:
        raise ExportFailed(f"{path} is larger than {_MAX_BYTES >> 30} GiB")
    weights = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_pickle(path)
    if not isinstance(weights, dict) or not weights:
        raise ExportFailed(f"{path} holds no weights")
    return weights


def _read_safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ExportFailed(f"{path} is broken: {_line(error)}") from error


def _read_pickle(path: Path) -> Any:
    if _is_torchscript(path):
        raise ExportFailed(f"{path} is refused: it holds code, not only weights (it is a TorchScript archive)")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if _names_code(str(error)):
            raise ExportFailed(f"{path} is refused: it holds code, not only weights ({_global_of(error)})") from error
        raise ExportFailed(f"{path} is broken, or no checkpoint: torch cannot read it") from error
    # a broken file makes the unpickler fail in any way there is
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError,
            AssertionError, MemoryError, UnicodeDecodeError, OverflowError, zipfile.BadZipFile) as error:  # fmt: skip
        raise ExportFailed(f"{path} is broken: {_line(error)}") from error


def _is_torchscript(path: Path) -> bool:
    """Whether it is a program and not a checkpoint: then torch would hand it to another reader, which warns."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False


def _names_code(message: str) -> bool:
    return "Unsupported global" in message or "GLOBAL" in message or "Unsupported class" in message


def _global_of(error: Exception) -> str:
    words = str(error).partition("GLOBAL ")[2].split()
    return f"it asks for {words[0]}" if words else _line(error)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
