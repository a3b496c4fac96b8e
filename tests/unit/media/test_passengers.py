"""What lies beside the picture: kept as it is, converted when a container asks for it, or left out and said."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition
from clips import Clip, Sound, make_clip
from rich_clips import FONT, Extras, Text, jpeg, kinds, make_rich_clip, tracks

from coordinator.media.assemble import Assembled, Units, assemble
from coordinator.media.codecs import EncoderSettings
from coordinator.media.colour import Converter
from coordinator.media.decode import Picture, Reader
from coordinator.media.encode import UnitEncoder
from coordinator.media.limits import MediaLimits
from coordinator.media.passengers import look_at_passengers
from coordinator.media.probe import inspect
from framewire.errors import ErrorCode, StepError

LIMITS = MediaLimits()
EVERYTHING = Extras(texts=(Text(), Text(codec="subrip", language="fra")), cover=True, font=True, second_video=True)


def rewrite(source: Path, target: Path, *, wanted: str = "", codec: str = "h264") -> Assembled:
    """The input's pictures encoded anew, everything else as it is carried: what a job does, without its models."""
    passengers = look_at_passengers(source, LIMITS, wanted=wanted)
    facts = inspect(source).video
    settings = EncoderSettings(codec=codec, preset="ultrafast")
    unit = UnitEncoder(target.with_suffix(".unit"), facts, width=64, height=48, settings=settings)
    converter, last = Converter(facts.colour), 0
    with Reader(source, facts, LIMITS) as reader:
        for picture in (item for item in reader if isinstance(item, Picture)):
            unit.encode(converter.to_yuv(picture.frame.reformat(format="rgb24")), picture.stamp)
            last = picture.stamp.duration
    unit.close()
    units = Units(paths=[unit.path], reordering=unit.reordering, last_duration=last)
    return assemble(target, units, source, facts, LIMITS, passengers=passengers)


def test_matroska_keeps_every_track_bit_for_bit(tmp_path: Path) -> None:
    source = make_rich_clip(tmp_path / "in.mkv", EVERYTHING)
    written = rewrite(source, tmp_path / "out.mkv")
    assert (written.container, written.left_out) == ("matroska", ())
    before, after = tracks(source), tracks(tmp_path / "out.mkv")
    assert kinds(source) == ["video", "audio", "subtitle", "subtitle", "video", "video", "attachment"]
    assert kinds(tmp_path / "out.mkv") == kinds(source)
    assert [before[number] for number in range(1, 7)] == [after[number] for number in range(1, 7)]
    with av.open(str(tmp_path / "out.mkv")) as result:
        assert [stream.language for stream in result.streams.subtitles] == ["deu", "fra"]
        assert result.streams[6].data[: len(FONT)] == FONT
        assert result.streams[6].mimetype == "font/ttf"
        assert result.streams[5].metadata["filename"] == "cover.jpg"
    assert after[5][0][2] == jpeg()


def test_mp4_keeps_its_cover_and_a_second_video(tmp_path: Path) -> None:
    source = make_rich_clip(tmp_path / "in.mp4", Extras(cover=True, second_video=True))
    written = rewrite(source, tmp_path / "out.mp4")
    assert (written.container, written.left_out) == ("mp4", ())
    before, after = tracks(source), tracks(tmp_path / "out.mp4")
    assert before[1] == after[1]
    assert after[3][0][2] == jpeg()
    assert [payload for _, _, payload in before[2]] == [payload for _, _, payload in after[2]]
    assert kinds(tmp_path / "out.mp4", lambda s: int(s.disposition) >> 10 & 1) == [0, 0, 0, 1]
    assert any("steps work on the main video alone" in remark for remark in written.remarks)


def test_a_cover_goes_from_mp4_to_matroska_and_back(tmp_path: Path) -> None:
    source = make_rich_clip(tmp_path / "in.mp4", Extras(cover=True))
    rewrite(source, tmp_path / "there.mkv", wanted="mkv")
    rewrite(tmp_path / "there.mkv", tmp_path / "back.mp4", wanted="mp4")
    for path in (tmp_path / "there.mkv", tmp_path / "back.mp4"):
        with av.open(str(path)) as result:
            assert [int(stream.disposition) >> 10 & 1 for stream in result.streams.video] == [0, 1]
        assert [payload for _, _, payload in tracks(path)[2]] == [jpeg()]


