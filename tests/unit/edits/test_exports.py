"""Cut lists for other programs, read back by readers that are not ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import av
import opentimelineio as otio
import pytest

from framewire.edits.edit_list import EditList, Span
from framewire.edits.exports import FORMATS, SourceFilm, cut_exports, export
from framewire.edits.exports.frames import on_frames
from framewire.edits.exports.source import exact_rate
from framewire.edits.exports.timecode import timecode
from framewire.edits.wire import cut_list_to_proto
from framewire.errors import InvalidRequest, MediaError
from framewire.v1.asset_pb2 import AudioInfo, MediaInfo, VideoInfo
from framewire.v1.job_pb2 import CUT_FORMAT_AUTO_EDITOR, CUT_FORMAT_EDL, CUT_FORMAT_OTIO, CutFormat

NTSC = Fraction(30000, 1001)
RATES = [Fraction(25), Fraction(30), NTSC, Fraction(24000, 1001), Fraction(60000, 1001), Fraction(50), Fraction(25, 2)]


def film(
    rate: Fraction = Fraction(30), seconds: int = 42, channels: int = 2, path: str = "/films/clip 1.mp4"
) -> SourceFilm:
    sound = {"sample_rate": 48_000, "channels": channels} if channels else {}
    return SourceFilm(path=path, seconds=Fraction(seconds), rate=rate, width=1280, height=720, **sound)


def span(start: object, end: object, speed: object = 1, volume: object = 1) -> Span:
    parts = (Fraction(str(part)) for part in (start, end, speed, volume))
    return Span(**dict(zip(("start", "end", "speed", "volume"), parts, strict=True)))


def many(count: int, seconds: int) -> EditList:
    """Parts whose edges are on no grid of frames."""
    step = Fraction(seconds, count)
    return EditList(
        Span(start=step * number + Fraction(1, 97), end=step * number + step * Fraction(61, 100))
        for number in range(count)
    )


def exported(edits: EditList, source: SourceFilm, name: str) -> str:
    return export(edits, source, name).decode()


def clips_of(text: str, adapter: str, **arguments: object) -> list[tuple[int, int, int]]:
    """First frame in the film, frames of the result, first frame in the result, as OpenTimelineIO reads them."""
    timeline = otio.adapters.read_from_string(text, adapter, **arguments)
    if isinstance(timeline, otio.schema.SerializableCollection):
        timeline = next(iter(timeline.find_children(descended_from_type=otio.schema.Timeline)))
    (track,) = timeline.video_tracks()
    return [
        (
            round(clip.source_range.start_time.value),
            round(clip.source_range.duration.value),
            round(clip.range_in_parent().start_time.value),
        )
        for clip in track.find_clips()
    ]


def frames_of(edits: EditList, source: SourceFilm) -> list[tuple[int, int, int]]:
    return [(each.start, each.lasts, each.begins) for each in on_frames(edits, source)]


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_rounding_to_frames_never_adds_up(rate: Fraction) -> None:
    source = film(rate, seconds=3600)
    edits = many(2000, 3600)
    spans = on_frames(edits, source)
    for exact, found in zip(edits.spans, spans, strict=True):
        assert abs(found.start - exact.start * rate) <= Fraction(1, 2)
        assert abs(found.end - exact.end * rate) <= Fraction(1, 2)
        assert found.taken == found.lasts
    assert all(before.ends == after.begins for before, after in pairwise(spans))


def test_a_sped_up_part_keeps_those_behind_it_on_the_exact_sum() -> None:
    source = film(Fraction(25), seconds=3000)
    edits = EditList(span(number * 2, number * 2 + 1, speed="1.7" if number % 2 else 1) for number in range(1000))
    spans = on_frames(edits, source)
    assert abs(spans[-1].ends - edits.seconds * 25) <= Fraction(1, 2)
    assert {each.lasts for each in spans if each.speed == 1} == {25}
    assert {each.lasts for each in spans if each.speed != 1} == {14, 15}


def test_parts_that_keep_no_frame_are_left_out_and_parts_that_meet_are_joined() -> None:
    source = film(Fraction(10), seconds=5)
    edits = EditList([span("0", "1.01"), span("1.02", "2"), span("3.01", "3.04"), span("4", "9")])
    assert frames_of(edits, source) == [(0, 20, 0), (40, 10, 20)]


def test_auto_editors_chunks_cover_the_film_without_gaps() -> None:
    edits = EditList([span("0.5", "2"), span("3", "4", speed=4), span("10", "41")])
    timeline = json.loads(export(edits, film(), "auto-editor"))
    assert timeline["version"] == "1"
    assert timeline["source"] == "/films/clip 1.mp4"
    assert timeline["chunks"] == [
        [0, 15, 99999.0],
        [15, 60, 1.0],
        [60, 90, 99999.0],
        [90, 120, 4.0],
        [120, 300, 99999.0],
        [300, 1230, 1.0],
        [1230, 1260, 99999.0],
    ]


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_an_edl_is_read_back_frame_for_frame(rate: Fraction) -> None:
    source, edits = film(rate, seconds=1800), many(300, 1800)
    text = exported(edits, source, "edl")
    # the reader takes 29.97 for the counting and the rate alike; it knows no rates that are not whole or NTSC's
    if rate.denominator in (1, 1001):
        assert clips_of(text, "cmx_3600", rate=float(rate)) == frames_of(edits, source)
    assert ("FCM: DROP FRAME" in text) == (rate in (NTSC, Fraction(60000, 1001)))


def test_an_edl_says_a_speed_in_frames_a_second_and_which_tracks_there_are() -> None:
    edits = EditList([span(0, 1), span(2, 6, speed=2)])
    lines = exported(edits, film(), "edl").splitlines()
    assert "001  AX       AA/V  C        00:00:00:00 00:00:01:00 01:00:00:00 01:00:01:00" in lines
    assert "002  AX       AA/V  C        00:00:02:00 00:00:06:00 01:00:01:00 01:00:03:00" in lines
    assert "M2   AX       060.0                00:00:02:00" in lines
    assert "* FROM CLIP NAME: clip 1.mp4" in lines
    assert "  V  " in exported(edits, film(channels=0), "edl")
    assert "  B  " in exported(edits, film(channels=1), "edl")


@pytest.mark.parametrize(
    ("frame", "rate", "expected"),
    [
        (0, NTSC, "00:00:00;00"),
        (1799, NTSC, "00:00:59;29"),
        (1800, NTSC, "00:01:00;02"),
        (17981, NTSC, "00:09:59;29"),
        (17982, NTSC, "00:10:00;00"),
        (107892, NTSC, "01:00:00;00"),
        (3600, Fraction(60000, 1001), "00:01:00;04"),
        (1800, Fraction(30), "00:01:00:00"),
        (1440, Fraction(24000, 1001), "00:01:00:00"),
        (25 * 86400 + 1, Fraction(25), "00:00:00:01"),
    ],
)
def test_timecode_drops_numbers_where_the_rate_has_them_dropped(frame: int, rate: Fraction, expected: str) -> None:
    assert timecode(frame, rate) == expected


def test_timecode_agrees_with_opentimelineio_for_an_hour_of_drop_frames() -> None:
    for frame in range(0, 108_000, 37):
        assert timecode(frame, NTSC) == otio.opentime.to_timecode(otio.opentime.RationalTime(frame, float(NTSC)))


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_every_time_of_an_fcpxml_is_on_a_frame_and_clips_meet(rate: Fraction) -> None:
    source, edits = film(rate, seconds=1800), many(300, 1800)
    root = ET.fromstring(export(edits, source, "fcpxml"))
    assert root.tag == "fcpxml"
    (shape,), (asset,), (sequence,) = root.iter("format"), root.iter("asset"), root.iter("sequence")
    frame = rational(shape.get("frameDuration"))
    assert frame == 1 / rate
    clips = list(sequence.iter("asset-clip"))
    assert {clip.get("ref") for clip in clips} == {asset.get("id")}
    for clip in clips:
        for name in ("offset", "start", "duration"):
            assert (rational(clip.get(name)) / frame).denominator == 1
        assert rational(clip.get("start")) + rational(clip.get("duration")) <= rational(asset.get("duration"))
    for before, after in pairwise(clips):
        assert rational(before.get("offset")) + rational(before.get("duration")) == rational(after.get("offset"))
    assert sum(rational(clip.get("duration")) for clip in clips) == rational(sequence.get("duration"))
    assert [round(rational(clip.get("start")) / frame) for clip in clips] == [a for a, _, _ in frames_of(edits, source)]


def test_an_fcpxml_is_read_back_frame_for_frame() -> None:
    source, edits = film(Fraction(25), seconds=600), many(100, 600)
    assert clips_of(exported(edits, source, "fcpxml"), "fcpx_xml") == frames_of(edits, source)


def test_an_fcpxml_maps_time_of_fast_parts_and_says_volumes_in_decibels() -> None:
    edits = EditList([span(0, 1), span(2, 6, speed=2, volume="0.5"), span(7, 8, volume=0)])
    _, fast, silent = ET.fromstring(export(edits, film(), "fcpxml")).iter("asset-clip")
    points = [(rational(point.get("time")), rational(point.get("value"))) for point in fast.iter("timept")]
    assert points == [(0, 2), (2, 6)]
    assert (rational(fast.get("start")), rational(fast.get("duration"))) == (0, 2)
    assert [child.tag for child in fast] == ["timeMap", "adjust-volume"]
    assert fast.find("adjust-volume").get("amount") == "-6.021dB"  # type: ignore[union-attr]  # looked for above
    assert silent.find("adjust-volume").get("amount") == "-96dB"  # type: ignore[union-attr]  # it has one


@pytest.mark.parametrize("path", ["/films/\u00e4 & <b>.mp4", "C & D.mp4", "/films/bell\x07.mp4"])
def test_names_with_special_letters_survive_xml(path: str) -> None:
    root = ET.fromstring(export(EditList([span(0, 1)]), film(path=path), "fcpxml"))
    (source,) = (each.get("src") for each in root.iter("media-rep"))
    expected = {
        "/films/\u00e4 & <b>.mp4": "file:///films/%C3%A4%20%26%20%3Cb%3E.mp4",
        "C & D.mp4": "./C%20%26%20D.mp4",
        "/films/bell\x07.mp4": "file:///films/bell%07.mp4",
    }
    assert source == expected[path]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("path", ["/films/\udcff.mp4", "/films/\u4e2d\n;=.mp4", "#1 --> 2.mp4"])
def test_no_file_name_breaks_a_format(name: str, path: str) -> None:
    assert export(EditList([span(0, 1)]), film(path=path), name)


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_an_opentimelineio_file_is_read_back_frame_for_frame(rate: Fraction) -> None:
    source, edits = film(rate, seconds=1800), many(300, 1800)
    text = exported(edits, source, "otio")
    assert clips_of(text, "otio_json") == frames_of(edits, source)
    timeline = otio.adapters.read_from_string(text, "otio_json")
    assert [track.kind for track in timeline.tracks] == ["Video", "Audio"]
    clip = next(iter(timeline.find_clips()))
    assert clip.media_reference.target_url == "file:///films/clip%201.mp4"
    assert clip.media_reference.available_range.duration.value == source.frames


def test_an_opentimelineio_file_carries_speed_and_volume() -> None:
    edits = EditList([span(2, 6, speed=2, volume="0.5")])
    timeline = otio.adapters.read_from_string(exported(edits, film(channels=0), "otio"), "otio_json")
    (clip,) = timeline.find_clips()
    assert clip.effects[0].time_scalar == 2
    assert clip.metadata["framewire"]["volume"] == 0.5
    assert clip.source_range.duration.value == 60


def test_ffmpeg_reads_chapters_where_the_parts_begin_in_the_result(tmp_path: Path) -> None:
    edits = EditList([span("0.5", "2"), span("3", "4", speed=4), span("3700.25", "3701")])
    path = tmp_path / "chapters.txt"
    path.write_bytes(export(edits, film(seconds=4000), "ffmetadata"))
    with av.open(str(path), format="ffmetadata") as read:
        found = read.chapters()
    assert [(each["start"] * each["time_base"], each["end"] * each["time_base"]) for each in found] == [
        (0, Fraction(3, 2)),
        (Fraction(3, 2), Fraction(7, 4)),
        (Fraction(7, 4), Fraction(5, 2)),
    ]
    assert found[2]["metadata"]["title"] == "Part 3 (from 1:01:40.3)"


def test_ffmpeg_reads_the_same_chapters_as_webvtt(tmp_path: Path) -> None:
    edits = many(500, 1000)
    path = tmp_path / "chapters.vtt"
    path.write_bytes(export(edits, film(seconds=1000), "webvtt"))
    with av.open(str(path), format="webvtt") as read:
        cues = [(packet.pts, packet.duration, bytes(packet)) for packet in read.demux() if packet.size]
    assert len(cues) == 500
    assert cues[0][2] == b"Part 1 (from 0:00.0)"
    assert all(before[0] + before[1] == after[0] for before, after in pairwise(cues))
    assert abs(cues[-1][0] + cues[-1][1] - edits.seconds * 1000) <= Fraction(1, 2)


@pytest.mark.parametrize("name", FORMATS)
def test_a_list_that_keeps_nothing_is_a_file_too(name: str) -> None:
    assert export(EditList([]), film(), name)


def test_a_rate_without_timecode_is_refused_by_the_edl_alone() -> None:
    edits = EditList([span(0, 1)])
    with pytest.raises(InvalidRequest, match="120 frames a second have no timecode"):
        export(edits, film(Fraction(120)), "edl")
    assert export(edits, film(Fraction(120)), "fcpxml")


def test_an_unknown_format_is_refused_by_naming_those_there_are() -> None:
    with pytest.raises(InvalidRequest, match="no export format 'avid'; there are auto-editor, edl, fcpxml"):
        export(EditList([]), film(), "avid")


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (29.97002997002997, NTSC),
        (29.97003, NTSC),
        (23.976023976, Fraction(24000, 1001)),
        (25.0, Fraction(25)),
        (12.5, Fraction(25, 2)),
        (14.985, Fraction(14.985).limit_denominator(1001)),
    ],
)
def test_a_rate_is_what_its_float_stands_for(fps: float, expected: Fraction) -> None:
    assert exact_rate(fps) == expected


def test_a_film_is_what_its_media_info_says() -> None:
    media = MediaInfo(
        duration=42.4, video=VideoInfo(width=64, height=48, fps=30), audio=[AudioInfo(sample_rate=44_100, channels=1)]
    )
    source = SourceFilm.from_media(media, "a/b.mp4")
    assert (source.frames, source.name, source.title, source.channels) == (1272, "b.mp4", "b", 1)
    with pytest.raises(ValueError, match="cannot be counted in frames"):
        SourceFilm.from_media(MediaInfo(), "b.mp4")


def test_an_estimates_exports_are_named_after_the_film_in_the_order_asked_for() -> None:
    media = MediaInfo(duration=10, video=VideoInfo(width=64, height=48, fps=25))
    cuts = cut_list_to_proto(EditList([span("0.04", "2"), span("3", "4", speed=2)]))
    wanted = [CUT_FORMAT_EDL, CUT_FORMAT_AUTO_EDITOR]
    answers = cut_exports(cuts, media, "holiday.mp4", wanted)
    assert [each.format for each in answers] == wanted
    assert [each.filename for each in answers] == ["holiday.edl", "holiday.json"]
    chunks = [[0, 1, 99999.0], [1, 50, 1.0], [50, 75, 99999.0], [75, 100, 2.0], [100, 250, 99999.0]]
    assert json.loads(answers[1].data)["chunks"] == chunks
    assert cut_exports(cuts, MediaInfo(), "holiday.mp4", []) == []
    with pytest.raises(MediaError, match="how long and how fast"):
        cut_exports(cuts, MediaInfo(), "holiday.mp4", wanted)


def test_exports_too_large_for_an_answer_are_refused_with_a_way_out() -> None:
    media = MediaInfo(duration=20_000, video=VideoInfo(width=64, height=48, fps=25))
    cuts = cut_list_to_proto(many(5000, 20_000))
    assert cut_exports(cuts, media, "podcast.mp4", [CUT_FORMAT_EDL])
    with pytest.raises(InvalidRequest, match="5000 parts is too long"):
        cut_exports(cuts, media, "podcast.mp4", [CUT_FORMAT_EDL, CUT_FORMAT_OTIO])


def test_every_format_of_the_contract_can_be_written() -> None:
    assert {each.wire for each in FORMATS.values()} == set(CutFormat.values()) - {0}


def rational(text: str | None) -> Fraction:
    assert text is not None
    assert text.endswith("s")
    return Fraction(text.removesuffix("s"))


def test_every_format_says_what_it_is() -> None:
    described: Sequence[str] = [f"{each.ending} {each.media_type} {each.description}" for each in FORMATS.values()]
    assert len(set(described)) == len(FORMATS)
    assert len({each.ending for each in FORMATS.values()}) == len(FORMATS)
