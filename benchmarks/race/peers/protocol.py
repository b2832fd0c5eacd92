"""How a contestant speaks with the benchmark: a JSON object a line, in on standard input, out on standard output.

    out  {"ready": true, "parameters": 5351652, "step_seconds": 0.4, ...}   once, after the first steps
    in   {"seconds": 4.0} or {"steps": 6}                                   what to train next
    out  {"images": 1536, "steps": 6, "seconds": 4.1, "cpu_seconds": 8.0, "loss": 3.2}

The questions are asked between two steps of a training that never ends, so that a round measures training under way:
`fit` has started, kernels are compiled, memory is warm. When standard input ends, so does the contestant.

A file on its own: scripts in environments of their own import it from beside them, convtrials as a module.
"""

import argparse
import json
import os
import platform
import queue
import threading
import time
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

#: Steps before a contestant is ready, unless it asks for more.
WARM_STEPS = 2

#: A round given in seconds has this many steps at least.
FEWEST_STEPS = 2


class Rounds:
    """The side of the contestant; make it before anything is printed.

    Parameters
    ----------
    warm_steps : int
        Steps before the contestant says that it is ready.
    """

    def __init__(self, warm_steps: int = WARM_STEPS) -> None:
        self._questions = _take_standard_input()
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # what a library prints must not look like an answer
        self._warm_steps = warm_steps
        self._facts: dict[str, Any] | None = None
        self._wanted: dict[str, float] = {}
        self._steps = self._images = 0
        self._started = self._cpu_started = 0.0
        self._orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        """Read what is asked beside the training, so that the end of the race is seen in the middle of a round."""
        for line in self._questions:
            self._orders.put(line)
        _leave()

    def introduce(self, parameters: int, choice: str, packages: tuple[str, ...], **facts: Any) -> None:
        """Say who will train from now on; it is sent after the first steps.

        Parameters
        ----------
        parameters : int
            Of the network: the benchmark checks that all train the same.
        choice : str
            How it is computed, in a few words.
        packages : tuple of str
            Those whose versions matter.
        **facts
            Whatever else belongs into the results, as JSON can hold it.
        """
        versions = {"python": platform.python_version()} | {name: metadata.version(name) for name in packages}
        self._facts = {
            "ready": True,
            "parameters": parameters,
            "choice": choice,
            "versions": versions,
            **facts,
        }
        self._started = time.perf_counter()

    def after_step(self, images: int, loss: Any, steps: int = 1) -> None:
        """Count a step; at the end of a round answer, and return when the next one begins.

        Parameters
        ----------
        images : int
            Images that the step trained on.
        loss : number, or what ``float`` makes one of
            Looked at when a round ends, and only then.
        steps : int
            How many steps are being counted, where a peer takes several at a time.
        """
        self._steps += steps
        self._images += images
        seconds = time.perf_counter() - self._started
        if self._facts is not None:
            if self._steps >= self._warm_steps:
                self._say({**self._facts, "step_seconds": seconds / self._steps})
                self._facts = None
                self._wait()
            return
        if self._over(seconds):
            answer = {"images": self._images, "steps": self._steps, "seconds": seconds}
            self._say({**answer, "cpu_seconds": _cpu_seconds() - self._cpu_started, "loss": float(loss)})
            self._wait()

    def _over(self, seconds: float) -> bool:
        if "steps" in self._wanted:
            return self._steps >= self._wanted["steps"]
        return self._steps >= FEWEST_STEPS and seconds >= self._wanted["seconds"]

    def _wait(self) -> None:
        self._wanted = json.loads(self._orders.get())
        self._steps = self._images = 0
        self._cpu_started, self._started = _cpu_seconds(), time.perf_counter()

    def _say(self, value: dict[str, Any]) -> None:
        try:
            self._answers.write(json.dumps(value) + "\n")
            self._answers.flush()
        except BrokenPipeError:
            _leave()


def _take_standard_input() -> BinaryIO:
    """Return what comes in on standard input, as a file that is ours alone; for everything else it is empty.

    A process that is forked closes `sys.stdin` first of all (a loader's worker, any of `multiprocessing`), and would
    wait for ever for the lock that a thread holds while it reads from there. Without a buffer there is no lock at all.
    """
    questions = os.fdopen(os.dup(0), "rb", buffering=0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return questions


def _cpu_seconds() -> float:
    """CPU seconds of this process, all threads, and of those of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _leave() -> NoReturn:
    """End at once, from inside whatever loop is running: there is nothing to keep."""
    os._exit(0)


def arguments(description: str | None) -> argparse.Namespace:
    """Read the command line of a contestant."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="with images.npy, labels.npy, network.json and png/")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--threads", type=int, help="by default as the library has it")
    parser.add_argument(
        "--tuned", action="store_true", help="as the peer's documentation recommends for speed"
    )
    parser.add_argument("--settings", type=json.loads, help="of the tuned way, as JSON; by default tried out")
    return parser.parse_args()


def threads_said(count: int) -> str:
    """Say how many threads."""
    return f"{count} thread{'s' if count != 1 else ''}"


def network_of(folder: Path) -> dict[str, Any]:
    """Read which network is to be trained; see `benchmarks.race.network`."""
    network: dict[str, Any] = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    return network
