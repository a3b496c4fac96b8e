"""Every error Framewire raises on purpose.

    FramewireError              code, message, retryable
    ├── InvalidRequest          what was asked cannot be done; asking again will not help
    ├── NotFound                it does not exist, or not for you
    ├── Conflict                it exists, but not in a state that allows this
    ├── MediaError              the input's bytes are the problem
    ├── StepError               a step cannot be applied to this input or by this model
    ├── Unavailable             a server did not answer; retryable
    │   └── TooMuch             it answers, but not to so many calls; later
    ├── WorkerError             the machinery failed while a job ran
    └── LocalError              this machine or this command line, not a server

An error carries its policy (`retryable`) and a stable `code`; how codes look on a wire
is decided at the edge (gateway/errors.py), nowhere else.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class ErrorCode(enum.StrEnum):
    """Stable codes a client can see. The comment behind a member is its documentation (docs/errors.md)."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"  # A field breaks its rule; the violations name it.
    NOT_FOUND = "NOT_FOUND"  # No such address or method.
    UNIMPLEMENTED = "UNIMPLEMENTED"  # The server does not know this method.
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"  # The address is known, but not with this HTTP method.
    RATE_LIMITED = "RATE_LIMITED"  # This caller asks too often or has too many streams open; `Retry-After` says when.
    OVERLOADED = "OVERLOADED"  # The gateway has too much to do; `Retry-After` says when to come back.
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"  # The page token was not made by this list.  # noqa: S105 - a code, not a secret
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"  # The key was used before with another request.
    ASSET_NOT_FOUND = "ASSET_NOT_FOUND"  # No such asset in this workspace.
    ASSET_NOT_READY = "ASSET_NOT_READY"  # The asset's upload is not complete.
    ASSET_IN_USE = "ASSET_IN_USE"  # A job that has not ended needs the asset.
    UPLOAD_MISSING = "UPLOAD_MISSING"  # Completed, but no bytes were sent.
    UPLOAD_SIZE_MISMATCH = "UPLOAD_SIZE_MISMATCH"  # Another number of bytes arrived than was declared.
    UPLOAD_HASH_MISMATCH = "UPLOAD_HASH_MISMATCH"  # Other bytes arrived than were declared.
    UPLOAD_INCOMPLETE = "UPLOAD_INCOMPLETE"  # Completed, but parts are missing; the message names them.
    UPLOAD_OFFSET_MISMATCH = "UPLOAD_OFFSET_MISMATCH"  # The upload stands at another offset; go on there.
    UPLOAD_CHECKSUM_MISMATCH = "UPLOAD_CHECKSUM_MISMATCH"  # These bytes were damaged on the way; send them again.
    UPLOAD_BUSY = "UPLOAD_BUSY"  # Somebody else is sending this upload's bytes.
    UPLOAD_TOO_LARGE = "UPLOAD_TOO_LARGE"  # More bytes than were declared, or than an upload may have.
    UPLOAD_TYPE_UNSUPPORTED = "UPLOAD_TYPE_UNSUPPORTED"  # The bytes are no video, picture or sound that is taken.
    UPLOAD_EXPIRED = "UPLOAD_EXPIRED"  # The upload was not finished in time; its bytes are deleted.
    UPLOAD_ENDED = "UPLOAD_ENDED"  # The asset is READY; nothing more can be sent.
    PROBE_UNAVAILABLE = "PROBE_UNAVAILABLE"  # What looks into uploads does not work on the server.
    ESTIMATE_UNAVAILABLE = "ESTIMATE_UNAVAILABLE"  # Estimates do not work on the server.
    JOB_NOT_FOUND = "JOB_NOT_FOUND"  # No such job in this workspace.
    JOB_NOT_FAILED = "JOB_NOT_FAILED"  # Only a job that has failed can be retried.
    PLAYLIST_NOT_READY = "PLAYLIST_NOT_READY"  # Nothing of the result can be watched yet; ask again.
    PLAYLIST_GONE = "PLAYLIST_GONE"  # The job has ended, and its parts are gone: watch its result.
    THUMBNAIL_NOT_FOUND = "THUMBNAIL_NOT_FOUND"  # There is no small picture of this asset.
    DEAD_LETTER_NOT_FOUND = "DEAD_LETTER_NOT_FOUND"  # No such dead letter; it may have been redriven or dropped.
    DEAD_LETTER_UNUSABLE = "DEAD_LETTER_UNUSABLE"  # The letter names no job that could be done; drop it.
    STEP_UNKNOWN = "STEP_UNKNOWN"  # No such step in the catalogue.
    STEP_INVALID = "STEP_INVALID"  # The step's parameters do not fit the step, its model or the input.
    CUT_NO_AUDIO = "CUT_NO_AUDIO"  # There is no sound to find silence in; detect by motion instead.
    CUT_NOTHING_LEFT = "CUT_NOTHING_LEFT"  # All of the film would be cut; the message says what to change.
    MODEL_UNKNOWN = "MODEL_UNKNOWN"  # No worker serves a model of this name.
    MEDIA_UNREADABLE = "MEDIA_UNREADABLE"  # The file is not media, or too broken to open.
    MEDIA_NO_VIDEO = "MEDIA_NO_VIDEO"  # The file has no video track.
    MEDIA_UNSUPPORTED_CODEC = "MEDIA_UNSUPPORTED_CODEC"  # The video codec cannot be decoded here.
    MEDIA_TOO_LARGE = "MEDIA_TOO_LARGE"  # Picture size, length or file size is over the limit.
    MEDIA_TRUNCATED = "MEDIA_TRUNCATED"  # The file breaks off; the message says what could be saved.
    OUTPUT_TOO_LARGE = "OUTPUT_TOO_LARGE"  # The result would be larger than was asked for or is allowed.
    OUTPUT_TOO_LONG = "OUTPUT_TOO_LONG"  # The result would be longer than was asked for.
    MODEL_INVALID = "MODEL_INVALID"  # A model's files or its contract are not what they have to be.
    MODEL_TOO_LARGE = "MODEL_TOO_LARGE"  # The model needs more memory than models may use here.
    INFERENCE_FAILED = "INFERENCE_FAILED"  # The model server refused or failed a batch.
    INFERENCE_UNAVAILABLE = "INFERENCE_UNAVAILABLE"  # The model server cannot be reached.
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"  # The object store cannot be reached or failed.
    OBJECT_NOT_FOUND = "OBJECT_NOT_FOUND"  # The bytes are no longer in the object store.
    BUS_UNAVAILABLE = "BUS_UNAVAILABLE"  # NATS cannot be reached or refused a message.
    DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE"  # The database cannot be reached.
    RUNNER_CRASHED = "RUNNER_CRASHED"  # The process that ran the job died.
    ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"  # The last allowed attempt did not finish.
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"  # It took longer than allowed.
    CANCELLED = "CANCELLED"  # Somebody asked for it to stop.
    SERVER_UNREACHABLE = "SERVER_UNREACHABLE"  # No gateway answers at this address.
    SERVER_STOPPING = "SERVER_STOPPING"  # The gateway is shutting down; connect again.
    FILE_NOT_FOUND = "FILE_NOT_FOUND"  # No such file on this machine.
    FILE_UNWRITABLE = "FILE_UNWRITABLE"  # The result cannot be written to this path.
    STACK_NOT_RUNNING = "STACK_NOT_RUNNING"  # No local stack runs in this data folder.
    STACK_ALREADY_RUNNING = "STACK_ALREADY_RUNNING"  # A local stack runs in this data folder.
    STACK_START_FAILED = "STACK_START_FAILED"  # A server of the local stack did not come up.
    TOOL_MISSING = "TOOL_MISSING"  # A program this machine needs is not installed.
    CONFIG_INVALID = "CONFIG_INVALID"  # A setting is missing or makes no sense.
    INTERNAL = "INTERNAL"  # A fault of Framewire's own; the request id finds it in the logs.


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule of a request: the field's path as in JSON (`steps[0].enhance.scale`) and what is wrong."""

    field: str
    description: str


