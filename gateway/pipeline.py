"""What happens to every call, whichever wire it came on:

request id -> who calls -> limits -> parse -> the contract's rules -> handler -> only typed errors leave
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from google.protobuf.message import Message

from framewire.errors import ErrorCode, FramewireError, Unavailable
from framewire.logs import log_context
from gateway import errors
from gateway.limits import Gate, LimitSettings
from gateway.methods import Method
from gateway.principal import Identify, Principal, anonymous
from gateway.shared import Messages, Offer, Pushing, Shared, shared
from gateway.validation import validate

REQUEST_ID = "x-request-id"
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")  # it goes into logs and headers as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a handler may know about a call beside its request."""

    request_id: str
    principal: Principal

    @property
    def workspace_id(self) -> str:
        """The workspace the call works in."""
        return self.principal.workspace_id


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call as a wire received it. Names in `metadata` are lower-case."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""
    peer: str = ""
    """The address it came from, without port; empty when it is not known."""
    timeout: float | None = None
    """Seconds the caller will wait for an answer."""
    headers: dict[str, str] = field(default_factory=dict)
    """What the pipeline wants told beside the answer."""

    @classmethod
    def of(cls, metadata: Mapping[str, str], *, peer: str = "", timeout: float | None = None) -> Arrival:
        """With the caller's request id where it sent an acceptable one, with a new one otherwise."""
        given = metadata.get(REQUEST_ID, "")
        return cls(metadata, given if _ACCEPTABLE_ID.fullmatch(given) else _new_id(), peer, timeout)


def _new_id() -> str:
    """26 hexadecimal digits, later ones greater. Nothing is secret about it."""
    return f"{time.time_ns() >> 20:011x}{random.getrandbits(60):015x}"


UnaryHandler = Callable[[Call, Any], Awaitable[Message]]
StreamHandler = Callable[[Call, Any], Awaitable[Messages | AsyncGenerator[Any, None] | None]]
"""Checks first, then the messages; None when it is known that there will be none."""
IntakeHandler = Callable[[Call, AsyncIterator[Any]], Awaitable[Message]]
"""Messages in, one answer."""

Parse = Callable[[], Message]
_Handler = TypeVar("_Handler")


class Pipeline:
    """The handlers by full method name, and the way to them. Raises nothing but FramewireError."""

    def __init__(
        self,
        *,
        unary: Mapping[str, UnaryHandler],
        streams: Mapping[str, StreamHandler],
        intakes: Mapping[str, IntakeHandler] | None = None,
        identify: Identify = anonymous,
        gate: Gate | None = None,
    ) -> None:
        self._unary = unary
        self._streams = streams
        self._intakes = intakes or {}
        self._identify = identify
        self._gate = gate or Gate(LimitSettings())

    def logged(self, method: Method, arrival: Arrival) -> contextlib.AbstractContextManager[None]:
        """Records logged inside carry the request id and the method."""
        return log_context(request_id=arrival.request_id, method=method.full_name)

    def arrive(self, metadata: Mapping[str, str], *, peer: str, timeout: float | None = None) -> Arrival:
        """A call that came from `peer`, or through it. Names in `metadata` are lower-case."""
        return Arrival.of(metadata, peer=self._gate.address(peer, metadata), timeout=timeout)

    async def call(self, method: Method, parse: Parse, arrival: Arrival) -> Message:
        """The answer of a method that gives one, within the caller's time."""
        with errors.only_typed(arrival.request_id), self._gate.call():
            bound = self._bound(arrival)
            try:
                async with asyncio.timeout(bound):
                    call, request = await self._admit(parse, arrival)
                    return await _known(self._unary, method)(call, request)
            except TimeoutError:
                raise _too_long(bound) from None

    @contextlib.asynccontextmanager
    async def brief(self, arrival: Arrival) -> AsyncIterator[Call]:
        """The place and the time of a call with one answer, for one that no method of the contract stands for."""
        with self._gate.call():
            bound = self._bound(arrival)
            try:
                async with asyncio.timeout(bound):
                    yield await self.caller(arrival)
            except TimeoutError:
                raise _too_long(bound) from None

    async def stream(self, method: Method, parse: Parse, arrival: Arrival) -> Answers | None:
        """The answers of a method that streams, None when there will be none. Close the iterator."""
        with errors.only_typed(arrival.request_id):
            call, request = await self._admit(parse, arrival)
            leave = self._gate.open_stream(arrival.peer)
            try:
                messages = await _known(self._streams, method)(call, request)
            except BaseException:
                leave()
                raise
        if messages is None:
            leave()
            return None
        return Answers(messages, arrival, leave)

    async def intake(self, method: Method, requests: AsyncIterator[Parse], arrival: Arrival) -> Message:
        """The answer of a method that is asked with a stream, for which a place among the streams is taken."""
        with errors.only_typed(arrival.request_id), self.sender(arrival):
            return await _known(self._intakes, method)(await self.caller(arrival), _checked(requests))

    def sender(self, arrival: Arrival) -> contextlib.AbstractContextManager[None]:
        """A place for somebody who sends for longer than a call takes. Raises TooMuch."""
        return self._gate.sender(arrival.peer)

    async def caller(self, arrival: Arrival) -> Call:
        """Who calls, counted. Raises TooMuch (RATE_LIMITED)."""
        principal = await self._identify(arrival.metadata)
        if allowance := self._gate.count(arrival.peer, principal.key):
            arrival.headers.update(allowance.headers)
        return Call(request_id=arrival.request_id, principal=principal)

    def _bound(self, arrival: Arrival) -> float:
        longest = self._gate.deadline or float("inf")
        return longest if arrival.timeout is None else min(arrival.timeout, longest)

    async def _admit(self, parse: Parse, arrival: Arrival) -> tuple[Call, Message]:
        call = await self.caller(arrival)
        request = parse()
        validate(request)
        return call, request


def _too_long(bound: float) -> Unavailable:
    return Unavailable(f"not done within {bound:g} s", code=ErrorCode.DEADLINE_EXCEEDED)


async def _checked(requests: AsyncIterator[Parse]) -> AsyncIterator[Message]:
    async for parse in requests:
        request = parse()
        validate(request)
        yield request


def _known(handlers: Mapping[str, _Handler], method: Method) -> _Handler:
    try:
        return handlers[method.full_name]
    except KeyError:
        raise FramewireError(f"{method.full_name} is not served", code=ErrorCode.UNIMPLEMENTED) from None


class Answers:
    """The messages of one stream. Its place is given back when it is read to the end, closed, or forgotten unread."""

    __slots__ = ("_arrival", "_leave", "_messages")

    def __init__(
        self, messages: Messages | AsyncGenerator[Any, None], arrival: Arrival, leave: Callable[[], None]
    ) -> None:
        self._messages = messages
        self._arrival = arrival
        self._leave = leave

    def __del__(self) -> None:
        self._leave()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Shared[Any]:
        """Only typed errors leave."""
        try:
            return shared(await anext(self._messages))
        except BaseException as error:
            await self.aclose()
            if isinstance(error, StopAsyncIteration | FramewireError) or not isinstance(error, Exception):
                raise
            raise errors.typed(error, self._arrival.request_id) from error

    async def aclose(self) -> None:
        """Idempotent."""
        self._leave()
        await self._messages.aclose()

    async def pushed(self, offer: Offer) -> None:
        """As `Pushing` has it; returns at once where nothing comes by itself."""
        if isinstance(self._messages, Pushing):
            await self._messages.pushed(offer)
