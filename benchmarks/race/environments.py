"""Environments for the peers: each made once from a requirement file, and made anew when that file changes."""

import hashlib
import platform
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from benchmarks.race.errors import BenchError
from convtrials.core.files import cache_folder, write_text
from convtrials.core.log import get_logger

_log = get_logger("convtrials.race")

PEERS = Path(__file__).parent / "peers"

#: A file of this name says that an environment is whole, and from which requirements it was made.
_STAMP = "made-from"


def default_folder() -> Path:
    """Return where environments are kept unless somebody names a folder."""
    return cache_folder() / "bench"


def requirement_file(environment: str) -> Path:
    """Return the pinned packages of ``keras`` or ``torch``."""
    return PEERS / f"requirements-{environment}.txt"


def python_of(folder: Path, environment: str) -> Path:
    """Return the interpreter of an environment, which need not be there yet."""
    inside = Path("Scripts", "python.exe") if sys.platform == "win32" else Path("bin", "python")
    return folder / environment / inside


def is_made(folder: Path, environment: str, requirements: Path) -> bool:
    """Whether the environment is there, whole, and made from these requirements."""
    stamp = folder / environment / _STAMP
    made = stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == _fingerprint(requirements)
    return made and python_of(folder, environment).exists()


def make_environment(
    folder: Path,
    environment: str,
    requirements: Path,
    *,
    show: Callable[[str], None] = lambda text: None,
) -> Path:
    """Make an environment unless it is there, and return its interpreter.

    Parameters
    ----------
    folder : Path
        Holds all environments.
    environment : str
        Its name below `folder`.
    requirements : Path
        What pip installs into it.
    show : callable
        Takes what pip is doing, as it changes.

    Raises
    ------
    BenchError
        It cannot be made: no network, no such package for this Python, no room on the disk.
    """
    python = python_of(folder, environment)
    if is_made(folder, environment, requirements):
        return python
    place = folder / environment
    _log.info(
        f"making an environment for {environment} in {place} (once; hundreds of MB, several GB where torch brings CUDA)"
    )
    by_hand = f"its packages are in {requirements}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", "--clear", str(place)], show)
        _run(
            [str(python), "-m", "pip", "install", "--disable-pip-version-check", "-r", str(requirements)],
            show,
        )
        write_text(place / _STAMP, _fingerprint(requirements) + "\n")
    except (OSError, subprocess.CalledProcessError) as error:
        why = error.output if isinstance(error, subprocess.CalledProcessError) else error
        raise BenchError(
            f"environment {environment}: cannot be made: {why}\nit would be in {place}; {by_hand}"
        ) from None
    return python


def _fingerprint(requirements: Path) -> str:
    text = f"{platform.python_version()} {platform.machine()} {requirements.read_text(encoding='utf-8')}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _run(command: list[str], show: Callable[[str], None]) -> None:
    """Run to the end, showing each line; an error carries the line that says most."""
    last: deque[str] = deque(maxlen=20)
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip():
                    last.append(line.strip())
                    show(line.strip()[:60])
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        telling = [line for line in last if line.startswith("ERROR")] or [*last] or ["it says nothing"]
        raise subprocess.CalledProcessError(process.returncode, command, telling[-1][:300])
