"""One small clip of every kind that people send, to be damaged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clips import Clip, Sound, make_clip

_VP9 = (("deadline", "realtime"), ("cpu-used", "8"))

KINDS: Mapping[str, tuple[str, Clip]] = {
    # all 64x48, a second or less, with sound unless it says otherwise
    "h264 aac mp4": ("a.mp4", Clip()),
    "h264 mp4 index first": ("b.mp4", Clip(index_first=True)),
    "h264 mp4 b-frames": ("c.mp4", Clip(options=(("crf", "20"), ("preset", "medium"), ("bf", "3")))),
    "hevc mp4": (
        "d.mp4",
        Clip(frames=10, codec="libx265", options=(("preset", "ultrafast"), ("x265-params", "log-level=0"))),
    ),
    "10-bit h264 mkv": ("e.mkv", Clip(frames=10, pixel_format="yuv420p10le", sounds=(Sound(codec="flac"),))),
    "h264 mkv chapters": ("f.mkv", Clip(chapters=3, sounds=(Sound(codec="libopus"), Sound(layout="5.1")))),
    "vp9 opus webm": ("g.webm", Clip(frames=10, codec="libvpx-vp9", options=_VP9, sounds=(Sound(codec="libopus"),))),
    "vp8 webm": ("h.webm", Clip(frames=10, codec="libvpx", options=(), sounds=())),
    "av1 mp4": ("i.mp4", Clip(frames=10, codec="libsvtav1", options=(("preset", "12"),), sounds=())),
    "mpeg4 avi": ("j.avi", Clip(codec="mpeg4", options=(), sounds=(Sound(codec="mp2"),))),
    "mjpeg mov": (
        "k.mov",
        Clip(frames=10, codec="mjpeg", pixel_format="yuvj420p", options=(), sounds=(Sound(codec="pcm_s16le"),)),
    ),
    "prores mov": ("l.mov", Clip(frames=10, codec="prores_ks", pixel_format="yuv422p10le", options=())),
    "h264 mpegts": ("m.ts", Clip(container="mpegts")),
    "h264 flv": ("n.flv", Clip(container="flv")),
    "ffv1 mkv": ("o.mkv", Clip(frames=10, codec="ffv1", options=(), sounds=())),
    "rotated mp4": ("p.mp4", Clip(frames=10, rotation=90, metadata=(("title", "a film"),))),
}


def make_clips(folder: Path) -> Mapping[str, bytes]:
    """Their bytes, by kind."""
    made = {kind: make_clip(folder / name, clip).read_bytes() for kind, (name, clip) in KINDS.items()}
    return {**made, "fragmented mp4": _fragmented(folder / "q.mp4"), "wav": _wav()}


def _fragmented(path: Path) -> bytes:
    import av

    clip = make_clip(path.with_suffix(".plain.mp4"), Clip())
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(str(clip)) as source, av.open(str(path), "w", options=options) as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return path.read_bytes()


def _wav() -> bytes:
    import io
    import wave

    data = io.BytesIO()
    with wave.open(data, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(range(256)) * 64)
    return data.getvalue()
