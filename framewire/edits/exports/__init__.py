"""A cut list for other programs: pure functions from an edit list and a film's facts to a file's bytes."""

from framewire.edits.exports.formats import FORMATS, ExportFormat, export, export_format
from framewire.edits.exports.source import SourceFilm

__all__ = ["FORMATS", "ExportFormat", "SourceFilm", "export", "export_format"]