@pytest.mark.parametrize("wanted", ["mp4", "mov"])
def test_subtitles_of_text_are_converted_for_the_container_that_was_asked_for(tmp_path: Path, wanted: str) -> None:
    source = make_rich_clip(tmp_path / "in.mkv", Extras(texts=(Text(),)))
    written = rewrite(source, tmp_path / f"out.{wanted}", wanted=wanted)
    assert written.left_out == ()
    assert any("converted to mov_text" in remark for remark in written.remarks)
    shown = [line for line in tracks(tmp_path / f"out.{wanted}")[2] if len(line[2]) > 2]
    assert [(start, length) for start, length, _ in shown] == [
        (Fraction(0), Fraction(3, 10)),
        (Fraction(4, 10), Fraction(3, 10)),
    ]
    assert shown[0][2] == b"\x00\x05Hello"
    assert shown[1][2].startswith(b"\x00\x09two\nlines")
    assert b"styl" in shown[1][2]  # the italics
    with av.open(str(tmp_path / f"out.{wanted}")) as result:
        assert result.streams.subtitles[0].language == {"mov": "ger", "mp4": "deu"}[wanted]  # both are German


def test_subtitles_come_back_from_mp4(tmp_path: Path) -> None:
    rewrite(make_rich_clip(tmp_path / "in.mkv", Extras(texts=(Text(),))), tmp_path / "mid.mp4", wanted="mp4")
    rewrite(tmp_path / "mid.mp4", tmp_path / "out.mkv", wanted="mkv")
    lines = tracks(tmp_path / "out.mkv")[2]
    assert [start for start, _, _ in lines] == [Fraction(0), Fraction(4, 10)]
    assert lines[0][2].endswith(b"Hello")
    assert b"two" in lines[1][2]


def test_without_a_wish_subtitles_that_mp4_cannot_hold_stay_as_they_are(tmp_path: Path) -> None:
    source = make_rich_clip(tmp_path / "in.mkv", Extras(texts=(Text(),)))
    written = rewrite(source, tmp_path / "out.mkv")
    assert written.container == "matroska"
    assert tracks(source)[2] == tracks(tmp_path / "out.mkv")[2]


def test_what_a_container_cannot_hold_is_left_out_and_said(tmp_path: Path) -> None:
    source = make_rich_clip(tmp_path / "in.mkv", Extras(texts=(Text(),), font=True, cover=True), opus())
    written = rewrite(source, tmp_path / "out.webm", wanted="webm", codec="av1")
    assert [(omission.what, omission.why) for omission in written.left_out] == [
        ("cover 3 (cover.jpg)", "WebM takes no such cover"),
        ("attached file 4 (font.ttf)", "WebM holds no attached files"),
    ]
    assert kinds(tmp_path / "out.webm", lambda s: s.codec_context.codec.canonical_name)[1] == "opus"
    assert tracks(source)[1] == tracks(tmp_path / "out.webm")[1]


def opus() -> Clip:
    return Clip(sounds=(Sound(codec="libopus"),))


def test_a_container_that_cannot_hold_the_sound_is_refused_before_any_work(tmp_path: Path) -> None:
    source = make_rich_clip(tmp_path / "in.mkv", Extras())
    with pytest.raises(StepError, match=r"WebM cannot hold the sound \(aac\); it takes Opus and Vorbis") as refusal:
        look_at_passengers(source, LIMITS, wanted="webm")
    assert refusal.value.code == ErrorCode.STEP_INVALID
    assert refusal.value.violations[0].field == "output.container"


@pytest.mark.parametrize("codec", ["libopus", "flac"])
def test_a_container_that_could_not_be_begun_is_refused_before_any_work(tmp_path: Path, codec: str) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(sounds=(Sound(codec=codec),)))
    with pytest.raises(StepError, match="MOV cannot hold the sound"):
        look_at_passengers(source, LIMITS, wanted="mov")


