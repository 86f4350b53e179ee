"""Compare decoding images in processes of their own with decoding in this one.

Run: python benchmarks/decoding.py [--images 40] [--repeats 7]

Both decode the same JPEG and PNG files with the same decoder, one image after the other from one thread; rounds
alternate, so that both see the same machine. Printed are medians in milliseconds an image, of wall time and of CPU time
(this process and the one that decodes), and the differences. The start of the process is printed on its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from pytest_mle.inputs import decoder_processes, images
from pytest_mle.inputs.decoder_worker import DECODERS

CASES = [(64, 48, ".png"), (480, 384, ".jpg"), (1280, 720, ".jpg"), (1280, 720, ".png")]


def decode_here(decoder, data, *, pixel_bytes, arguments, place):  # noqa: ARG001  as decode_apart
    return DECODERS[decoder](data, None, *arguments)


def scenes(width: int, height: int, suffix: str, count: int) -> list[bytes]:
    """Encode smooth random images with some noise, about as large as photographs."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(count):
        coarse = rng.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        noise = rng.integers(0, 12, image.shape, dtype=np.uint8)
        files.append(cv2.imencode(suffix, cv2.add(image, noise))[1].tobytes())
    return files


def cpu_seconds() -> float:
    """Return CPU time of this process and of those that decode for it."""
    seconds = time.process_time()
    for process in decoder_processes._PROCESSES.all:  # noqa: SLF001  their times are nowhere else
        fields = Path(f"/proc/{process._popen.pid}/stat").read_text().rpartition(")")[2].split()  # noqa: SLF001
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def measure(files: list[bytes], read) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), cpu_seconds()
    for data in files:
        read(data)
    return time.perf_counter() - wall, cpu_seconds() - cpu


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    here, apart = decode_here, decoder_processes.decode_apart
    first = scenes(64, 48, ".jpg", 1)[0]
    begin = time.perf_counter()
    images.decode_rgb(first)
    print(f"first image, with the start of the process: {(time.perf_counter() - begin) * 1e3:.0f} ms")
    print(f"{'file':>15} {'what':>5} {'kB':>5} | wall here, apart, more | CPU here, apart, more")
    for width, height, suffix in CASES:
        files = scenes(width, height, suffix, options.images)
        for name, read in (("rgb", images.decode_rgb), ("grey", images.decode_small_grey)):
            found = {here: [], apart: []}
            for _ in range(options.repeats + 1):
                for decode, times in found.items():
                    images.decode_apart = decode
                    times.append(measure(files, read))
            (wall, cpu), (wall_apart, cpu_apart) = (
                [statistics.median(column) * 1e3 / len(files) for column in zip(*times[1:], strict=True)]
                for times in found.values()
            )
            size = sum(map(len, files)) / len(files) / 1e3
            print(
                f"{width:>5} x {height:<4}{suffix} {name:>5} {size:5.0f} | {wall:6.3f} {wall_apart:6.3f}"
                f" {wall_apart - wall:+.3f} ({wall_apart / wall - 1:+.0%}) | {cpu:6.3f} {cpu_apart:6.3f}"
                f" {cpu_apart - cpu:+.3f} ({cpu_apart / cpu - 1:+.0%})"
            )


if __name__ == "__main__":
    main()
