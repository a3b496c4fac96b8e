"""Errors of the wire, turned back into the errors they were on the server: same code, same message."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import grpc
from google.rpc import error_details_pb2, status_pb2

from framewire.errors import (
    Conflict,
    ErrorCode,
    FramewireError,
    InvalidRequest,
    NotFound,
    Unavailable,
    Violation,
)
from framewire.v1.job_pb2 import Error

DOMAIN = "framewire"
_DETAILS = "grpc-status-details-bin"

_KINDS: Mapping[grpc.StatusCode, type[FramewireError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
}

# What a status means when whoever sent it was no gateway of ours, or nobody sent it.
_BARE: Mapping[grpc.StatusCode, ErrorCode] = {
    grpc.StatusCode.INVALID_ARGUMENT: ErrorCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND: ErrorCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED: ErrorCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAVAILABLE: ErrorCode.SERVER_UNREACHABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: ErrorCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED: ErrorCode.CANCELLED,
}


@contextlib.contextmanager
def typed_errors(server: str) -> Iterator[None]:
    """Raise FramewireError for what gRPC raises inside. `server` is named when it cannot be reached."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error, server) from error


def from_rpc(error: grpc.aio.AioRpcError, server: str) -> FramewireError:
    """The error the server raised, or the one that says why there was no answer."""
    status = _status(error)
    kind = _KINDS.get(error.code(), FramewireError)
    if status is None:
        return kind(_bare_message(error, server), code=_BARE.get(error.code(), ErrorCode.INTERNAL))
    info, violations = _details(status)
    return kind(
        status.message,
        code=_code(info.reason) or _BARE.get(error.code(), ErrorCode.INTERNAL),
        retryable=info.metadata["retryable"] == "true" if "retryable" in info.metadata else None,
        violations=violations,
    )


def from_job(error: Error) -> FramewireError:
    """The error a job failed with."""
    return FramewireError(error.message, code=_code(error.code) or ErrorCode.INTERNAL)


def _status(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS and isinstance(value, bytes):
            with contextlib.suppress(ValueError):  # DecodeError is one
                return status_pb2.Status.FromString(value)
    return None


def _details(status: status_pb2.Status) -> tuple[error_details_pb2.ErrorInfo, list[Violation]]:
    info, blamed = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(blamed)
    if info.domain != DOMAIN:
        info.Clear()
    return info, [Violation(each.field, each.description) for each in blamed.field_violations]


def _code(reason: str) -> ErrorCode | None:
    """The code; None for one that this client is too old to know."""
    return ErrorCode(reason) if reason in ErrorCode.__members__ else None


def _bare_message(error: grpc.aio.AioRpcError, server: str) -> str:
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return f"no gateway answers at {server}"
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{server} did not answer in time"
    said = " ".join((error.details() or "no reason given").split())
    return f"{server} answered {error.code().name}: {said}"
