"""The exports of an estimate's answer."""

from __future__ import annotations

from collections.abc import Sequence

from framewire.edits.edit_list import EditList
from framewire.edits.exports.formats import FORMATS, export
from framewire.edits.exports.source import SourceFilm
from framewire.edits.wire import cut_list_from_proto
from framewire.errors import InvalidRequest, MediaError
from framewire.v1.asset_pb2 import MediaInfo
from framewire.v1.job_pb2 import CutExport, CutFormat
from framewire.v1.step_pb2 import CutList

MOST_BYTES = 3 << 20
"""Of all exports of an answer: clients of gRPC take messages of 4 MiB."""


def cut_exports(
    cuts: CutList, media: MediaInfo, filename: str, formats: Sequence[CutFormat.ValueType]
) -> list[CutExport]:
    """What is kept of the film called `filename`, written in each of these formats, in their order.

    Raises InvalidRequest where a format cannot say it or the files are too large for an answer, MediaError for a film
    without a length or a rate, LocalError (TOOL_MISSING) for OpenTimelineIO where that is not installed.
    """
    if not formats:
        return []
    film, edits = film_of(media, filename), cut_list_from_proto(cuts)
    by_number = {each.wire: each.name for each in FORMATS.values()}
    exports = [_one(edits, film, by_number[number]) for number in formats]
    if sum(len(each.data) for each in exports) > MOST_BYTES:
        raise InvalidRequest(
            f"a list of {len(edits.spans)} parts is too long to be answered in these formats; ask for fewer at once, "
            "or have `framewire estimate --export` write them"
        )
    return exports


def film_of(media: MediaInfo, path: str) -> SourceFilm:
    """The film at this path. Raises MediaError when its facts are too few to count it in frames."""
    try:
        return SourceFilm.from_media(media, path)
    except ValueError:
        raise MediaError(
            "the film does not say how long and how fast it is, so that no cut list can count it"
        ) from None


def _one(edits: EditList, film: SourceFilm, name: str) -> CutExport:
    chosen = FORMATS[name]
    data = export(edits, film, name)
    return CutExport(
        format=chosen.wire, filename=f"{film.title}{chosen.ending}", media_type=chosen.media_type, data=data
    )