def test_sound_that_is_edited_is_encoded_as_the_container_can_hold_it(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", opus())
    ((_, encoding),) = look_at_passengers(source, LIMITS, wanted="mov", edited=True).rendered
    assert encoding.codec == "aac"


def test_sound_that_quicktime_alone_holds_is_kept_there(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mov", Clip(sounds=(Sound(codec="pcm_mulaw", layout="mono", rate=8000),)))
    written = rewrite(source, tmp_path / "out.mov")
    assert (written.container, written.left_out) == ("mov", ())
    assert any("MOV (.mov)" in remark for remark in written.remarks)
    assert b"".join(packet for _, _, packet in tracks(source)[1]) == b"".join(
        packet for _, _, packet in tracks(tmp_path / "out.mov")[1]
    )


@pytest.mark.parametrize("wanted", ["mov", "mp4"])
def test_timecode_survives(tmp_path: Path, wanted: str) -> None:
    source = make_rich_clip(tmp_path / "in.mov", Extras(timecode="01:02:03:04"))
    assert kinds(source) == ["video", "audio", "data"]
    written = rewrite(source, tmp_path / f"out.{wanted}", wanted=wanted)
    assert written.left_out == ()
    assert kinds(tmp_path / f"out.{wanted}") == ["video", "audio", "data"]
    with av.open(str(tmp_path / f"out.{wanted}")) as result:
        assert result.streams.video[0].metadata["timecode"] == "01:02:03:04"


def test_timecode_becomes_a_tag_in_matroska(tmp_path: Path) -> None:
    source = make_rich_clip(tmp_path / "in.mov", Extras(timecode="01:02:03:04"))
    rewrite(source, tmp_path / "out.mkv", wanted="mkv")
    with av.open(str(tmp_path / "out.mkv")) as result:
        assert {key.lower(): value for key, value in result.streams.video[0].metadata.items()}["timecode"]


def test_tags_chapters_and_dispositions_survive(tmp_path: Path) -> None:
    clip = Clip(
        chapters=3, metadata=(("title", "A day out"),), sounds=(Sound(language="fra"), Sound(layout="5.1", rate=44_100))
    )
    source = make_rich_clip(tmp_path / "in.mkv", Extras(texts=(Text(),)), clip)
    for wanted in ("mkv", "mp4", "mov"):
        rewrite(source, tmp_path / f"out.{wanted}", wanted=wanted)
        with av.open(str(tmp_path / f"out.{wanted}")) as result:
            assert result.metadata["title"] == "A day out"
            assert [chapter["metadata"]["title"] for chapter in result.chapters()] == [
                f"chapter {n}" for n in (1, 2, 3)
            ]
            assert [stream.language for stream in result.streams.audio] == ["fra", "eng"]
            assert [stream.layout.name for stream in result.streams.audio] == ["stereo", "5.1"]


@pytest.mark.parametrize("wanted", ["mkv", "mp4", "mov"])
def test_names_of_tracks_survive_also_out_of_mp4(tmp_path: Path, wanted: str) -> None:
    with av.open(str(make_clip(tmp_path / "plain.mp4"))) as plain, av.open(str(tmp_path / "in.mp4"), "w") as output:
        copies = [output.add_stream_from_template(stream, opaque=True) for stream in plain.streams]
        copies[0].metadata["title"], copies[1].metadata["title"] = "Film", "Commentary"
        for packet in plain.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                output.mux(packet)
    rewrite(tmp_path / "in.mp4", tmp_path / f"out.{wanted}", wanted=wanted)
    assert kinds(tmp_path / f"out.{wanted}", lambda s: {**s.metadata}.get("title" if wanted == "mkv" else "name")) == [
        "Film",
        "Commentary",
    ]


def test_what_the_video_is_marked_as_survives(tmp_path: Path) -> None:
    with av.open(str(make_clip(tmp_path / "plain.mkv"))) as plain, av.open(str(tmp_path / "in.mkv"), "w") as output:
        copies = [output.add_stream_from_template(stream, opaque=True) for stream in plain.streams]
        copies[0].disposition = Disposition.default | Disposition.original
        for packet in plain.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                output.mux(packet)
    rewrite(tmp_path / "in.mkv", tmp_path / "out.mkv", wanted="mkv")
    with av.open(str(tmp_path / "out.mkv")) as result:
        assert result.streams.video[0].disposition == Disposition.default | Disposition.original


def test_av1_keeps_the_shape_of_samples_in_mp4(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(sounds=(), sample_aspect_ratio=Fraction(16, 15)))
    rewrite(source, tmp_path / "out.mp4", codec="av1")
    assert inspect(tmp_path / "out.mp4").video.sample_aspect_ratio == Fraction(16, 15)


def test_av1_takes_more_pictures_a_second_than_its_encoder_admits_to(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(sounds=(), frames=20, rate=Fraction(1000)))
    rewrite(source, tmp_path / "out.mp4", codec="av1")
    assert inspect(tmp_path / "out.mp4").video.rate == 1000


def test_two_tracks_of_different_length_both_end(tmp_path: Path) -> None:
    source = make_rich_clip(tmp_path / "in.mkv", dataclasses.replace(EVERYTHING, font=False, cover=False))
    rewrite(source, tmp_path / "out.mkv")
    assert [len(packets) for packets in tracks(source).values()] == [
        len(packets) for packets in tracks(tmp_path / "out.mkv").values()
    ]
