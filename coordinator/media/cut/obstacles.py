"""Why a film cannot be cut by copying: the whole of it is encoded again then, and this is said."""

from __future__ import annotations

from enum import StrEnum

from framewire.errors import ErrorCode, MediaError


class Obstacle(StrEnum):
    """One reason, in words that complete "the whole film was encoded again: ..."."""

    CODEC = "only H.264 and HEVC can be cut without that"
    FORM = "its pictures are not stored as MP4 stores them"
    FIELDS = "its pictures are or may be interlaced"
    OPEN_GOPS = "its groups of pictures are open: pictures need others of the group before"
    LAYERS = "its pictures have layers that are not written here: a second view, Dolby Vision"
    NO_KEY_FRAMES = "it has no key frames that decoding can begin at"
    FAR_KEY_FRAMES = "its key frames are too far apart"
    PARAMETERS = "its description changes on the way"
    EDIT_LIST = "its own edit list hides pictures in the middle"
    TIME_STAMPS = "its time stamps make no sense"
    DAMAGED = "a picture beside a cut could not be decoded"
    NO_ENCODER = "no encoder here writes pictures like its own"
    SPEED = "parts of it run at another speed"
    PROOF = "the result was not what it had to be"


class CannotCopy(MediaError):
    """This film has to be encoded again."""

    default_code = ErrorCode.MEDIA_UNSUPPORTED_CODEC

    def __init__(self, obstacle: Obstacle, detail: str = "") -> None:
        """`detail`: for the log, where the obstacle was met."""
        super().__init__(f"{obstacle}{f' ({detail})' if detail else ''}")
        self.obstacle = obstacle
