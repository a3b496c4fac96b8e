"""A real browser without a window, spoken to over its DevTools."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
from yarl import URL

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
BOUND = 60.0
_SHOWN = """
new Promise((resolve) => {
  const look = () => (CONDITION) ? resolve(document.documentElement.outerHTML) : setTimeout(look, 50);
  look();
})
"""


class Browser:
    """Opens pages one after the other."""

    def __init__(self, port: int) -> None:
        self._root = f"http://127.0.0.1:{port}"

    async def shown(self, address: str, *, once: str) -> str:
        """The page's DOM once the JavaScript expression `once` is true there. Raises TimeoutError."""
        async with asyncio.timeout(BOUND), aiohttp.ClientSession() as http:
            async with http.put(URL(f"{self._root}/json/new?{quote(address, safe='')}", encoded=True)) as answer:
                page = await answer.json()
            async with http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as devtools:
                while True:
                    value = await self._evaluate(devtools, _SHOWN.replace("CONDITION", once))
                    if value is not None:
                        return value

    async def _evaluate(self, devtools: aiohttp.ClientWebSocketResponse, expression: str) -> str | None:
        """None when the page went on to its address meanwhile."""
        parameters = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        await devtools.send_json({"id": 1, "method": "Runtime.evaluate", "params": parameters})
        async for message in devtools:
            said = message.json()
            if said.get("id") == 1:
                value = said.get("result", {}).get("result", {}).get("value")
                return value if isinstance(value, str) else None
        raise ConnectionError("the browser has closed the page")


@contextlib.asynccontextmanager
async def browser(profile: Path) -> AsyncIterator[Browser]:
    """Runs inside the block."""
    argv = [
        str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={profile}", "--remote-debugging-port=0", "--remote-allow-origins=*", "about:blank",
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(BOUND):
            yield Browser(await _port(process))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    async for line in process.stderr:
        if b"DevTools listening on ws://" in line:
            return int(line.decode().split("//", 1)[1].split("/", 1)[0].rsplit(":", 1)[1])
    raise RuntimeError("the browser did not start")
