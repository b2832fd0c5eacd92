"""Work in a few processes, results as they come; safe with threads, and in scripts without a main guard."""

import signal
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import DataError
from convtrials.core.process import available_cores

#: Fewer images than this are decoded here; starting processes would take longer.
POOL_FROM = 2000
#: A block is what one task decodes: at most so many images (glyphs draws in multiples of 252) and bytes.
BLOCK_IMAGES = 1008
BLOCK_BYTES = 16 << 20

_ENDED = "a decoding process was ended from outside (out of memory?)"


class WorkerPool:
    """A few processes that work through tasks; started at the first need, ended with the ``with`` block.

    Parameters
    ----------
    processes : int
        With 1, everything happens in this process.

    Examples
    --------
    >>> with WorkerPool(1) as pool:
    ...     sorted(answer for _, answer in pool.map(abs, [-2, 1]))
    [1, 2]
    """

    def __init__(self, processes: int):
        self._size = processes
        self._members: list[tuple[BaseProcess, Connection]] = []

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *_: object) -> None:
        for process, pipe in self._members:
            pipe.close()
            process.terminate()
        for process, _pipe in self._members:
            process.join()
        self._members = []

    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield ``(task, work(task))`` in the order of completion.

        Parameters
        ----------
        work : callable
            Picklable; sent to each process once.
        tasks : sequence
            Picklable; sent one by one to a free process.

        Raises
        ------
        DataError
            Where a process dies (killed for memory, say). What `work` raises is raised here.
        """
        if self._size <= 1 or len(tasks) <= 1:
            for task in tasks:
                yield task, work(task)
            return
        if not self._members:
            self._members = _start(self._size)
        waiting = iter(range(len(tasks)))
        busy: dict[Connection, int] = {}
        for (_, pipe), place in zip(self._members, waiting, strict=False):
            _send(pipe, (work, tasks[place]))
            busy[pipe] = place
        while busy:
            for ready in wait(list(busy)):
                pipe = cast("Connection", ready)
                answer = _receive(pipe)
                done = busy.pop(pipe)
                following = next(waiting, None)
                if following is not None:
                    busy[pipe] = following
                    _send(pipe, (None, tasks[following]))
                yield tasks[done], answer


def pool_for(source: Any, count: int, workers: int | None = None) -> WorkerPool:
    """Return the processes that a source is read with: one, `workers`, or as many as there are processors."""
    # A source behind one compressed stream is read in order, here; one file per image is read by all processors.
    alone = count < POOL_FROM or getattr(source, "in_order", False)
    return WorkerPool(1 if alone else workers or available_cores())


def in_another_process(work: Callable[[Any], Any], task: Any) -> Any:
    """Return ``work(task)``, done by a fresh process: it may crash.

    Raises
    ------
    DataError
        It did. What `work` raises is raised here.
    """
    ((process, pipe),) = _start(1)
    try:
        _send(pipe, (work, task))
        return _receive(pipe)
    finally:
        pipe.close()
        process.terminate()
        process.join()


def reading_order(source: Any, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of `rows`, shape (n,), in the order in which a source is best read.

    Files of one compressed stream are read front to back: going back begins again at its start.
    """
    if not getattr(source, "in_order", False) or not hasattr(source, "position"):
        return np.arange(len(rows))
    return np.argsort([source.position(row) for row in rows.tolist()], kind="stable")


def blocks(rows: NDArray[np.int64], image_bytes: int) -> list[tuple[int, NDArray[np.int64]]]:
    """Cut rows into tasks ``(first position, rows)`` of bounded size."""
    size = int(min(BLOCK_IMAGES, max(1, BLOCK_BYTES // max(1, image_bytes))))
    return [(first, rows[first : first + size]) for first in range(0, len(rows), size)]


def _send(pipe: Connection, message: Any) -> None:
    try:
        pipe.send(message)
    except OSError as error:
        raise DataError(_ENDED) from error


def _receive(pipe: Connection) -> Any:
    try:
        good, answer = pipe.recv()
    except (EOFError, OSError) as error:
        raise DataError(_ENDED) from error
    if not good:
        raise answer
    return answer


def _start(count: int) -> list[tuple[BaseProcess, Connection]]:
    # Fresh interpreters: forking a process that has threads (torch starts some) can hang.
    context = get_context("spawn")
    members: list[tuple[BaseProcess, Connection]] = []
    with _anonymous_main():
        for _ in range(count):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there,), daemon=True)
            process.start()
            there.close()
            members.append((process, here))
    return members


@contextmanager
def _anonymous_main() -> Iterator[None]:
    # A fresh interpreter would run the caller's script again to rebuild its __main__. Nothing here needs that.
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _serve(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it ends this process
    warnings.simplefilter("ignore")  # odd metadata, once per file and process, would drown the progress
    work: Callable[[Any], Any] | None = None
    while True:
        try:
            sent, task = pipe.recv()
        except (EOFError, OSError):
            return
        work = sent or work
        assert work is not None
        try:
            answer = True, work(task)
        except Exception as error:
            answer = False, _portable(error)
        try:
            _answer(pipe, answer)
        except OSError:
            return


def _answer(pipe: Connection, answer: tuple[bool, Any]) -> None:
    try:
        pipe.send(answer)
    except OSError:
        raise
    except Exception as error:  # a result that cannot be sent; nothing of it has left yet
        pipe.send((False, DataError(f"{type(error).__name__}: {error}")))


def _portable(error: Exception) -> Exception:
    """Return the error where it survives the way to another process, else a DataError with its text."""
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:  # an exception may fail in any way to be taken apart or put together
        return DataError(f"{type(error).__name__}: {error}")
    return error
