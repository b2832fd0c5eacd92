"""How fast the glyphs dataset is drawn.

    python benchmarks/glyphs_drawing.py [--processes 1] [--images 100800]

Prints one line of JSON. The start of each process (imports, and the distance fields of 756 characters) is counted.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor

from convtrials.data.sources.glyphs import GlyphsSource

CHUNK = 252 * 10
SHAPE = (28, 28, 1)


def draw_range(start: int, stop: int) -> int:
    """Draw images and drop them; say how many."""
    images, _ = GlyphsSource().read(start, stop, SHAPE)
    return len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--images", type=int, default=100_800, help="at most 100,800")
    options = parser.parse_args()
    starts = range(0, options.images, CHUNK)
    stops = [min(start + CHUNK, options.images) for start in starts]
    began = time.perf_counter()
    with ProcessPoolExecutor(options.processes) as pool:
        drawn = sum(pool.map(draw_range, starts, stops))
    seconds = time.perf_counter() - began
    print(
        json.dumps(
            {
                "processes": options.processes,
                "images": drawn,
                "seconds": round(seconds, 2),
                "images_per_second": round(drawn / seconds),
            }
        )
    )


if __name__ == "__main__":
    main()
