"""JobService.GetPlaylist."""

from __future__ import annotations

from google.api.httpbody_pb2 import HttpBody

from framewire.db.jobs import JobStore
from framewire.v1.job_pb2 import GetPlaylistRequest
from gateway.hls import CONTENT_TYPE
from gateway.pipeline import Call
from gateway.playlists import Playlists


class PlaylistHandlers:
    """The running job as a film."""

    def __init__(self, jobs: JobStore, playlists: Playlists) -> None:
        self._jobs = jobs
        self._playlists = playlists

    async def get_playlist(self, call: Call, request: GetPlaylistRequest) -> HttpBody:
        """An HLS playlist of what is committed."""
        job = await self._jobs.get(call.workspace_id, request.job_id)
        text = await self._playlists.playlist(job)
        return HttpBody(content_type=CONTENT_TYPE, data=text.encode())
