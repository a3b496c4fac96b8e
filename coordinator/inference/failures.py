"""What a failed call to Triton means."""

from __future__ import annotations

import grpc

from framewire.errors import ErrorCode, FramewireError, StepError, Unavailable, WorkerError

_LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)

# Triton gives these no code of their own. All of them come when it, or a process of it, was restarted meanwhile.
_RESTARTED = ("unable to find shared memory region", "stub process")
_RESTRICTED = "protocol is restricted"
_UNKNOWN_MODEL = "unknown model"


def from_rpc(error: grpc.RpcError) -> FramewireError:
    """Unavailable when the same call may succeed later, StepError for an unknown model, WorkerError for the rest."""
    code, details = error.code(), error.details() or ""
    said = details.lower()
    if _RESTRICTED in said:  # comes as UNAVAILABLE, but waiting does not help
        return failed("Triton does not accept FRAMEWIRE_TRITON_KEY")
    if code in _LOST or any(text in said for text in _RESTARTED):
        return Unavailable(f"Triton does not answer ({_name(code)}: {details})", code=ErrorCode.INFERENCE_UNAVAILABLE)
    if _UNKNOWN_MODEL in said:
        return StepError(f"Triton: {details}", code=ErrorCode.MODEL_UNKNOWN)
    return failed(f"Triton refused a request ({_name(code)}: {details})")


def failed(message: str) -> WorkerError:
    """The error for what will fail again."""
    return WorkerError(message, code=ErrorCode.INFERENCE_FAILED)


def _name(code: grpc.StatusCode | None) -> str:
    return code.name if code else "UNKNOWN"
