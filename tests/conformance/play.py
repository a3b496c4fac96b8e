"""Plays a scenario of clients/scenarios over one wire and writes down what it saw."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from wires import JSON, Refusal, Wire

SCENARIOS = sorted((Path(__file__).resolve().parents[2] / "clients" / "scenarios").glob("*.json"))
WITHIN = 60.0
_TRIES = 3
_IDS = re.compile(r"\b(ast|job)_[0-9a-z]{26}\b")


class Player:
    """One run of one scenario."""

    def __init__(self, wire: Wire, http: aiohttp.ClientSession, media: Callable[[JSON], bytes]) -> None:
        self._wire = wire
        self._http = http
        self._media = media
        self._known: dict[str, Any] = {}
        self.transcript: list[Any] = []
        """What every step answered with; two wires have to agree on it."""
        self.jobs: list[str] = []

    async def play(self, scenario: JSON) -> None:
        """Every step in order; AssertionError where an answer is not what is expected."""
        for number, step in enumerate(scenario["steps"]):
            async with asyncio.timeout(WITHIN):
                try:
                    seen = await self._step(self._filled(step))
                except AssertionError as error:
                    raise AssertionError(f"step {number} over {self._wire.name}: {error}") from error
            self._known[step.get("as", "")] = seen

    async def _step(self, step: JSON) -> Any:
        if "upload" in step:
            seen: Any = await self._upload(step["upload"])
        elif "send" in step:
            seen = await self._send(step)
        elif "watch" in step:
            return await self._watch(step)
        else:
            seen = await self._call(step)
        contains(seen, step.get("expect", {}))
        if "jobId" in seen and seen["jobId"] not in self.jobs:
            self.jobs.append(seen["jobId"])
        return seen

    async def _call(self, step: JSON) -> JSON:
        seen = await self._refused(step, step["call"], self._answer(step))
        if "error" not in step:
            self.transcript.append([step["call"], plain(seen)])
        return seen

    async def _send(self, step: JSON) -> JSON:
        """Bytes through the gateway, to where they are said to belong."""
        seen = await self._refused(step, "send", self._sent(step["send"]))
        self.transcript.append(["send", seen])
        return seen

    async def _sent(self, sent: JSON) -> JSON:
        """As every client does, from where the upload stands when the refusal may pass."""
        data, begin = str(sent["bytes"]).encode(), int(sent["offset"])
        offset = begin
        for left in range(_TRIES, -1, -1):
            try:
                return {"offset": str(await self._wire.send(sent["assetId"], offset, data[offset - begin :]))}
            except Refusal as refusal:
                if not refusal.passes or not left:
                    raise
                now = await self._wire.call("AssetService/GetUpload", {"assetId": sent["assetId"]})
                offset = int(now.get("offset", 0))
        raise AssertionError("not reached")

    async def _refused(self, step: JSON, name: str, answer: Awaitable[JSON]) -> JSON:
        """The answer; empty when it is the refusal that the step expects."""
        try:
            seen = await answer
        except Refusal as refusal:
            self.transcript.append([name, refusal.code, refusal.grpc_code, refusal.fields])
            error = refusal
        else:
            assert "error" not in step, f"{name} succeeded, but not with {step['error']}"
            return seen
        assert error.code == step.get("error"), f"{name}: {error}"
        assert not step.get("fields") or error.fields[: len(step["fields"])] == step["fields"]
        return {}

    async def _answer(self, step: JSON) -> JSON:
        """The answer; with `after`, the first that has folded the event of this number: rows come after the log."""
        while True:
            seen = await self._wire.call(step["call"], step["request"])
            if int(seen.get("lastEvent", 0)) >= int(step.get("after", 0)):
                return seen

    async def _upload(self, upload: JSON) -> JSON:
        data = self._media(upload)
        request = {
            "filename": upload["filename"],
            "sizeBytes": str(len(data)),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        reserved = await self._wire.call("AssetService/CreateUpload", request)
        if reserved["asset"].get("state") == "ASSET_STATE_READY":  # an earlier scenario has sent these bytes
            return reserved["asset"]
        signed = reserved["upload"]
        headers = signed.get("headers", {})
        async with self._http.request(signed["method"], signed["url"], data=data, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
        return await self._wire.call("AssetService/CompleteUpload", {"assetId": reserved["asset"]["assetId"]})

    async def _watch(self, step: JSON) -> list[JSON]:
        seen: list[JSON] = []
        async with contextlib.aclosing(self._wire.watch(step["watch"])) as events:
            async for event in events:
                seen.append(event)
                if step.get("until") == word(event):
                    break
        numbers = [int(event["number"]) for event in seen]
        assert numbers == sorted(set(numbers))
        story = [word(event) for event in seen if word(event) not in UNCOUNTED]
        self.transcript.append(["watch", story])
        if "expect" in step:
            assert story == step["expect"]
        return seen

    def _filled(self, part: Any) -> Any:
        """With `$name.field` replaced by what it stands for."""
        if isinstance(part, dict):
            return {name: self._filled(each) for name, each in part.items()}
        if isinstance(part, list):
            return [self._filled(each) for each in part]
        return re.sub(r"\$([\w.-]+)", self._look_up, part) if isinstance(part, str) else part

    def _look_up(self, found: re.Match[str]) -> str:
        name, *path = found.group(1).split(".")
        value = self._known[name]
        for key in path:
            value = value[int(key)] if isinstance(value, list) else value[key]
        return str(value)


UNCOUNTED = {"progress", "segment", "preview"}
"""Kinds of which there are more or fewer, as time goes."""


def word(event: JSON) -> str:
    """A status by its state, anything else by its kind."""
    if "status" in event:
        return str(event["status"]["state"]).removeprefix("JOB_STATE_")
    return next(kind for kind in ("progress", "input", "log", "preview", "segment") if kind in event)


def contains(seen: Any, expected: Any) -> None:
    """Everything expected is there; lists match from their beginning."""
    if isinstance(expected, dict):
        for name, value in expected.items():
            assert name in seen, f"{name} is missing in {seen}"
            contains(seen[name], value)
    elif isinstance(expected, list):
        assert len(seen) >= len(expected)
        for one, value in zip(seen, expected, strict=False):
            contains(one, value)
    else:
        assert seen == expected


def plain(seen: Any) -> Any:
    """Without what no two runs have in common: ids, times, what it took, event numbers, addresses, queue places."""
    if isinstance(seen, dict):
        return {name: plain(value) for name, value in seen.items() if name not in _OWN and not name.endswith("Time")}
    if isinstance(seen, list):
        return [plain(each) for each in seen]
    return _IDS.sub(r"\1_*", seen) if isinstance(seen, str) else seen


_OWN = {
    *("lastEvent", "url", "progress", "queuePosition", "queueEta", "sha256", "idempotencyKey", "nextPageToken"),
    "usage",  # what a job took, and when
}


async def events_of(wire: Wire, job_id: str) -> list[JSON]:
    """All events of a job that has ended."""
    async with asyncio.timeout(WITHIN), contextlib.aclosing(wire.watch({"jobId": job_id})) as events:
        return [event async for event in events]


def load(path: Path) -> JSON:
    """A scenario."""
    found: JSON = json.loads(path.read_text())
    return found


def scripted(upload: JSON) -> bytes:
    """What a worker with a scripted runner takes for a clip."""
    return json.dumps(upload["script"]).encode() if "script" in upload else str(upload["bytes"]).encode()
