"""A cut film in a real browser, whose decoder takes parameter sets from the track's description."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from browser import CHROMIUM, browser
from clips import Clip, Pixels, make_clip
from cut_films import closed_gops, decode, edits_of

from coordinator.media.cut.smart_cut import smart_cut

RANGES = [(3, 27), (31, 33), (44, 60)]
PAGE = """<!doctype html><video id=v muted src="/out.mp4"></video><pre id=seen></pre><script>
const video = document.getElementById("v"), canvas = new OffscreenCanvas(64, 48).getContext("2d");
async function look(time) {
  const there = new Promise((done) => video.addEventListener("seeked", done, { once: true }));
  video.currentTime = time;
  await there;
  canvas.drawImage(video, 0, 0);
  return canvas.getImageData(32, 24, 1, 1).data[0];
}
video.addEventListener("loadeddata", async () => {
  const seen = [];
  for (let number = 0; number < FRAMES; number++) seen.push(await look((number + 0.5) / 25));
  await look(0);
  video.addEventListener("ended", () => {
    const told = { seen, duration: video.duration, error: video.error && video.error.message, end: video.currentTime };
    document.getElementById("seen").textContent = JSON.stringify(told);
  });
  video.play();
});
</script>"""


def grey(clip: Clip, number: int) -> Pixels:
    """A plain picture, brighter than the one before."""
    return np.full((clip.height, clip.width, 3), 20 + 3 * number, np.uint8)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
async def test_a_browser_shows_every_picture_around_every_join(tmp_path: Path) -> None:
    # 60 plain frames of 64x48 H.264, each 3 levels brighter
    source = make_clip(tmp_path / "in.mp4", Clip(frames=60, options=closed_gops()), grey)
    cut = smart_cut(source, tmp_path / "out.mp4", edits_of(decode(source), RANGES))
    assert cut.encoded > 0
    told = await _shown(tmp_path, cut.frames)
    assert told["error"] is None
    numbers = [number for first, end in RANGES for number in range(first, end)]
    assert np.abs(np.array(told["seen"]) - [20 + 3 * number for number in numbers]).max() <= 1
    assert told["duration"] == pytest.approx(float(Fraction(len(numbers), 25)), abs=0.03)
    assert told["end"] == pytest.approx(told["duration"], abs=0.05)


async def _shown(folder: Path, frames: int) -> dict[str, object]:
    """What the page saw in every picture, and how playing ended."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE.replace("FRAMES", str(frames)), content_type="text/html")

    async def film(_: web.Request) -> web.FileResponse:
        return web.FileResponse(folder / "out.mp4", headers={"Content-Type": "video/mp4"})

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/out.mp4", film)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with browser(folder / "profile") as window:
            dom = await window.shown(
                f"http://127.0.0.1:{port}/", once="document.getElementById('seen')?.textContent.length > 2"
            )
    finally:
        await runner.cleanup()
    found = re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)
    assert found is not None
    told: dict[str, object] = json.loads(unescape(found[1]))
    return told
