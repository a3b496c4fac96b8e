"""Cuts as FCPXML 1.10: Final Cut Pro, DaVinci Resolve and others open it."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import PurePath
from urllib.parse import quote
from xml.etree import ElementTree as ET

from framewire.edits.edit_list import WHOLE, EditList
from framewire.edits.exports.frames import FrameSpan, on_frames
from framewire.edits.exports.source import SourceFilm
from framewire.edits.exports.timecode import is_drop_frame

_SILENCE_DB = -96
"""What the format's volume calls silence."""
_RATES = {32000: "32k", 44100: "44.1k", 48000: "48k", 88200: "88.2k", 96000: "96k", 176400: "176.4k", 192000: "192k"}
_LAYOUTS = {1: "mono", 2: "stereo"}
_UNPRINTABLE = dict.fromkeys((*range(9), 11, 12, *range(14, 32)), "_")


def fcpxml(edits: EditList, film: SourceFilm) -> bytes:
    """One `asset-clip` a kept part, end to end; a speed is a `timeMap`, a volume an `adjust-volume`.

    All times are whole frames as rational seconds, so that every edit is on a frame's edge.
    """
    root = ET.Element("fcpxml", version="1.10")
    _resources(ET.SubElement(root, "resources"), film)
    spans = on_frames(edits, film)
    name = _text(film.title)
    event = ET.SubElement(ET.SubElement(root, "library"), "event", name=name)
    sequence = ET.SubElement(ET.SubElement(event, "project", name=name), "sequence", _sequence(spans, film))
    spine = ET.SubElement(sequence, "spine")
    for span in spans:
        _clip(spine, span, film)
    ET.indent(root)
    written = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{written}\n'.encode()


def _resources(resources: ET.Element, film: SourceFilm) -> None:
    size = {"width": str(film.width), "height": str(film.height)}
    ET.SubElement(resources, "format", {"id": "r1", "frameDuration": _time(1, film), **size})
    facts = {"id": "r2", "name": _text(film.title), "start": "0s", "duration": _time(film.frames, film)}
    facts |= {"hasVideo": "1", "format": "r1"}
    if film.has_sound:
        facts |= {"hasAudio": "1", "audioSources": "1"}
        facts |= {"audioChannels": str(film.channels), "audioRate": str(film.sample_rate)}
    asset = ET.SubElement(resources, "asset", facts)
    ET.SubElement(asset, "media-rep", kind="original-media", src=_url(film.path))


def _sequence(spans: list[FrameSpan], film: SourceFilm) -> dict[str, str]:
    facts = {"format": "r1", "tcStart": "0s", "tcFormat": _counting(film)}
    facts["duration"] = _time(spans[-1].ends if spans else 0, film)
    if film.has_sound:
        facts["audioLayout"] = _LAYOUTS.get(film.channels, "surround")
        facts["audioRate"] = _RATES.get(film.sample_rate, "48k")
    return facts


def _clip(spine: ET.Element, span: FrameSpan, film: SourceFilm) -> None:
    start = span.start if span.speed == WHOLE else 0
    facts = {"ref": "r2", "name": _text(film.title), "offset": _time(span.begins, film), "start": _time(start, film)}
    facts |= {"duration": _time(span.lasts, film), "tcFormat": _counting(film)}
    clip = ET.SubElement(spine, "asset-clip", facts)
    if span.speed != WHOLE:  # the clip's own time from 0 on, mapped to the part of the film that it plays
        mapping = ET.SubElement(clip, "timeMap")
        ET.SubElement(mapping, "timept", time="0s", value=_time(span.start, film), interp="linear")
        ET.SubElement(mapping, "timept", time=_time(span.lasts, film), value=_time(span.end, film), interp="linear")
    if span.volume != WHOLE and film.has_sound:
        ET.SubElement(clip, "adjust-volume", amount=_decibel(span.volume))


def _time(frames: int, film: SourceFilm) -> str:
    """Rational seconds: `1001/30000s`, `3s`. Frames are a multiple of `frameDuration` and nothing is rounded."""
    seconds = frames / film.rate
    return f"{seconds.numerator}s" if seconds.denominator == 1 else f"{seconds.numerator}/{seconds.denominator}s"


def _counting(film: SourceFilm) -> str:
    return "DF" if is_drop_frame(film.rate) else "NDF"


def _decibel(volume: Fraction) -> str:
    if not volume:
        return f"{_SILENCE_DB}dB"
    return f"{max(_SILENCE_DB, 20 * math.log10(volume)):.4g}dB"


def _url(path: str) -> str:
    """An absolute path as a `file:` URL; a name as it stands beside the export."""
    if PurePath(path).is_absolute():
        return PurePath(path).as_uri()
    return "./" + quote(path)


def _text(text: str) -> str:
    """Without the characters XML does not have."""
    return text.translate(_UNPRINTABLE)
