"""Four ways to say the same: each takes a request as JSON and gives the answer as JSON, or a Refusal."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import AsyncGenerator
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import aiohttp
import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from gateway.methods import Method, public_methods

JSON = dict[str, Any]
METHODS = {method.full_name.removeprefix("framewire.v1."): method for method in public_methods()}


class Refusal(Exception):
    """The error a call ended with: its stable code and the fields to blame."""

    def __init__(self, status: status_pb2.Status) -> None:
        self.grpc_code = status.code
        self.code, self.fields, self.passes = "", [], False
        for detail in status.details:
            info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                self.code, self.passes = info.reason, info.metadata["retryable"] == "true"
            elif detail.Unpack(request):
                self.fields = [each.field for each in request.field_violations]
        super().__init__(f"{self.code}: {status.message}")


class Wire(Protocol):
    """One way to the gateway."""

    name: str

    async def call(self, name: str, request: JSON) -> JSON:
        """`JobService/GetJob` and its request. Raises Refusal."""

    def watch(self, request: JSON) -> AsyncGenerator[JSON, None]:
        """The events of WatchJob. Raises Refusal."""

    async def send(self, asset_id: str, offset: int, data: bytes) -> int:
        """Bytes of an upload through the gateway; where it stands then. Raises Refusal."""


class Grpc:
    """gRPC as it is."""

    name = "grpc"

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)

    async def call(self, name: str, request: JSON) -> JSON:
        method = METHODS[name]
        unary = self._channel.unary_unary(f"/{method.full_name}")
        with _grpc_refusal():
            return _decoded(method, await unary(_encoded(method, request)))

    async def watch(self, request: JSON) -> AsyncGenerator[JSON, None]:
        method = METHODS["JobService/WatchJob"]
        call = self._channel.unary_stream(f"/{method.full_name}")(_encoded(method, request))
        try:
            with _grpc_refusal():
                async for data in call:
                    yield _decoded(method, data)
        finally:
            call.cancel()

    async def send(self, asset_id: str, offset: int, data: bytes) -> int:
        method = METHODS["AssetService/UploadAsset"]
        half = len(data) // 2
        requests = [
            {"start": {"assetId": asset_id, "offset": str(offset)}},
            *({"data": base64.b64encode(part).decode()} for part in (data[:half], data[half:]) if part),
        ]
        unary = self._channel.stream_unary(f"/{method.full_name}")
        with _grpc_refusal():
            answer = await unary(iter([_encoded(method, request) for request in requests]))
        return int(_decoded(method, answer).get("offset", 0))


class Http:
    """What has no stream to the server sends uploads by tus."""

    _http: aiohttp.ClientSession
    _base: str

    async def send(self, asset_id: str, offset: int, data: bytes) -> int:
        headers = {
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        }
        async with self._http.patch(f"{self._base}/v1/tus/{asset_id}", data=data, headers=headers) as answer:
            if answer.status >= 400:
                raise Refusal(json_format.ParseDict(await answer.json(), status_pb2.Status()))
            return int(answer.headers["Upload-Offset"])


class GrpcWeb(Http):
    """gRPC-Web, in its binary or its text form."""

    def __init__(self, http: aiohttp.ClientSession, base: str, *, text: bool) -> None:
        self.name = "grpc-web-text" if text else "grpc-web"
        self._http = http
        self._base = base
        self._text = text

    async def call(self, name: str, request: JSON) -> JSON:
        answers = [answer async for answer in self._frames(METHODS[name], request)]
        assert len(answers) == 1
        return answers[0]

    def watch(self, request: JSON) -> AsyncGenerator[JSON, None]:
        return self._frames(METHODS["JobService/WatchJob"], request)

    async def _frames(self, method: Method, request: JSON) -> AsyncGenerator[JSON, None]:
        data = _encoded(method, request)
        body = b"\0" + len(data).to_bytes(4, "big") + data
        kind = "application/grpc-web-text" if self._text else "application/grpc-web+proto"
        body = base64.b64encode(body) if self._text else body
        headers = {"Content-Type": kind, "X-Grpc-Web": "1"}
        async with self._http.post(f"{self._base}/{method.full_name}", data=body, headers=headers) as answer:
            assert (answer.status, answer.content_type) == (200, kind)
            buffer, ended = b"", False
            async for piece in _pieces(answer, text=self._text):
                buffer += piece
                while len(buffer) >= 5 and len(buffer) >= (end := 5 + int.from_bytes(buffer[1:5], "big")):
                    frame, flags, buffer = buffer[5:end], buffer[0], buffer[end:]
                    assert not ended
                    if flags & 0x80:
                        ended = True
                        _check_trailers(frame)
                    else:
                        yield _decoded(method, frame)
            assert ended
            assert not buffer


class Rest(Http):
    """REST, with streams as lines of JSON or as server-sent events."""

    def __init__(self, http: aiohttp.ClientSession, base: str, *, events: bool) -> None:
        self.name = "sse" if events else "ndjson"
        self._http = http
        self._base = base
        self._events = events

    async def call(self, name: str, request: JSON) -> JSON:
        method = METHODS[name]
        if method.streams:
            return await anext(self.watch(request))
        async with self._request(method, request, "application/json") as answer:
            found: JSON = await answer.json()
            return found

    async def watch(self, request: JSON) -> AsyncGenerator[JSON, None]:
        accept = "text/event-stream" if self._events else "application/x-ndjson"
        async with self._request(METHODS["JobService/WatchJob"], request, accept) as answer:
            if answer.status == 204:
                return
            assert answer.content_type == accept
            record: dict[str, str] = {}
            async for line in answer.content:
                text = line.decode().rstrip("\n")
                if not self._events:
                    if text:
                        yield _not_an_error(json.loads(text))
                    continue
                name, _, value = text.partition(": ")
                if name:
                    record[name] = value
                elif data := record.pop("data", None):
                    event = json.loads(data)
                    assert record.pop("id") == event["number"]
                    assert record.pop("event") in event
                    yield event

    @contextlib.asynccontextmanager
    async def _request(
        self, method: Method, request: JSON, accept: str
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        verb, path, body = _address(method, request)
        async with self._http.request(verb, self._base + path, json=body, headers={"Accept": accept}) as answer:
            if answer.status >= 400:
                raise Refusal(json_format.ParseDict(await answer.json(), status_pb2.Status()))
            yield answer


def all_wires(http: aiohttp.ClientSession, grpc: str, rest: str) -> list[Wire]:
    """Each of them, on the addresses of one gateway."""
    return [
        Grpc(grpc),
        GrpcWeb(http, rest, text=False),
        GrpcWeb(http, rest, text=True),
        Rest(http, rest, events=False),
        Rest(http, rest, events=True),
    ]


def _address(method: Method, request: JSON) -> tuple[str, str, JSON | None]:
    """Where the annotation says that a request goes."""
    verb = method.http.WhichOneof("pattern")
    rest = dict(request)

    def fill(found: re.Match[str]) -> str:
        name = method.descriptor.input_type.fields_by_name[found.group(1)].json_name
        return quote(str(rest.pop(name)), safe="")

    path = re.sub(r"\{(\w+)\}", fill, getattr(method.http, verb))
    if method.http.body == "*":
        return verb.upper(), path, rest
    query = f"?{urlencode(rest, doseq=True)}" if rest else ""
    return verb.upper(), path + query, None


def _encoded(method: Method, request: JSON) -> bytes:
    return json_format.ParseDict(request, method.request()).SerializeToString()


def _decoded(method: Method, data: bytes) -> JSON:
    message: Message = method.response.FromString(data)
    found: JSON = json_format.MessageToDict(message)
    return found


@contextlib.contextmanager
def _grpc_refusal():
    try:
        yield
    except grpc.aio.AioRpcError as error:
        details = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
        raise Refusal(status_pb2.Status.FromString(bytes(details))) from None


async def _pieces(answer: aiohttp.ClientResponse, *, text: bool) -> AsyncGenerator[bytes, None]:
    left = b""
    async for piece in answer.content.iter_any():
        if not text:
            yield piece
            continue
        left += piece
        whole = len(left) // 4 * 4
        yield b"".join(base64.b64decode(each) for each in re.findall(rb"[^=]+={0,2}", left[:whole]))
        left = left[whole:]


def _check_trailers(frame: bytes) -> None:
    trailers = dict(line.split(": ", 1) for line in frame.decode().splitlines())
    if trailers["grpc-status"] != "0":
        details = trailers["grpc-status-details-bin"]
        raise Refusal(status_pb2.Status.FromString(base64.b64decode(details + "=" * (-len(details) % 4))))


def _not_an_error(line: JSON) -> JSON:
    if "error" in line and "number" not in line:
        raise Refusal(json_format.ParseDict(line["error"], status_pb2.Status()))
    return line
