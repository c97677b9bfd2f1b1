"""What does it take to open an image: its header, its pixels, and the memory meanwhile?

    python benchmarks/opening.py ../shared/data/d6_dice ../shared/data/chess

Prints processor time, the best of ten rounds, for headers and whole photos of the datasets, as they
are and as PNG; then, for each kind of file, the growth of a process that decodes and converts an
image of 36 million pixels, in bytes a pixel.
"""

import argparse
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
import psutil
from PIL import Image

from syndet_ray.data.images import picture
from syndet_ray.data.read import read

ROUNDS = 10
HEADERS, PHOTOS = 1000, 60
SIDE_PX = 6000  # of the image whose memory is measured
TILE_PX = 500  # of which it is made: no encoder makes less of noise that does not repeat
ORIENTATION, QUARTER_TURN = 0x0112, 6  # of EXIF


def main() -> None:
    if sys.argv[1] == "--growth":  # the process that is measured
        print(growth(Path(sys.argv[2])))
        return
    folders = arguments().datasets
    contents = [content for folder in folders for content in image_contents(folder)]
    few = contents[:: len(contents) // PHOTOS][:PHOTOS]
    print(f"{len(contents)} photos, processor time, the best of {ROUNDS} rounds", flush=True)
    speed("JPEG", few)
    speed("PNG", list(map(as_png, few)))
    print(f"bytes a pixel, {SIDE_PX**2 / 1e6:.0f} million pixels", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, write in KINDS.items():
            path = Path(folder, "image")
            write(path)
            print(f"{name}: {bytes_a_pixel(path):.1f}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path, nargs="+", metavar="DATASET")
    return parser.parse_args()


def image_contents(folder: Path) -> list[bytes]:
    splits = read(folder).splits.values()
    return [record.image_bytes() for source in splits for record in source.records]


def as_png(content: bytes) -> bytes:
    file = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def speed(name: str, contents: Sequence[bytes]) -> None:
    many = list(islice(cycle(contents), HEADERS))
    headers_s = best(lambda: [picture.header(content, name) for content in many])
    photos_s = best(lambda: [picture.pixels(content, name) for content in contents])
    print(f"{HEADERS} headers, {name}: {1e3 * headers_s:.1f} ms", flush=True)
    print(f"{len(contents)} photos decoded, {name}: {1e3 * photos_s:.0f} ms", flush=True)


def best(work: Callable[[], object]) -> float:
    """Seconds of this process."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def bytes_a_pixel(path: Path) -> float:
    command = [sys.executable, __file__, "--growth", str(path)]
    return float(subprocess.run(command, check=True, capture_output=True).stdout) / SIDE_PX**2


def growth(path: Path) -> int:
    """Bytes by which this process grows while it decodes an image."""
    picture.header(path, path.name)  # loads the decoder
    before = psutil.Process().memory_info().rss
    picture.pixels(path, path.name)
    return peak_bytes() - before


def peak_bytes() -> int:
    """The most memory that this process had; `ru_maxrss` may be that of the one it came from."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def noise(values: int, channels: int) -> np.ndarray:
    """(SIDE_PX, SIDE_PX, channels) random integers below `values`."""
    dtype = np.uint8 if values <= 1 << 8 else np.uint16
    tile = np.random.default_rng(0).integers(0, values, (TILE_PX, TILE_PX, channels), dtype)
    repeats = SIDE_PX // TILE_PX
    return np.tile(tile, (repeats, repeats, 1))


def as_pillow(kind: str, mode: str = "RGB", **options: object) -> Callable[[Path], None]:
    """A function that writes an image by Pillow."""

    def write(path: Path) -> None:
        image = Image.fromarray(noise(1 << 8, 3)).convert(mode)
        image.save(path, kind, **options)

    return write


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = QUARTER_TURN
    as_pillow("JPEG", exif=exif)(path)


def deep_grey(path: Path) -> None:
    Image.fromarray(noise(1 << 16, 1)[..., 0]).save(path, "PNG", compress_level=1)


def deep_colours(bits: int) -> Callable[[Path], None]:
    """A function that writes a PNG of 16 bits a colour, of which `bits` are used."""

    def write(path: Path) -> None:
        done, content = cv2.imencode(".png", noise(1 << bits, 3))
        assert done
        path.write_bytes(content.tobytes())

    return write


KINDS: dict[str, Callable[[Path], None]] = {
    "JPEG": as_pillow("JPEG"),
    "progressive JPEG": as_pillow("JPEG", progressive=True),
    "turned JPEG": turned,
    "CMYK JPEG": as_pillow("JPEG", "CMYK"),
    "PNG": as_pillow("PNG", compress_level=1),
    "PNG with transparency": as_pillow("PNG", "RGBA", compress_level=1),
    "16 bits grey, PNG": deep_grey,
    "16-bit colours, PNG": deep_colours(16),
    "12 of 16 bits used, PNG": deep_colours(12),
    "TIFF": as_pillow("TIFF"),
    "floats, TIFF": as_pillow("TIFF", "F"),
    "BMP": as_pillow("BMP"),
    "WebP": as_pillow("WEBP", method=0),
    "AVIF": as_pillow("AVIF", speed=10),
}


if __name__ == "__main__":
    main()
