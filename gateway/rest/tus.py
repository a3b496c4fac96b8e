"""tus 1.0 (https://tus.io/protocols/resumable-upload): uploads over plain HTTP that go on at any byte.

Extensions: creation, creation-with-upload, termination, checksum, expiration. An upload is an asset; its last byte
finishes it, as CompleteUpload does. Errors are google.rpc.Status, as everywhere.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC
from email.utils import format_datetime

from aiohttp import web

from framewire.db.assets import AssetStore
from framewire.db.uploads import StoredUpload
from framewire.errors import Conflict, ErrorCode, FramewireError, InvalidRequest, MediaError, NotFound
from framewire.logs import log_context
from framewire.v1.asset_pb2 import ASSET_STATE_READY, Asset, CreateUploadRequest
from gateway import errors
from gateway.handlers.uploads import UploadParts
from gateway.pipeline import Arrival, Call, Pipeline
from gateway.rest.answers import JSON
from gateway.rest.streaming import status_json
from gateway.uploads.checksum import ALGORITHMS, Checksum
from gateway.uploads.creator import NewUpload
from gateway.uploads.standing import standing
from gateway.validation import validate

PATH = "/v1/tus"
VERSION = "1.0.0"
_EXTENSIONS = "creation,creation-with-upload,termination,checksum,expiration"
_BYTES = "application/offset+octet-stream"
_PIECE = 256 << 10
_UPLOAD = re.compile(rf"{PATH}/(ast_[0-9a-z]{{26}})")
_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f]")


class TusError(InvalidRequest):
    """What the protocol has an HTTP status for."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Tus:
    """The requests below PATH."""

    def __init__(self, pipeline: Pipeline, parts: UploadParts, assets: AssetStore) -> None:
        self._pipeline = pipeline
        self._parts = parts
        self._assets = assets

    def serves(self, raw_path: str) -> bool:
        """Whether a request for this path is meant for here."""
        return raw_path.rstrip("/") == PATH or raw_path.startswith(f"{PATH}/")

    async def serve(self, request: web.Request, arrival: Arrival) -> web.Response:
        """The answer, also when it is an error."""
        verb = request.method
        if verb == "POST":
            verb = request.headers.get("X-HTTP-Method-Override", verb).upper()
        with log_context(request_id=arrival.request_id, method=f"tus {verb}"):
            try:
                with errors.only_typed(arrival.request_id):
                    response = await self._answer(verb, request, arrival)
            except FramewireError as error:
                response = _refusal(error, arrival.request_id)
        response.headers["Tus-Resumable"] = VERSION
        return response

    async def _answer(self, verb: str, request: web.Request, arrival: Arrival) -> web.Response:
        if verb == "OPTIONS":
            return self._options()
        if request.headers.get("Tus-Resumable") != VERSION:
            raise TusError(412, f"the header Tus-Resumable has to be {VERSION}")
        raw_path = request.rel_url.raw_path
        if raw_path.rstrip("/") == PATH:
            if verb != "POST":
                raise TusError(405, f"{PATH} takes POST and OPTIONS")
            return await self._create(request, arrival)
        found = _UPLOAD.fullmatch(raw_path)
        if found is None:
            raise NotFound("no such upload", code=ErrorCode.ASSET_NOT_FOUND)
        match verb:
            case "HEAD":
                async with self._pipeline.brief(arrival) as call:
                    return await self._head(call, found[1])
            case "PATCH":
                return await self._patch(request, arrival, found[1])
            case "DELETE":
                async with self._pipeline.brief(arrival) as call:
                    await self._assets.delete(call.workspace_id, found[1])
                    return web.Response(status=204)
        raise TusError(405, "an upload takes HEAD, PATCH, DELETE and OPTIONS")

    def _options(self) -> web.Response:
        headers = {
            "Tus-Version": VERSION,
            "Tus-Extension": _EXTENSIONS,
            "Tus-Max-Size": str(self._parts.settings.largest),
            "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
            "Allow": "POST, HEAD, PATCH, DELETE, OPTIONS",
        }
        return web.Response(status=204, headers=headers)

    async def _create(self, request: web.Request, arrival: Arrival) -> web.Response:
        new = self._new(request.headers)
        sends = request.content_type == _BYTES
        if sends:
            _check_length(request, 0, new.size_bytes)
        async with self._pipeline.brief(arrival) as call:
            stored = await self._parts.creator.create(call.workspace_id, new)
        asset = stored.asset
        headers = {"Location": f"{PATH}/{asset.asset_id}", **_expires(asset)}
        if sends:
            with self._pipeline.sender(arrival):
                offset, asset = await self._append(call, asset.asset_id, 0, request)
            headers |= {"Upload-Offset": str(offset), **_expires(asset)}
        return web.Response(status=201, headers=headers)

    def _new(self, headers: Mapping[str, str]) -> NewUpload:
        if "Upload-Length" not in headers:
            raise TusError(400, "the header Upload-Length is missing; it cannot be given later")
        size = _number(headers, "Upload-Length")
        if size > self._parts.settings.largest:
            raise TusError(413, f"an upload has {self._parts.settings.largest} bytes at most")
        metadata = _metadata(headers.get("Upload-Metadata", ""))
        filename = _UNSAFE.sub("_", metadata.get("filename") or metadata.get("name") or "upload")[:255]
        sha256 = metadata.get("sha256", "")
        validate(CreateUploadRequest(filename=filename, size_bytes=size, sha256=sha256))
        # a client that has not asked for it would send the bytes of an asset that is READY
        return NewUpload(filename=filename, size_bytes=size, sha256=sha256, may_be_there=False)

    async def _head(self, call: Call, asset_id: str) -> web.Response:
        upload = await self._parts.uploads.get(call.workspace_id, asset_id)
        offset = (await standing(self._parts.store, upload)).offset
        size = upload.stored.asset.size_bytes
        if offset == size and upload.stored.asset.state != ASSET_STATE_READY:
            offset = await self._finished(call, upload)
        headers = {
            "Upload-Offset": str(offset),
            "Upload-Length": str(size),
            "Upload-Metadata": f"filename {base64.b64encode(upload.stored.asset.filename.encode()).decode()}",
            "Cache-Control": "no-store",
            **_expires(upload.stored.asset),
        }
        return web.Response(status=200, headers=headers)

    async def _finished(self, call: Call, upload: StoredUpload) -> int:
        """Finish what a gateway that died had in hand. Returns the offset, which is 0 again if the bytes were wrong."""
        try:
            await self._parts.finisher.finish(call.workspace_id, upload.stored.asset.asset_id)
        except (Conflict, MediaError):
            upload = await self._parts.uploads.get(call.workspace_id, upload.stored.asset.asset_id)
            return (await standing(self._parts.store, upload)).offset
        return upload.stored.asset.size_bytes

    async def _patch(self, request: web.Request, arrival: Arrival, asset_id: str) -> web.Response:
        if request.content_type != _BYTES:
            raise TusError(415, f"the body must be {_BYTES}, not {request.content_type}")
        offset = _number(request.headers, "Upload-Offset")
        with self._pipeline.sender(arrival):
            call = await self._pipeline.caller(arrival)
            offset, asset = await self._append(call, asset_id, offset, request)
        return web.Response(status=204, headers={"Upload-Offset": str(offset), **_expires(asset)})

    async def _append(self, call: Call, asset_id: str, offset: int, request: web.Request) -> tuple[int, Asset]:
        upload = await self._parts.uploads.get(call.workspace_id, asset_id)
        asset = upload.stored.asset
        _check_length(request, offset, asset.size_bytes)
        checksum = Checksum.parse(request.headers.get("Upload-Checksum", ""))
        offset = await self._parts.writer.append(call.workspace_id, asset_id, offset, _body(request), checksum=checksum)
        if offset == asset.size_bytes:
            asset = await self._parts.finisher.finish(call.workspace_id, asset_id)
        return offset, asset


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.content.iter_chunked(_PIECE):
            yield piece
    except web.RequestPayloadError:
        raise InvalidRequest("the body is cut short or not encoded as its headers say") from None


