"""A cut list for other programs: pure functions from an edit list and a film's facts to a file's bytes."""

from framewire.edits.exports.answer import cut_exports, film_of
from framewire.edits.exports.formats import FORMATS, ExportFormat, export, export_format
from framewire.edits.exports.source import SourceFilm

__all__ = ["FORMATS", "ExportFormat", "SourceFilm", "cut_exports", "export", "export_format", "film_of"]
