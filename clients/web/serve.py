"""Serves the pages and passes calls on to a gateway, so that both have one origin, as behind a reverse proxy.

python clients/web/serve.py [--port 7690] [--gateway http://127.0.0.1:7680]
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout, web

PAGES = ("watch.html", "grpc-web.html", "grpc-web.js")
PASSED_ON = ("Accept", "Content-Type", "Last-Event-ID")
SESSION = web.AppKey("session", ClientSession)
GATEWAY = web.AppKey("gateway", str)


async def page(request: web.Request) -> web.FileResponse:
    """One of the pages; watch.html when none is named."""
    return web.FileResponse(Path(__file__).with_name(request.path.strip("/") or PAGES[0]))


async def pass_on(request: web.Request) -> web.StreamResponse:
    """The gateway's answer, piece by piece as it comes: a watch is one long answer."""
    if request.url.host not in {"127.0.0.1", "localhost"}:
        raise web.HTTPForbidden(text="this address is for pages of this machine")
    headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
    address = request.app[GATEWAY] + request.raw_path
    body = await request.read()
    async with request.app[SESSION].request(request.method, address, data=body or None, headers=headers) as answer:
        response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        return response


async def _session(app: web.Application) -> AsyncIterator[None]:
    # no limit on the whole answer; the gateway says something at least every 15 seconds
    async with ClientSession(timeout=ClientTimeout(total=None, sock_connect=10, sock_read=60)) as session:
        app[SESSION] = session
        yield


def application(gateway: str) -> web.Application:
    """Both, as one application."""
    app = web.Application()
    app[GATEWAY] = gateway.rstrip("/")
    app.cleanup_ctx.append(_session)
    for name in ("", *PAGES):
        app.router.add_get(f"/{name}", page)
    app.router.add_route("*", "/v1/{rest:.*}", pass_on)
    app.router.add_post("/{method:framewire[.]v1[.].*}", pass_on)
    return app


def main() -> None:
    """Serve on 127.0.0.1 until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A page that shows jobs.")
    parser.add_argument("--port", type=int, default=7690)
    parser.add_argument("--gateway", default="http://127.0.0.1:7680", help="REST address of a gateway")
    arguments = parser.parse_args()
    web.run_app(application(arguments.gateway), host="127.0.0.1", port=arguments.port, handler_cancellation=True)


if __name__ == "__main__":
    main()
