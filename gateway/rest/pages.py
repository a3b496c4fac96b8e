"""What is not in the contract: who this is, whether it lives, whether it can work."""

from __future__ import annotations

from importlib.metadata import version

from aiohttp import web

from gateway.readiness import Readiness


def add_pages(app: web.Application, readiness: Readiness) -> None:
    """GET /, /healthz and /readyz."""

    async def index(request: web.Request) -> web.Response:
        return web.json_response({"service": "framewire", "version": version("framewire"), "api": "/v1"})

    async def healthz(request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def readyz(request: web.Request) -> web.Response:
        report = await readiness.report()
        ready = all(state == "ok" for state in report.values())
        return web.json_response({"ready": ready, "dependencies": report}, status=200 if ready else 503)

    app.router.add_get("/", index)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
