"""Files that point elsewhere, and traps that notice when somebody goes there."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from clips import Clip, make_clip

_IN_ACCESS, _IN_OPEN = 0x1, 0x20
_EVENT = struct.Struct("iIII")


@dataclass(frozen=True)
class Traps:
    """A file nobody may open and an address nobody may ask."""

    file: Path
    url: str
    _watch: int
    _requests: list[str]

    def sprung(self) -> list[str]:
        """What was opened or asked so far."""
        return [*self._requests, *_events(self._watch)]


@contextlib.contextmanager
def set_traps(folder: Path) -> Iterator[Traps]:
    """A clip in `folder` that is watched, and a web server that counts."""
    folder.mkdir()
    file = make_clip(folder / "secret.mp4", Clip(frames=3, sounds=()))
    requests: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _counting(requests, file.read_bytes()))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    watch = _watched(folder)
    try:
        yield Traps(file, f"http://127.0.0.1:{server.server_address[1]}/secret.mp4", watch, requests)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        os.close(watch)


def _counting(requests: list[str], answer: bytes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(f"GET {self.path}")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None: ...

    return Handler


def _watched(folder: Path) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    watch: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if watch < 0 or libc.inotify_add_watch(watch, os.fsencode(folder), _IN_OPEN | _IN_ACCESS) < 0:
        raise OSError(ctypes.get_errno(), "inotify")
    return watch


def _events(watch: int) -> list[str]:
    try:
        data = os.read(watch, 1 << 16)
    except BlockingIOError:
        return []
    names = []
    while data:
        *_, size = _EVENT.unpack_from(data)
        names.append("opened " + data[_EVENT.size : _EVENT.size + size].rstrip(b"\0").decode())
        data = data[_EVENT.size + size :]
    return names


def files_that_point(traps: Traps, folder: Path) -> Mapping[str, bytes]:
    """Files by the name they are given; whoever follows what they say springs a trap."""
    clip = make_clip(folder / "plain.mp4", Clip(frames=3, sounds=())).read_bytes()
    files: dict[str, bytes] = {}
    for kind, target in (("file", str(traps.file)), ("relative", f"traps/{traps.file.name}"), ("http", traps.url)):
        for name, text in _texts(target).items():
            files[f"{kind} {name}"] = text.encode()
            files[f"{kind} {name}.mp4"] = text.encode()
        files[f"{kind} dref-url.mov"] = external(clip, b"url ", target.encode() + b"\0")
        files[f"{kind} dref-alis.mov"] = external(clip, b"alis", _alias(target))
        files[f"{kind} reference.mov"] = reference_movie(target)
    files["concat:plain.mp4|traps%2Fsecret.mp4"] = clip[:-10]
    files["picture-%03d.png"] = b"\x89PNG\r\n\x1a\n" + bytes(64)
    return files


def _texts(target: str) -> Mapping[str, str]:
    return {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
        "master.m3u8": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{target}\n",
        "key.m3u8": f'#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF:1,\na.ts\n',
        "list.ffconcat": f"ffconcat version 1.0\nfile '{target}'\n",
        "plain.concat": f"file '{target}'\n",
        "picture.svg": f'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink='
        f'"http://www.w3.org/1999/xlink" width="64" height="48"><image xlink:href="{target}"/></svg>',
        "entity.svg": f'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "{target}">]>'
        '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="48"><text>&x;</text></svg>',
        "manifest.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" '
        f'bandwidth="1"><BaseURL>{target}</BaseURL></Representation></AdaptationSet></Period></MPD>',
        "list.pls": f"[playlist]\nFile1={target}\nNumberOfEntries=1\n",
        "list.asx": f'<asx version="3.0"><entry><ref href="{target}"/></entry></asx>',
        "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "subtitles.idx": "# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\n",
        "reference.txt": f"RTSPtext\r\n{target}\r\n",
    }


def external(clip: bytes, kind: bytes, where: bytes) -> bytes:
    """The clip with its pictures declared to lie in another file."""
    entry = struct.pack(">I4sI", 12 + len(where), kind, 0) + where
    dref = struct.pack(">II", 0, 1) + entry
    return _with_box(clip, (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"), dref)


def reference_movie(target: str) -> bytes:
    """A QuickTime file that holds nothing but the address of another one."""
    where = target.encode() + b"\0"
    rdrf = _box(b"rdrf", struct.pack(">I4sI", 0, b"url ", len(where)) + where)
    return _box(b"ftyp", b"qt  \0\0\0\0qt  ") + _box(b"moov", _box(b"rmra", _box(b"rmda", rdrf)))


def _alias(target: str) -> bytes:
    """A Macintosh alias record with one entry: the absolute path."""
    path = target.encode()
    head = bytes(10) + b"\x04disk".ljust(28, b"\0") + bytes(12) + b"\x0asecret.mp4".ljust(64, b"\0") + bytes(36)
    entry = struct.pack(">HH", 18, len(path)) + path + bytes(len(path) % 2)
    return head.ljust(150, b"\0") + entry + struct.pack(">HH", 0xFFFF, 0)


def _with_box(data: bytes, path: tuple[bytes, ...], content: bytes) -> bytes:
    """The same boxes with the content of one replaced, and sizes that fit."""
    result, rest = b"", data
    while rest:
        size = int.from_bytes(rest[:4], "big")
        kind, body, rest = rest[4:8], rest[8:size], rest[size:]
        if kind == path[0]:
            body = _with_box(body, path[1:], content) if len(path) > 1 else content
        result += _box(kind, body)
    return result


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body
