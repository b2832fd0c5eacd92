"""Locks on files, as Linux and macOS have them and as Windows has them (with a stand-in for msvcrt)."""

import errno
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from convtrials.core import locks
from convtrials.core.locks import FileLock, LockHeld

PORTABLE = Path(__file__).parents[1] / "portable"

#: Takes a lock, says so, waits for a line, frees it.
HOLDER = """
import sys
from pathlib import Path
from convtrials.core.locks import FileLock, LockHeld
lock = FileLock(Path(sys.argv[1]), sys.argv[2])
try:
    with lock.acquire(wait=float(sys.argv[3])):
        print("held", flush=True)
        sys.stdin.readline()
except LockHeld:
    print("refused", flush=True)
print("free", flush=True)
"""


@pytest.fixture(params=["this system", "as Windows"])
def environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """How processes are started whose locks are those of one system; this process has them too."""
    if request.param == "this system":
        return dict(os.environ)
    fcntl = pytest.importorskip("fcntl", reason="runs without it already")
    if not hasattr(fcntl, "F_OFD_SETLK"):
        pytest.skip("needs locks on ranges of bytes of an open file")
    monkeypatch.syspath_prepend(str(PORTABLE))
    from posix_blocked import stand_in

    monkeypatch.setattr(locks, "_SYSTEM", locks._ByteRanges(stand_in(fcntl)))
    path = os.pathsep.join([str(PORTABLE), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


def begin(
    environment: dict[str, str], path: Path, kind: str, wait: float = 0.0
) -> "tuple[subprocess.Popen[str], str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), kind, str(wait)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def end(process: "subprocess.Popen[str]") -> None:
    assert process.communicate("go\n", timeout=60)[0].strip() == "free"


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ("exclusive", "exclusive", "refused"),
        ("exclusive", "shared", "refused"),
        ("shared", "exclusive", "refused"),
        ("shared", "shared", "held"),
    ],
)
def test_which_locks_exclude_which(
    environment: dict[str, str], tmp_path: Path, first: str, second: str, answer: str
) -> None:
    path = tmp_path / ".lock"
    holder, said = begin(environment, path, first)
    assert said == "held"
    other, said = begin(environment, path, second)
    assert said == answer
    other.communicate("go\n", timeout=60)
    end(holder)
    with FileLock(path, "exclusive").acquire(wait=0):
        pass


