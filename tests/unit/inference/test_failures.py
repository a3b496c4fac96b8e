"""What failed calls to Triton mean."""

from __future__ import annotations

import grpc
import pytest

from coordinator.inference.failures import from_rpc
from framewire.errors import ErrorCode


class Failure(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


@pytest.mark.parametrize(
    ("code", "details", "expected", "retryable"),
    [
        (grpc.StatusCode.UNAVAILABLE, "connection refused", ErrorCode.INFERENCE_UNAVAILABLE, True),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", ErrorCode.INFERENCE_UNAVAILABLE, True),
        (
            grpc.StatusCode.INVALID_ARGUMENT,
            "Unable to find shared memory region: 'x'",
            ErrorCode.INFERENCE_UNAVAILABLE,
            True,
        ),
        (grpc.StatusCode.INTERNAL, "Stub process 'm_0_0' is not healthy.", ErrorCode.INFERENCE_UNAVAILABLE, True),
        (grpc.StatusCode.UNAVAILABLE, "This protocol is restricted, ...", ErrorCode.INFERENCE_FAILED, False),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'm' is not found", ErrorCode.MODEL_UNKNOWN, False),
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape", ErrorCode.INFERENCE_FAILED, False),
        (grpc.StatusCode.INTERNAL, "RuntimeException: out of memory", ErrorCode.INFERENCE_FAILED, False),
    ],
)
def test_failures_say_whether_another_try_helps(
    code: grpc.StatusCode, details: str, expected: ErrorCode, retryable: bool
) -> None:
    error = from_rpc(Failure(code, details))
    assert (error.code, error.retryable) == (expected, retryable)
    assert "\n" not in error.message
