"""What is not in the contract: who this is, whether it lives, whether it can work, and how to call it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib.metadata import version

from aiohttp import web

from gateway.openapi.document import render
from gateway.readiness import Readiness
from gateway.rest.answers import JSON
from gateway.rest.routes import Route

Page = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pages:
    """GET /, /healthz, /readyz and /openapi.json."""

    def __init__(self, readiness: Readiness, routes: Iterable[Route]) -> None:
        self._readiness = readiness
        self._routes = list(routes)
        self._openapi = ""
        self._pages: Mapping[str, Page] = {
            "/": self._index,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/openapi.json": self._document,
        }

    def find(self, verb: str, path: str) -> Page | None:
        """The page a request means."""
        return self._pages.get(path) if verb in {"GET", "HEAD"} else None

    def verbs(self, path: str) -> list[str]:
        """The HTTP methods a page knows; empty when there is no such page."""
        return ["GET"] if path in self._pages else []

    async def _index(self, request: web.Request) -> web.Response:
        services = sorted({route.method.service for route in self._routes})
        return web.json_response(
            {
                "service": "framewire",
                "version": version("framewire"),
                "api": "/v1",
                "openapi": "/openapi.json",
                "docs": "docs/api.md and docs/rest.md of the same version",
                "health": "/healthz",
                "readiness": "/readyz",
                "services": services,
                "wires": ["grpc", "grpc-web", "rest", "ndjson", "sse"],
            }
        )

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _readyz(self, request: web.Request) -> web.Response:
        report = await self._readiness.report()
        ready = all(state == "ok" for state in report.values())
        return web.json_response({"ready": ready, "dependencies": report}, status=200 if ready else 503)

    async def _document(self, request: web.Request) -> web.Response:
        self._openapi = self._openapi or render(self._routes)
        return web.Response(text=self._openapi, content_type=JSON)
