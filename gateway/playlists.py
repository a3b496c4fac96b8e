"""What of running jobs can be watched: their committed segments with signed URLs, kept between two calls.

Players ask every few seconds. A job's log is read once; after that only what is new.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from framewire.bus.interface import EventLog
from framewire.bus.past import past
from framewire.errors import ErrorCode, NotFound, Unavailable
from framewire.jobs.segments import Committed, CommittedSegment, followed_by
from framewire.jobs.states import FINAL, TERMINAL, ends_job, state_name
from framewire.storage.interface import PresignsUrls, SignedRequest
from framewire.storage.keys import segment_key
from framewire.v1.job_pb2 import Event, Job
from gateway.hls import TARGET_SECONDS, Part, media_playlist, target_seconds

_URL_TTL = 3600.0
_LEAST_LEFT = timedelta(minutes=20)
"""A URL is signed anew when it is not good for longer than this: a player may come for a segment late."""
_KEPT = 200
_READ_LIMIT = 20.0


@dataclass(slots=True)
class _View:
    """What is known of one job."""

    number: int = 0
    committed: Committed = ()
    target: int = TARGET_SECONDS
    urls: dict[str, SignedRequest] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def keep(self, urls: set[str]) -> None:
        """Of the URLs that were signed, these: others are of segments that do not count any more."""
        self.urls = {key: signed for key, signed in self.urls.items() if signed.url in urls}

    def forget(self) -> None:
        self.number, self.committed = 0, ()


class Playlists:
    """Playlists of jobs that run or failed."""

    def __init__(self, events: EventLog, store: PresignsUrls) -> None:
        self._events = events
        self._store = store
        self._views: OrderedDict[str, _View] = OrderedDict()

    async def playlist(self, job: Job) -> str:
        """The HLS playlist of what is committed now. The caller has seen that the job exists.

        Raises NotFound: PLAYLIST_NOT_READY, retryable, before anything is committed; PLAYLIST_GONE when it ended and
        its segments went. Raises Unavailable.
        """
        last = await self._events.last(job.job_id)
        if last is None or (ends_job(last) and last.status.state in FINAL):
            self._views.pop(job.job_id, None)
            raise _nothing(last, ended=last is not None or job.state in TERMINAL)
        view = self._view(job.job_id)
        async with view.turn:
            await self._catch_up(view, job.job_id, last.number)
            if not view.committed:
                raise _nothing(last, ended=ends_job(last))
            urls = await asyncio.gather(*(self._url(view, job, each) for each in view.committed))
            view.keep(set(urls))
            parts = [Part(segment=each.segment, url=url) for each, url in zip(view.committed, urls, strict=True)]
            target = view.target
        return media_playlist(parts, ended=ends_job(last), target=target)

    def _view(self, job_id: str) -> _View:
        view = self._views.setdefault(job_id, _View())
        self._views.move_to_end(job_id)
        while len(self._views) > _KEPT:
            self._views.popitem(last=False)
        return view

    async def _catch_up(self, view: _View, job_id: str, until: int) -> None:
        if until < view.number:
            view.forget()  # the log was restored from an older copy
        try:
            async with (
                asyncio.timeout(_READ_LIMIT),
                aclosing(past(self._events, job_id, after=view.number, until=until)) as told,
            ):
                async for event in told:
                    view.committed, view.number = followed_by(view.committed, event), event.number
                    if event.HasField("input"):
                        view.target = target_seconds(event.input.media.video.fps)
        except TimeoutError:
            raise Unavailable("the job's log cannot be read in time", code=ErrorCode.BUS_UNAVAILABLE) from None

    async def _url(self, view: _View, job: Job, each: CommittedSegment) -> str:
        key = segment_key(job.workspace_id, job.job_id, each.attempt, each.segment.index)
        signed = view.urls.get(key)
        if signed is None or signed.expires - datetime.now(UTC) < _LEAST_LEFT:
            signed = view.urls[key] = await self._store.presign_get(key, ttl=_URL_TTL, filename="segment.mp4")
        return signed.url


def _nothing(last: Event | None, *, ended: bool) -> NotFound:
    """Why there is no playlist: not yet, or not any more."""
    if not ended:
        message = "nothing of the result can be watched yet; ask again in a second"
        return NotFound(message, code=ErrorCode.PLAYLIST_NOT_READY, retryable=True)
    if last is None:
        message = "the job's events are no longer kept; look at the job for its result"
    else:
        outputs = "".join(f"; its result is {output.asset_id}" for output in last.status.outputs)
        message = f"the job has {state_name(last.status.state)}{outputs}"
    return NotFound(message, code=ErrorCode.PLAYLIST_GONE)
