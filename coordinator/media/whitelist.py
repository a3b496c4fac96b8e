"""The parts of FFmpeg that strangers' files may reach: a few containers, and the codecs that people put into them.

FFmpeg brings some five hundred decoders, most for formats of old games and cameras that nobody looks at; a file
chooses among them by four letters. Those that are not named here cannot be chosen.
"""

from __future__ import annotations

DEMUXERS = ("mov", "matroska", "webm", "avi")
PROTOCOLS = ("file",)

_OF_TODAY = ("h264", "hevc", "vvc", "av1", "libdav1d", "vp8", "vp9", "libvpx", "libvpx-vp9")
_OF_YESTERDAY = (
    *("mpeg1video", "mpeg2video", "mpegvideo", "mpeg4", "msmpeg4", "msmpeg4v1", "msmpeg4v2", "h261", "h263", "h263i"),
    *("h263p", "flv", "wmv1", "wmv2", "wmv3", "vc1", "theora", "vp3", "vp6", "vp6a", "vp6f", "svq1", "svq3", "cinepak"),
    *("indeo3", "indeo4", "indeo5", "rv30", "rv40", "dirac", "snow"),
)
_OF_STUDIOS = (
    *("prores", "prores_raw", "dnxhd", "cfhd", "dvvideo", "ffv1", "ffvhuff", "huffyuv", "utvideo", "magicyuv"),
    *("lagarith", "hap", "rawvideo", "v210", "v308", "v408", "v410", "r10k", "r210", "yuv4", "jpeg2000", "qtrle"),
)
_OF_SCREENS = ("mjpeg", "mjpegb", "png", "gif", "rpza", "smc", "msrle", "msvideo1", "camtasia", "zmbv", "fraps")
VIDEO_DECODERS = frozenset({*_OF_TODAY, *_OF_YESTERDAY, *_OF_STUDIOS, *_OF_SCREENS})
"""Decoders of pictures. Hardware decoders are asked for by name, never by a file."""

_SOUND = (
    *("aac", "aac_fixed", "aac_latm", "ac3", "ac3_fixed", "eac3", "mp1", "mp1float", "mp2", "mp2float", "mp3"),
    *("mp3float", "opus", "libopus", "vorbis", "flac", "alac", "dca", "truehd", "mlp", "amrnb", "amrwb"),
    *("libopencore_amrnb", "libopencore_amrwb", "wmav1", "wmav2", "wmapro", "wavpack", "tta", "speex", "gsm", "gsm_ms"),
    *("adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "qdm2", "mace3", "mace6", "qcelp", "ilbc"),
    *("pcm_alaw", "pcm_mulaw", "pcm_s8", "pcm_u8", "pcm_s16be", "pcm_s16le", "pcm_u16be", "pcm_u16le", "pcm_s24be"),
    *("pcm_s24le", "pcm_u24be", "pcm_u24le", "pcm_s32be", "pcm_s32le", "pcm_u32be", "pcm_u32le", "pcm_s64be"),
    *("pcm_s64le", "pcm_f32be", "pcm_f32le", "pcm_f64be", "pcm_f64le", "pcm_bluray", "pcm_dvd"),
)
_TEXT = ("ass", "ssa", "srt", "subrip", "mov_text", "webvtt", "text", "dvdsub", "dvbsub", "pgssub", "xsub")
DECODERS = frozenset({*VIDEO_DECODERS, *_SOUND, *_TEXT})
"""Decoders that may be opened to find out what a track is. Tracks of other codecs are copied as they are."""
