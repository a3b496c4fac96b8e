"""Which pages may call, and by which names this port may be called: CORS, and what keeps other sites' pages out.

A page can make a name of its own point to 127.0.0.1. What it then sends comes with that name as Host.
"""

from __future__ import annotations

import ipaddress

from aiohttp import web

from framewire.errors import InvalidRequest
from gateway.rest.settings import HttpSettings

_EXPOSED = (
    "etag, location, retry-after, ratelimit, ratelimit-policy, preference-applied, x-request-id, "
    "grpc-status, grpc-message, grpc-status-details-bin, tus-checksum-algorithm, tus-extension, tus-max-size, "
    "tus-resumable, tus-version, upload-expires, upload-length, upload-metadata, upload-offset"
)
_TAKEN = (
    "accept, authorization, content-type, grpc-timeout, idempotency-key, if-none-match, last-event-id, prefer, "
    "x-grpc-web, x-request-id, x-user-agent, tus-resumable, upload-checksum, upload-length, upload-metadata, "
    "upload-offset, x-http-method-override, x-requested-with"
)
_VERBS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_DAY = "86400"
_OF_FORMS = frozenset({"", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
"""Content types a browser sends to any site without asking it first, the one of an empty body among them."""


class Origins:
    """The two lists, asked for every request."""

    def __init__(self, settings: HttpSettings) -> None:
        self._origins = frozenset(settings.origins)
        self._hosts = frozenset(host.lower() for host in settings.hosts)

    def check_host(self, request: web.Request) -> None:
        """Raise InvalidRequest unless the request names this port by a name it has."""
        host = _without_port(request.headers.get("Host", ""))
        if "*" not in self._hosts and host not in self._hosts and not _is_local(host):
            raise InvalidRequest(f"this server is not known as {host[:100]!r}; FRAMEWIRE_REST_HOSTS lists its names")

    def check_page(self, request: web.Request) -> None:
        """Raise InvalidRequest for a POST that a browser sent for a page that may not call, and did not ask about."""
        origin = request.headers.get("Origin")
        if request.method != "POST" or origin is None or {origin, "*"} & self._origins:
            return
        own = origin.partition("://")[2].lower() == request.headers.get("Host", "").lower()
        kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not own and kind in _OF_FORMS:
            raise InvalidRequest(f"pages of {origin[:100]!r} may not call; FRAMEWIRE_REST_ORIGINS lists those that may")

    def headers(self, request: web.BaseRequest) -> dict[str, str]:
        """What a browser has to be told with any answer; nothing for a page that may not call."""
        origin = request.headers.get("Origin")
        if not self._origins:
            return {}
        if origin is None or not {origin, "*"} & self._origins:
            return {"Vary": "Origin"}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": _EXPOSED,
            "Vary": "Origin",
        }

    def preflight(self, request: web.Request) -> web.Response | None:
        """The answer to a browser that asks before it sends; None when this is no such question."""
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        response = web.Response(status=204)
        if "Access-Control-Allow-Origin" in self.headers(request):
            response.headers["Access-Control-Allow-Methods"] = _VERBS
            response.headers["Access-Control-Allow-Headers"] = _TAKEN
            response.headers["Access-Control-Max-Age"] = _DAY
        return response


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _is_local(host: str) -> bool:
    if host in {"localhost", ""} or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
