"""The outside runtime: VapourSynth decodes, vs-mlrt runs the same weights, x264 encodes, audio is copied.

    PYTHON scripts/vs_mlrt.py CLIP OUTPUT MODEL      one JSON object on stdout

PYTHON has `vapoursynth`, `vapoursynth-mlrt-ort`, a source plugin (BestSource or FFMS2) and `imageio-ffmpeg`.
"""

import json
import resource
import subprocess
import sys
import time

import imageio_ffmpeg
import vapoursynth as vs


def film(clip: str, model: str) -> vs.VideoNode:
    """The clip through the model, in 4:2:0."""
    core = vs.core
    source = core.bs.VideoSource(clip, showprogress=False) if hasattr(core, "bs") else core.ffms2.Source(clip)
    rgb = core.resize.Bicubic(source, format=vs.RGBS, matrix_in_s="170m")
    made = core.ort.Model(rgb, network_path=model, num_streams=2, provider="CPU")
    return core.resize.Bicubic(made, format=vs.YUV420P8, matrix_s="170m")


def main() -> int:
    """Pipe the film to ffmpeg, timed."""
    clip, output, model = sys.argv[1:]
    wall = time.perf_counter()
    vs.core.num_threads = 2
    result = film(clip, model)
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", "-f", "yuv4mpegpipe", "-i", "-", "-i", clip]
    ffmpeg += ["-map", "0:v", "-map", "1:a?", "-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-c:a", "copy"]
    encoder = subprocess.Popen([*ffmpeg, output], stdin=subprocess.PIPE)
    result.output(encoder.stdin, y4m=True)
    encoder.stdin.close()
    status = encoder.wait()
    cpu = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"frames": result.num_frames, "wall": time.perf_counter() - wall, "cpu": cpu}))
    return status


if __name__ == "__main__":
    sys.exit(main())
