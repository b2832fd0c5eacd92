"""The executor for one machine: worker processes, each training one run at a time."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from convtrials.core.errors import StudyError
from convtrials.core.process import child_options, exit_text
from convtrials.study.execute.executor import RunEnd, RunTask
from convtrials.training.engine.device import devices_here, worker_environment

#: Seconds that a worker may take for its checkpoint when it is asked to stop.
STOP_SECONDS = 60.0

#: Workers that may die in training before the study gives up.
MOST_DEATHS = 100


class _Worker:
    """A worker process, seen from outside.

    A thread reads what it says: on Windows nothing waits for several pipes at once.

    Parameters
    ----------
    said : queue
        Gets itself and its next bytes; empty ones when it has gone.
    """

    def __init__(
        self,
        folder: Path,
        threads: int,
        checkpoint_seconds: float,
        said: "_Said",
        more_environment: Mapping[str, str],
    ) -> None:
        self.task: RunTask | None = None
        self.place = 0
        (folder / "logs").mkdir(exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
        environment |= more_environment
        command = [
            sys.executable,
            "-m",
            "convtrials.study.execute.worker",
            str(folder),
            str(checkpoint_seconds),
        ]
        log_path = folder / "logs" / f"worker-{os.getpid()}-{time.monotonic_ns()}.log"
        with open(log_path, "wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                **child_options(),
            )
        self.log = log_path
        self._pending = b""
        threading.Thread(target=self._listen, args=(said,), daemon=True).start()

    def _listen(self, said: "_Said") -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(OSError, ValueError):  # closed under our hands: it has gone
            while content := os.read(self.process.stdout.fileno(), 65_536):
                said.put((self, content))
        said.put((self, b""))

    def send(self, task: RunTask) -> None:
        """Give it a run."""
        self.task = task
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has died; its thread will say so
            self.process.stdin.write(
                json.dumps({"arm": task.arm, "position": task.position}).encode() + b"\n"
            )
            self.process.stdin.flush()

    def answers(self, content: bytes) -> list[dict[str, Any]]:
        """Return the answers that end in what it says next."""
        *lines, self._pending = (self._pending + content).split(b"\n")
        return [json.loads(line) for line in lines]

    def leave(self) -> None:
        """Let it write its checkpoint and go."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def exit_reason(self) -> str:
        """Wait for its end and say why it came."""
        code = self.process.wait()
        with open(self.log, "rb") as log:  # whatever a network prints is in it
            log.seek(max(0, log.seek(0, os.SEEK_END) - 65_536))
            last = log.read().decode("utf-8", errors="replace").strip().splitlines()[-1:]
        logged = f": {last[0][:300]}" if last else ""
        return f"its process {exit_text(code)}{logged}"


#: Where the threads that listen to workers put what those say.
_Said = queue.SimpleQueue[tuple[_Worker, bytes]]


class LocalProcesses:
    """Trains runs in worker processes of this machine.

    Parameters
    ----------
    folder : Path
        The study directory.
    workers : int
        Runs at a time.
    threads : int
        Threads of each.
    device : str
        Theirs; on ``"cuda"`` they share all GPUs, each on one of them.
    """

    def __init__(
        self,
        folder: Path,
        workers: int,
        threads: int,
        *,
        checkpoint_seconds: float = 60.0,
        device: str = "cpu",
    ) -> None:
        self._folder, self._threads, self._checkpoint = folder, threads, checkpoint_seconds
        self._places = workers
        self._workers: list[_Worker] = []
        self._said: _Said = queue.SimpleQueue()
        self._deaths = 0
        self._device, self._gpus = device, len(devices_here()) - 1 if device == "cuda" else 0

    @property
    def busy(self) -> list[RunTask]:
        """Runs in training."""
        return [worker.task for worker in self._workers if worker.task is not None]

    def advance(self, wanted: Sequence[RunTask], seconds: float) -> list[RunEnd]:
        """Give wanted runs to idle or new workers; return the runs that have ended. A dead worker's run has failed."""
        for task in wanted[: self._places - len(self.busy)]:
            self._begin(task)
        return self._ends(seconds)

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Ask all workers for a checkpoint and wait for them; kill them as soon as ``hurry`` says so."""
        for worker in self._workers:
            worker.leave()
        deadline = time.monotonic() + STOP_SECONDS
        while self._workers and time.monotonic() < deadline and not hurry():
            self._ends(0.2)
        for worker in self._workers:
            worker.process.kill()
            worker.process.wait()
        self._workers.clear()

    def _begin(self, task: RunTask) -> None:
        worker = next((one for one in self._workers if one.task is None), None)
        if worker is None:
            place = min(set(range(self._places)) - {one.place for one in self._workers})
            environment = worker_environment(self._device, place, self._gpus)
            worker = _Worker(self._folder, self._threads, self._checkpoint, self._said, environment)
            worker.place = place
            self._workers.append(worker)
        worker.send(task)

    def _ends(self, seconds: float) -> list[RunEnd]:
        """Wait for answers of workers, and reap those that have died."""
        ended: list[RunEnd] = []
        for worker, content in self._next_said(seconds):
            for answer in worker.answers(content):
                if "ended" in answer and worker.task is not None:
                    notes = tuple(answer.get("notes", ()))
                    ended.append(RunEnd(worker.task, answer["ended"], answer["error"], notes))
                    worker.task = None
            if not content:
                ended += self._reap(worker)
        return ended

    def _next_said(self, seconds: float) -> Iterator[tuple[_Worker, bytes]]:
        """Yield what workers say: wait some seconds for the first, then take what is there."""
        with contextlib.suppress(queue.Empty):
            yield self._said.get(timeout=seconds)
            while True:
                yield self._said.get_nowait()

    def _reap(self, worker: _Worker) -> list[RunEnd]:
        self._workers.remove(worker)
        why = worker.exit_reason()
        if worker.task is None:
            return []
        self._deaths += 1
        if self._deaths > MOST_DEATHS:
            raise StudyError(f"{self._folder}: workers keep dying: {why}")
        return [RunEnd(worker.task, "failed", why)]
