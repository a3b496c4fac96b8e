"""From what PyAV and FFmpeg raise to one typed line.

Decoding strangers' files raises more than `av.FFmpegError`: UnicodeDecodeError from metadata,
IndexError from side data, MemoryError from sizes. All of it ends here.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

import av

from coordinator.flow import Aborted
from framewire.errors import ErrorCode, FramewireError, MediaError, WorkerError

CONTAINERS = "MP4, MOV, AVI, MKV or WebM"


@contextlib.contextmanager
def reading(action: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into MediaError; `action` completes "could not ...". Our own errors pass."""
    try:
        yield
    except (FramewireError, Aborted):
        raise
    except MemoryError as error:
        raise _too_large() from error
    except av.error.DecoderNotFoundError as error:
        raise unsupported_codec("") from error
    except (av.error.PatchWelcomeError, av.error.NotImplementedError) as error:
        raise MediaError(
            f"could not {action}: it uses a feature that is not supported here; convert it to H.264 in MP4",
            code=ErrorCode.MEDIA_UNSUPPORTED_CODEC,
        ) from error
    except Exception as error:
        raise MediaError(
            f"could not {action}: {reason(error)}; check that it plays and is {CONTAINERS}, or export it again"
        ) from error


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Turn whatever goes wrong inside into WorkerError (INTERNAL, retryable); errors of our own pass, and Aborted."""
    try:
        yield
    except (FramewireError, Aborted):
        raise
    except MemoryError as error:
        raise _too_large() from error
    except Exception as error:
        if getattr(error, "errno", None) == errno.EFBIG:
            raise WorkerError(
                "the result grows larger than any job's may; cut the film or raise crf", code=ErrorCode.OUTPUT_TOO_LARGE
            ) from error
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        hint = "; free space in the scratch folder" if full else ""
        raise WorkerError(
            f"could not write the result: {reason(error)}{hint}", code=ErrorCode.INTERNAL, retryable=True
        ) from error


def unsupported_codec(codec: str) -> MediaError:
    """The video track cannot be decoded here."""
    name = f" ({codec})" if codec else ""
    return MediaError(
        f"the video codec{name} cannot be decoded here; convert the file to H.264 in MP4",
        code=ErrorCode.MEDIA_UNSUPPORTED_CODEC,
    )


def truncated(frames: int) -> MediaError:
    """The file breaks off before anything of use; `frames` could be read."""
    return MediaError(
        f"the file breaks off: {frames} frames could be read; copy or upload it again, the end is missing",
        code=ErrorCode.MEDIA_TRUNCATED,
    )


def reason(error: BaseException) -> str:
    """What went wrong in a few words, on one line, without a path of this machine."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]


def _too_large() -> MediaError:
    return MediaError(
        "this file needs more memory than a job may use; scale the picture down first", code=ErrorCode.MEDIA_TOO_LARGE
    )
