"""How much one caller, and all of them together, may ask for. Nothing here waits: what is too much is refused at once.

address, key --Buckets--> RATE_LIMITED (429)          calls, streams --Places--> OVERLOADED (503)
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType

from framewire.errors import ErrorCode, TooMuch
from gateway.proxies import Proxies

_CALLERS = 65_536
"""Callers whose use is remembered; the one that was silent longest is forgotten first."""
_NETWORK_BITS = 64  # of an IPv6 address; the others are as their owner likes
_STREAM_PAUSE = 5.0  # seconds after which a place for a stream may be free
_CALL_PAUSE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """What is too much. 0 switches a limit off."""

    calls: int = 10_000
    """Calls an address, or a key, may make in `window`, and at once."""
    window: int = 10
    """Seconds in which a used-up bucket is full again."""
    streams_per_address: int = 2_000
    """Streams one address may have open."""
    streams: int = 5_000
    """Streams all of them may have open together."""
    senders: int = 64
    """Uploads that may pass through this gateway at the same time: each holds up to one part, 8 MiB."""
    calls_at_once: int = 500
    """Calls with one answer that may run at the same time."""
    deadline: float = 660.0
    """Seconds a call with one answer may take; completing an upload may take 600."""
    proxies: Proxies = Proxies()  # noqa: RUF009 - frozen
    """Who is believed about the address a call comes from."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a bucket says of itself: the draft's RateLimit fields."""

    name: str
    quota: int
    window: int
    left: int
    full_in: int
    """Seconds until the bucket is full."""

    @property
    def headers(self) -> dict[str, str]:
        """As HTTP headers (draft-ietf-httpapi-ratelimit-headers)."""
        return {
            "RateLimit-Policy": f'"{self.name}";q={self.quota};w={self.window}',
            "RateLimit": f'"{self.name}";r={self.left};t={self.full_in}',
        }


class Buckets:
    """One token bucket a caller. Full at first; refilled evenly."""

    def __init__(
        self,
        name: str,
        quota: int,
        window: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        counted: str = "calls",
    ) -> None:
        self._name = name
        self._counted = counted
        self._quota = quota
        self._window = window
        self._clock = clock
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> Allowance:
        """Take one token. Raises TooMuch (RATE_LIMITED) when there is none, with the time until there is."""
        now = self._clock()
        tokens, since = self._tokens.pop(caller, (float(self._quota), now))
        tokens = min(self._quota, tokens + (now - since) * self._quota / self._window)
        enough = tokens >= 1.0
        self._tokens[caller] = (tokens - enough, now)
        if len(self._tokens) > _CALLERS:
            self._tokens.popitem(last=False)
        if not enough:
            wait = (1.0 - tokens) * self._window / self._quota
            words = f"more than {self._quota} {self._counted} in {self._window} s from this {self._name}"
            raise TooMuch(words, code=ErrorCode.RATE_LIMITED, retry_after=wait)
        left = tokens - 1.0
        full_in = math.ceil((self._quota - left) * self._window / self._quota)
        return Allowance(self._name, self._quota, self._window, int(left), full_in)


class _Place:
    """Counts those inside. A class: this is around every call."""

    __slots__ = ("_count",)

    def __init__(self, count: Callable[[int], None]) -> None:
        self._count = count

    def __enter__(self) -> None:
        """One more."""
        self._count(1)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """One less."""
        self._count(-1)


@functools.lru_cache(maxsize=4096)
def counted(address: str) -> str:
    """As what an address is counted: whoever has one of IPv6 has the 2**64 of its network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), _NETWORK_BITS), strict=False))


class Gate:
    """The limits of one gateway process."""

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self._addresses = Buckets("address", settings.calls, settings.window) if settings.calls else None
        self._keys = Buckets("key", settings.calls, settings.window) if settings.calls else None
        self._calls = 0
        self._streams = 0
        self._senders = 0
        self._streams_of: dict[str, int] = {}
        self._place = _Place(self._count_call)

    @property
    def deadline(self) -> float:
        """Seconds a call may take at most."""
        return self._settings.deadline

    def address(self, peer: str, metadata: Mapping[str, str]) -> str:
        """The address that is limited: the client's own, where a trusted proxy tells it; of IPv6, its network."""
        return counted(self._settings.proxies.client(peer, metadata))

    def count(self, address: str, key: str) -> Allowance | None:
        """One more call of a caller; either may be empty. Raises TooMuch (RATE_LIMITED)."""
        allowance = self._addresses.take(address) if self._addresses and address else None
        if self._keys and key:
            return self._keys.take(key)
        return allowance

    def call(self) -> _Place:
        """A place for a call with one answer, for as long as a block lasts. Raises TooMuch (OVERLOADED)."""
        if self._settings.calls_at_once and self._calls >= self._settings.calls_at_once:
            raise TooMuch("too many calls are running", code=ErrorCode.OVERLOADED, retry_after=_CALL_PAUSE)
        return self._place

    def _count_call(self, change: int) -> None:
        self._calls += change

    def open_stream(self, address: str) -> Callable[[], None]:
        """A place for a stream; call what it returns when the stream is over, once or more often.

        Raises TooMuch: RATE_LIMITED when this address has too many, OVERLOADED when all together have.
        """
        own = self._streams_of.get(address, 0)
        if self._settings.streams_per_address and own >= self._settings.streams_per_address:
            words = f"this address has {own} streams open, as many as it may"
            raise TooMuch(words, code=ErrorCode.RATE_LIMITED, retry_after=_STREAM_PAUSE)
        if self._settings.streams and self._streams >= self._settings.streams:
            raise TooMuch("too many streams are open", code=ErrorCode.OVERLOADED, retry_after=_STREAM_PAUSE)
        self._streams += 1
        self._streams_of[address] = own + 1
        place = [address]

        def leave() -> None:
            if place:
                self._leave(place.pop())

        return leave

    @contextlib.contextmanager
    def sender(self, address: str) -> Iterator[None]:
        """A place for an upload, which is a stream too. Raises TooMuch, as `open_stream`."""
        if self._settings.senders and self._senders >= self._settings.senders:
            raise TooMuch("too many uploads are running", code=ErrorCode.OVERLOADED, retry_after=_STREAM_PAUSE)
        leave = self.open_stream(address)
        self._senders += 1
        try:
            yield
        finally:
            self._senders -= 1
            leave()

    def _leave(self, address: str) -> None:
        self._streams -= 1
        self._streams_of[address] -= 1
        if not self._streams_of[address]:
            del self._streams_of[address]