class FramewireError(Exception):
    """Base of all errors raised on purpose.

    `message` is one line for people and says what to do; `retryable` says whether the
    same call may succeed later without anybody changing anything.
    """

    default_code: ErrorCode = ErrorCode.INTERNAL
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode | None = None,
        retryable: bool | None = None,
        violations: Sequence[Violation] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.violations = tuple(violations)
        if retryable is not None:
            self.retryable = retryable


class InvalidRequest(FramewireError):
    """What was asked cannot be done; asking again will not help."""

    default_code = ErrorCode.INVALID_ARGUMENT


class NotFound(FramewireError):
    """It does not exist, or not for you."""

    default_code = ErrorCode.NOT_FOUND


class Conflict(FramewireError):
    """It exists, but not in a state that allows this."""

    default_code = ErrorCode.INVALID_ARGUMENT


class MediaError(FramewireError):
    """The input's bytes are the problem."""

    default_code = ErrorCode.MEDIA_UNREADABLE


class StepError(FramewireError):
    """A step cannot be applied to this input or by this model."""

    default_code = ErrorCode.STEP_INVALID


class Unavailable(FramewireError):
    """A server did not answer; the same call may succeed later."""

    default_code = ErrorCode.INTERNAL
    retryable = True


class TooMuch(Unavailable):
    """More than this caller, or all of them together, may ask for now. `retry_after` is in seconds."""

    default_code = ErrorCode.OVERLOADED

    def __init__(self, message: str, *, code: ErrorCode, retry_after: float) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class WorkerError(FramewireError):
    """The machinery failed while a job ran."""

    default_code = ErrorCode.RUNNER_CRASHED


class LocalError(FramewireError):
    """Something about this machine or this command line, not about a server."""

    default_code = ErrorCode.CONFIG_INVALID