def _check_length(request: web.Request, offset: int, size: int) -> None:
    if offset + (request.content_length or 0) > size:
        words = f"{request.content_length} bytes from {offset} on are more than the {size} that were declared"
        raise InvalidRequest(words, code=ErrorCode.UPLOAD_TOO_LARGE)


def _number(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name, "")
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise TusError(400, f"the header {name} has to be a number of bytes")
    return int(text)


def _metadata(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for pair in filter(None, (each.strip() for each in text.split(","))):
        key, _, value = pair.partition(" ")
        try:
            pairs[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise TusError(400, f"the value of {key[:50]!r} in Upload-Metadata is not UTF-8 in base64") from None
    return pairs


def _expires(asset: Asset) -> dict[str, str]:
    if asset.state == ASSET_STATE_READY or not asset.HasField("expire_time"):
        return {}
    return {"Upload-Expires": format_datetime(asset.expire_time.ToDatetime(UTC), usegmt=True)}


def _refusal(error: FramewireError, request_id: str) -> web.Response:
    status = error.status if isinstance(error, TusError) else errors.http_status(error)
    response = web.Response(status=status, text=status_json(error, request_id), content_type=JSON)
    if status == 412:
        response.headers["Tus-Version"] = VERSION
    if (pause := errors.retry_after(error)) is not None:
        response.headers["Retry-After"] = str(math.ceil(pause))
    return response