def test_who_asks_learns_of_each_kind_and_is_in_nobodys_way(
    environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / ".lock"
    exclusive, shared = FileLock(path, "exclusive"), FileLock(path, "shared")
    assert (exclusive.held(), shared.held()) == (False, False)
    assert not path.exists()  # asking makes nothing
    holder, _ = begin(environment, path, "shared")
    assert (exclusive.held(), shared.held()) == (False, True)
    with shared.acquire(wait=0):
        assert shared.held()
    end(holder)
    assert (exclusive.held(), shared.held()) == (False, False)
    holder, _ = begin(environment, path, "exclusive")
    assert (exclusive.held(), shared.held()) == (True, True)
    end(holder)
    answers: list[bool] = []
    askers = [threading.Thread(target=lambda: answers.extend(shared.held() for _ in range(20))) for _ in "ab"]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert answers == [False] * 40  # two who ask do not take each other for holders


def test_a_lock_ends_with_its_process_however_that_ends(environment: dict[str, str], tmp_path: Path) -> None:
    for kind in ("exclusive", "shared"):
        holder, said = begin(environment, tmp_path / ".lock", kind)
        assert said == "held"
        holder.kill()
        holder.wait()
        holder.communicate()
        with FileLock(tmp_path / ".lock").acquire(wait=5):
            pass


def test_a_child_does_not_keep_its_parents_lock(environment: dict[str, str], tmp_path: Path) -> None:
    script = HOLDER.replace("        sys.stdin.readline()\n", "{0}        sys.stdin.readline()\n").replace(
        "{0}",
        "        import subprocess\n"
        "        child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], close_fds=False)\n"
        "        print(child.pid, flush=True)\n",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / ".lock"), "exclusive", "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    child = int(process.stdout.readline())
    try:
        assert FileLock(tmp_path / ".lock").held()
        process.kill()
        process.wait()
        with FileLock(tmp_path / ".lock").acquire(wait=5):
            pass
    finally:
        import psutil

        psutil.Process(child).kill()
        process.communicate()


def _hold_and_wait(ready, go) -> None:
    ready.set()
    go.wait(60)


@pytest.mark.posix
def test_a_forked_child_does_not_keep_its_parents_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    lock = FileLock(tmp_path / ".lock").acquire(wait=0)
    ready, go = context.Event(), context.Event()
    child = context.Process(target=_hold_and_wait, args=(ready, go))
    child.start()
    try:
        assert ready.wait(60)
        with pytest.raises(LockHeld):
            FileLock(tmp_path / ".lock").acquire(wait=0)  # the child has not freed it for its parent either
        lock.release()
        with FileLock(tmp_path / ".lock").acquire(wait=0):
            assert child.is_alive()
    finally:
        go.set()
        child.join(60)


@pytest.mark.posix
def test_a_lock_is_free_at_once_while_children_are_just_being_forked(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / ".lock")
    for _ in range(20):
        lock.acquire(wait=0)
        if not (child := os.fork()):
            os._exit(0)
        lock.release()
        held = lock.held()
        os.waitpid(child, 0)
        assert not held


def test_a_file_system_without_locks_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convtrials.core.errors import RunError, StudyError
    from convtrials.study.directory import StudyDirectory
    from convtrials.training.run_directory import Run

    for number in (errno.ENOLCK, errno.ENOTSUP):

        def take(handle: int, kind: str, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(locks._SYSTEM, "take", take)
        said = rf"its file system has no locks \({os.strerror(number)}\); choose a folder on another disk$"
        study = StudyDirectory(tmp_path)
        with pytest.raises(RunError, match=said), Run(tmp_path).lock():
            pass
        for held in (study.preparing, study.running, study.changing_plan):
            with pytest.raises(StudyError, match=said), held():
                pass
        assert not FileLock(tmp_path / ".lock").held()
        assert not study.being_run


def test_who_waits_gets_the_lock_when_it_is_freed(environment: dict[str, str], tmp_path: Path) -> None:
    lock = FileLock(tmp_path / ".lock").acquire(wait=0)
    timer = threading.Timer(0.3, lock.release)
    timer.start()
    started = time.monotonic()
    with pytest.raises(LockHeld, match="locked by another process"):
        FileLock(tmp_path / ".lock").acquire(wait=0.05)
    with FileLock(tmp_path / ".lock").acquire():
        assert time.monotonic() - started > 0.25
    timer.join()


def test_an_error_within_the_block_frees_the_lock(environment: dict[str, str], tmp_path: Path) -> None:
    lock = FileLock(tmp_path / ".lock")
    for _ in range(2):
        with pytest.raises(KeyError), lock.acquire(wait=0):
            raise KeyError
    lock.release()  # of what is not held: nothing happens
    assert not lock.held()


def test_nobodys_random_numbers_change(environment: dict[str, str], tmp_path: Path) -> None:
    random.seed(1)
    state = random.getstate()
    with FileLock(tmp_path / ".lock", "shared").acquire(wait=0):
        pass
    assert random.getstate() == state


@pytest.mark.posix  # the stand-in needs files that may be written
def test_a_file_that_only_others_may_write_is_asked_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened = tmp_path / ".lock", os.open
    holder, _ = begin(dict(os.environ), path, "exclusive")

    def refuse_writing(place: object, flags: int, *rest: int) -> int:
        if flags & os.O_RDWR:
            raise PermissionError
        return opened(place, flags, *rest)

    monkeypatch.setattr(os, "open", refuse_writing)
    assert FileLock(path).held()
    monkeypatch.undo()
    end(holder)


@pytest.mark.posix
def test_earlier_versions_and_this_one_exclude_each_other(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    with open(tmp_path / ".lock", "w") as handle:  # as versions before core/locks.py did
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert FileLock(tmp_path / ".lock").held()
        with pytest.raises(LockHeld):
            FileLock(tmp_path / ".lock", "shared").acquire(wait=0)
    with FileLock(tmp_path / ".lock", "shared").acquire(wait=0), open(tmp_path / ".lock") as handle:
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
