"""How errors look on the wires. The one place where a code becomes a gRPC status and an HTTP status.

    FramewireError.code --STATUSES--> grpc.StatusCode --HTTP--> HTTP status

The HTTP column is Google's canonical mapping (google/rpc/code.proto).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from types import TracebackType

import grpc
from google.rpc import error_details_pb2, status_pb2

from framewire.errors import ErrorCode, FramewireError

DOMAIN = "framewire"

STATUSES: Mapping[ErrorCode, grpc.StatusCode] = {
    ErrorCode.INVALID_ARGUMENT: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorCode.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorCode.UNIMPLEMENTED: grpc.StatusCode.UNIMPLEMENTED,
    ErrorCode.METHOD_NOT_ALLOWED: grpc.StatusCode.UNIMPLEMENTED,
    ErrorCode.RATE_LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.OVERLOADED: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.PAGE_TOKEN_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorCode.IDEMPOTENCY_KEY_REUSED: grpc.StatusCode.ALREADY_EXISTS,
    ErrorCode.ASSET_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorCode.ASSET_NOT_READY: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.ASSET_IN_USE: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.UPLOAD_MISSING: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.UPLOAD_SIZE_MISMATCH: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.UPLOAD_HASH_MISMATCH: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.UPLOAD_INCOMPLETE: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.UPLOAD_OFFSET_MISMATCH: grpc.StatusCode.ABORTED,
    ErrorCode.UPLOAD_CHECKSUM_MISMATCH: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.UPLOAD_BUSY: grpc.StatusCode.ABORTED,
    ErrorCode.UPLOAD_TOO_LARGE: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorCode.UPLOAD_TYPE_UNSUPPORTED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.UPLOAD_EXPIRED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.UPLOAD_ENDED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.PROBE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.ESTIMATE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.JOB_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorCode.JOB_NOT_FAILED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.PLAYLIST_NOT_READY: grpc.StatusCode.NOT_FOUND,
    ErrorCode.PLAYLIST_GONE: grpc.StatusCode.NOT_FOUND,
    ErrorCode.THUMBNAIL_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorCode.DEAD_LETTER_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorCode.DEAD_LETTER_UNUSABLE: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.STEP_UNKNOWN: grpc.StatusCode.NOT_FOUND,
    ErrorCode.STEP_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorCode.CUT_NO_AUDIO: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.CUT_NOTHING_LEFT: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.MODEL_UNKNOWN: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorCode.MEDIA_UNREADABLE: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.MEDIA_NO_VIDEO: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.MEDIA_UNSUPPORTED_CODEC: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.MEDIA_TOO_LARGE: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.MEDIA_TRUNCATED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.OUTPUT_TOO_LARGE: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.OUTPUT_TOO_LONG: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.MODEL_INVALID: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.MODEL_TOO_LARGE: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.INFERENCE_FAILED: grpc.StatusCode.INTERNAL,
    ErrorCode.INFERENCE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.STORE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.OBJECT_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorCode.BUS_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.DATABASE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.RUNNER_CRASHED: grpc.StatusCode.INTERNAL,
    ErrorCode.ATTEMPTS_EXHAUSTED: grpc.StatusCode.ABORTED,
    ErrorCode.DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
    ErrorCode.CANCELLED: grpc.StatusCode.CANCELLED,
    ErrorCode.SERVER_UNREACHABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.SERVER_STOPPING: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.FILE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorCode.FILE_UNWRITABLE: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.STACK_NOT_RUNNING: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.STACK_ALREADY_RUNNING: grpc.StatusCode.ALREADY_EXISTS,
    ErrorCode.STACK_START_FAILED: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.TOOL_MISSING: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.CONFIG_INVALID: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.INTERNAL: grpc.StatusCode.INTERNAL,
}

HTTP: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}

HTTP_ONLY: Mapping[ErrorCode, int] = {
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.UPLOAD_BUSY: 423,
    ErrorCode.UPLOAD_TOO_LARGE: 413,
    ErrorCode.UPLOAD_CHECKSUM_MISMATCH: 460,  # tus's own
}
"""What HTTP has a status of its own for."""
_PAUSE = 1.0  # seconds after which a call that may succeed later is to be tried again
log = logging.getLogger(__name__)


def grpc_status(error: FramewireError) -> grpc.StatusCode:
    """The error's status on gRPC."""
    return STATUSES.get(error.code, grpc.StatusCode.INTERNAL)


def http_status(error: FramewireError) -> int:
    """The error's status on HTTP."""
    return HTTP_ONLY.get(error.code) or HTTP[grpc_status(error)]


def retry_after(error: FramewireError) -> float | None:
    """Seconds after which the same call may succeed; None when it never will."""
    return getattr(error, "retry_after", _PAUSE) if error.retryable else None


def to_status(error: FramewireError, request_id: str) -> status_pb2.Status:
    """The error as both wires carry it: ErrorInfo with the code, RequestInfo, RetryInfo, BadRequest."""
    number: int = grpc_status(error).value[0]
    status = status_pb2.Status(code=number, message=error.message)
    info = error_details_pb2.ErrorInfo(
        reason=error.code, domain=DOMAIN, metadata={"retryable": str(error.retryable).lower()}
    )
    status.details.add().Pack(info)
    status.details.add().Pack(error_details_pb2.RequestInfo(request_id=request_id))
    if (pause := retry_after(error)) is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(math.ceil(pause * 1000))
        status.details.add().Pack(retry)
    if error.violations:
        fields = [{"field": each.field, "description": each.description} for each in error.violations]
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=fields))
    return status


def typed(error: Exception, request_id: str) -> FramewireError:
    """A typed error as it is; anything else is logged with its traceback and becomes INTERNAL, without details."""
    if isinstance(error, FramewireError):
        return error
    log.error("unexpected error", exc_info=error)
    return FramewireError(f"internal error; the gateway's log has more under request id {request_id}")


class only_typed:  # noqa: N801 - used like a function
    """Let only typed errors out of a block. A class: this is around every call."""

    __slots__ = ("_request_id",)

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Raise what is to leave instead."""
        if isinstance(error, Exception) and not isinstance(error, FramewireError):
            raise typed(error, self._request_id) from error
