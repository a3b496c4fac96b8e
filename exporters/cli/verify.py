"""`framewire models verify`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from exporters.cli.export import parity_words
from exporters.cli.options import data_option, json_option, repositories, repository_option
from exporters.comparison import CRF, Compared
from exporters.errors import ExportFailed, writing
from exporters.folder import find_model
from exporters.progress import Shown
from exporters.verify import verify, write_quality
from framewire.cli.screen import Screen
from framewire.errors import ErrorCode


@click.command("verify")
@click.argument("model")
@click.argument("clips", nargs=-1, type=click.Path(path_type=Path))
@click.option("--frames", type=click.IntRange(2, 1000), default=24, show_default=True, help="Of each clip.")
@click.option("--crf", type=click.IntRange(0, 51), default=CRF, show_default=True, help="H.264's, of what goes in.")
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Write a PNG: before and after.")
@click.option("--write", is_flag=True, help="Put the numbers into the model's card.")
@repository_option
@data_option
@json_option
def command(
    model: str,
    clips: tuple[Path, ...],
    frames: int,
    crf: int,
    sheet: Path | None,
    write: bool,
    repository: Path | None,
    data: Path | None,
    as_json: bool,
) -> int:
    """Prove MODEL again on a Triton of its own, and measure it on CLIPS beside bicubic interpolation.

    Each clip is made smaller by the model's scale and compressed by H.264, then enhanced; the clip as it was is the
    truth. Without clips four drawn scenes are used. A model that leaves the size gets noise to remove.
    PSNR and SSIM: more is better. Warping error and flicker: less is steadier.

    \b
    Examples:
      framewire models verify enhance_x2
      framewire models verify enhance_x2 holiday.mp4 --sheet sheet.png
    """
    screen = Screen(as_json=as_json)
    if sheet and not sheet.absolute().parent.is_dir():  # said before the work, not behind it
        raise ExportFailed(f"{sheet} cannot be written: there is no such folder", code=ErrorCode.FILE_UNWRITABLE)
    for file in clips:
        if not file.is_file():
            raise ExportFailed(f"there is no file {file}", code=ErrorCode.FILE_NOT_FOUND)
    folder = find_model(model, repositories(data, repository))
    found = verify(folder, clips, frames=frames, crf=crf, progress=Shown(screen))
    screen.words(f"{model}: {parity_words(found.parity)}, against {found.reference}")
    if not found.clips:
        screen.words(f"{found.model.kind}: there is no truth to measure its quality against")
    for clip in found.clips:
        screen.record({"clip": {**clip.record(), "gain": round(clip.gain, 3), "luma_gain": round(clip.luma_gain, 3)}})
    if found.clips:
        screen.words(_table(found.clips))
    if sheet and found.clips:
        from exporters.sheet import write_sheet

        with writing(str(sheet)):
            write_sheet(found.clips, sheet)
        screen.show(str(sheet), {"sheet": {"path": str(sheet)}})
    elif sheet:
        screen.warn(f"{sheet} is not written: there is nothing to compare")
    if write:
        write_quality(folder, found, crf)
    return 0


def _table(clips: tuple[Compared, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in (
        "clip",
        "PSNR of bicubic",
        "PSNR",
        "gain",
        "of luma",
        "SSIM of bicubic",
        "SSIM",
        "warping error",
        "flicker",
    ):
        table.add_column(heading, justify="left" if heading == "clip" else "right", no_wrap=True)
    for clip in clips:
        a, b = clip.before, clip.after
        table.add_row(
            clip.clip,
            f"{a.psnr:.2f} dB",
            f"{b.psnr:.2f} dB",
            f"{clip.gain:+.2f} dB",
            f"{clip.luma_gain:+.2f} dB",
            f"{a.ssim:.4f}",
            f"{b.ssim:.4f}",
            f"{a.warp_error:.3f} -> {b.warp_error:.3f}",
            f"{a.flicker:.3f} -> {b.flicker:.3f}",
        )
    return table
