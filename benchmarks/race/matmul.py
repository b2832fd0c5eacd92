"""The machine's practical peak: the best matrix product of n x n that torch does here, in bf16 and in fp32."""

import json
import os
import subprocess
import sys
import time

import torch

from benchmarks.race.contestant import own_path
from benchmarks.race.errors import BenchError
from convtrials.core.process import available_cores

#: Seconds after which a precision has been measured enough.
SECONDS = 3.0

#: Seconds that the whole measurement may take; some builds emulate bf16.
LIMIT = 300.0


def matmul_peak(n: int, dtype: torch.dtype, *, seconds: float = SECONDS) -> float:
    """Return floating-point operations a second, the best of some products of two n x n matrices.

    Parameters
    ----------
    n : int
        Rows and columns; a product counts 2 n^3 operations.
    seconds : float
        Products go on for so long, at least two of them.
    """
    left, right = torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype)
    best, products, began = float("inf"), 0, time.perf_counter()
    with torch.inference_mode():
        while products < 2 or time.perf_counter() - began < seconds:
            started = time.perf_counter()
            torch.mm(left, right)
            best = min(best, time.perf_counter() - started)
            products += 1
    return 2 * n**3 / best


def measure_peaks(n: int = 4096, *, seconds: float = SECONDS) -> dict[str, float]:
    """Measure both precisions on all cores, in a process of its own.

    Returns
    -------
    dict
        ``n``, ``threads``, and floating-point operations a second as ``bf16`` and ``fp32``.

    Raises
    ------
    BenchError
        The process ended without an answer.
    """
    command = [sys.executable, "-m", "benchmarks.race.matmul", str(n), str(seconds)]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": own_path()},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=True,
        )
        answer: dict[str, float] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise BenchError(f"the matrix product cannot be measured: {error}") from None
    return answer


def main() -> None:
    """Print both peaks as JSON."""
    n, seconds, threads = int(sys.argv[1]), float(sys.argv[2]), available_cores()
    torch.set_num_threads(threads)
    peaks = {
        name: matmul_peak(n, dtype, seconds=seconds)
        for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32))
    }
    print(json.dumps({"n": n, "threads": threads, **peaks}))


if __name__ == "__main__":
    main()
