"""The executor for one machine: worker processes, each training one run at a time."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from convtrials.core.errors import StudyError
from convtrials.study.execute.executor import RunEnd, RunTask

#: Seconds that a worker may take for its checkpoint when it is asked to stop.
STOP_SECONDS = 60.0

#: Workers that may die in training before the study gives up.
MOST_DEATHS = 100


class _Worker:
    """A worker process, seen from outside."""

    def __init__(self, folder: Path, threads: int, checkpoint_seconds: float) -> None:
        self.task: RunTask | None = None
        (folder / "logs").mkdir(exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
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
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment
            )
        self.log = log_path
        self._pending = b""

    def send(self, task: RunTask) -> None:
        """Give it a run."""
        self.task = task
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died; `read` will say so
            self.process.stdin.write(
                json.dumps({"arm": task.arm, "position": task.position}).encode() + b"\n"
            )
            self.process.stdin.flush()

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """Return its answers, and whether it is still there."""
        assert self.process.stdout is not None
        content = os.read(self.process.stdout.fileno(), 65_536)
        *lines, self._pending = (self._pending + content).split(b"\n")
        return [json.loads(line) for line in lines], bool(content)

    def leave(self) -> None:
        """Let it write its checkpoint and go."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def exit_reason(self) -> str:
        """Wait for its end and say why it came."""
        code = self.process.wait()
        with open(self.log, "rb") as log:  # whatever a network prints is in it
            log.seek(max(0, log.seek(0, os.SEEK_END) - 65_536))
            last = log.read().decode("utf-8", errors="replace").strip().splitlines()[-1:]
        logged = f": {last[0][:300]}" if last else ""
        if code < 0:
            with contextlib.suppress(ValueError):
                name = signal.Signals(-code).name
                hint = " (often: too little memory for so many workers)" if name == "SIGKILL" else ""
                return f"its process was ended by {name}{hint}{logged}"
        return f"its process ended with code {code}{logged}"


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
    """

    def __init__(self, folder: Path, workers: int, threads: int, *, checkpoint_seconds: float = 60.0) -> None:
        self._folder, self._threads, self._checkpoint = folder, threads, checkpoint_seconds
        self._places = workers
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._deaths = 0

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
        self._selector.close()

    def _begin(self, task: RunTask) -> None:
        worker = next((one for one in self._workers if one.task is None), None)
        if worker is None:
            worker = _Worker(self._folder, self._threads, self._checkpoint)
            self._workers.append(worker)
            assert worker.process.stdout is not None
            self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        worker.send(task)

    def _ends(self, seconds: float) -> list[RunEnd]:
        """Wait for answers of workers, and reap those that have died."""
        ended: list[RunEnd] = []
        for key, _ in self._selector.select(seconds):
            worker: _Worker = key.data
            answers, there = worker.read()
            for answer in answers:
                if "ended" in answer and worker.task is not None:
                    notes = tuple(answer.get("notes", ()))
                    ended.append(RunEnd(worker.task, answer["ended"], answer["error"], notes))
                    worker.task = None
            if not there:
                ended += self._reap(worker)
        return ended

    def _reap(self, worker: _Worker) -> list[RunEnd]:
        assert worker.process.stdout is not None
        self._selector.unregister(worker.process.stdout)
        self._workers.remove(worker)
        why = worker.exit_reason()
        if worker.task is None:
            return []
        self._deaths += 1
        if self._deaths > MOST_DEATHS:
            raise StudyError(f"{self._folder}: workers keep dying: {why}")
        return [RunEnd(worker.task, "failed", why)]
