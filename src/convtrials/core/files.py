"""Files that are either whole or absent (written next to their place, flushed, renamed), and text between two marks."""

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from convtrials.core.errors import ConvtrialsError

T = TypeVar("T")

#: Where a file that is open cannot be renamed, replaced or removed.
WINDOWS = os.name == "nt"

#: Seconds for which a file in use is tried again there.
IN_USE_SECONDS = 5.0

#: No text file of a run or a study is larger; one from elsewhere cannot fill the memory.
LARGEST_TEXT = 64 * 2**20

#: Names of temporary files: ours, and those that safetensors makes next to its target.
_LEFTOVER = re.compile(r"\..+\.tmp|\.tmp\w{6}")


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``target``; rename it over ``target`` when the block ends well.

    A reader sees the old file or the new one, never a part; after an exception nothing is left behind.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.{secrets.token_hex(6)}.tmp"
    # not mkstemp: its files are private, and a run is for others to read
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    mode = temporary.stat().st_mode
    try:
        yield temporary
        os.chmod(temporary, mode)  # some writers put a private file of their own in its place
        flush(temporary)
        replace_file(temporary, target)
    finally:
        remove_file(temporary)


def flush(path: Path) -> None:
    """Wait until the disk has what was written to a file."""
    with open(path, "r+b" if WINDOWS else "rb") as written:  # Windows flushes only what may be written
        os.fsync(written.fileno())


def replace_file(source: Path, target: Path) -> None:
    """Rename a file over another one, which may be there; on Windows wait for those who have it open for a moment."""
    _when_not_in_use(lambda: os.replace(source, target))


def remove_file(path: Path) -> None:
    """Remove a file if it is there; on Windows wait for those who have it open for a moment."""
    _when_not_in_use(lambda: path.unlink(missing_ok=True))


def rename_folder(folder: Path, target: Path) -> None:
    """Rename a folder as `os.rename` does; on Windows wait for those who have a file in it open for a moment."""
    _when_not_in_use(lambda: os.rename(folder, target))


def move_folder(folder: Path, target: Path) -> None:
    """Rename a folder to a place where nothing is, or an empty folder.

    Raises
    ------
    OSError
        Something else is there.
    """
    if WINDOWS and target.is_dir():  # which Windows does not replace, even where it is empty
        target.rmdir()
    rename_folder(folder, target)


def _when_not_in_use(act: Callable[[], T]) -> T:
    """Act on a file; on Windows again for some seconds where another process, a virus scanner say, has it open."""
    deadline = time.monotonic() + IN_USE_SECONDS
    while True:
        try:
            return act()
        except PermissionError:
            if not WINDOWS or time.monotonic() >= deadline:
                raise
        time.sleep(0.02)


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder next to ``target``, to be renamed to it once it is whole; what is left of it is removed."""
    staged = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        staged.mkdir(parents=True)
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of writers that were killed; call it only where nothing else can be writing."""
    for path in folder.iterdir():
        if _LEFTOVER.fullmatch(path.name):
            remove_file(path)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text atomically; what else a path holds, bytes of another encoding, is written as an escape."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(target: Path, value: Any) -> None:
    """Write ``value`` as indented JSON atomically; NaN and infinity become ``null``, as JSON has neither."""
    value = finite(value)
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    if not _encodable(text):  # a file name that is not UTF-8: escapes bring it back as it was
        text = json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False)
    write_text(target, text + "\n")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_bounded_text(path: Path, error: type[ConvtrialsError]) -> str:
    """Read UTF-8 text of at most `LARGEST_TEXT` bytes; raise `error` where that cannot be had."""
    try:
        if path.stat().st_size > LARGEST_TEXT:
            raise error(f"{path}: larger than {LARGEST_TEXT:,} bytes")
        return _when_not_in_use(lambda: path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"{path}: not readable ({problem})") from problem


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def cache_folder() -> Path:
    """Return the folder for what can be made again: ``$CONVTRIALS_CACHE``, else ``~/.cache/convtrials``."""
    named = os.environ.get("CONVTRIALS_CACHE")
    if named:
        return Path(os.path.expanduser(named))
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "convtrials"


def finite(value: Any) -> Any:
    """Return ``value`` with every NaN and infinity inside it replaced by None, as JSON has neither."""
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def check_marks(
    path: Path, begin: str, end: str, error: type[ConvtrialsError] = ConvtrialsError
) -> tuple[str, str]:
    """Return what stands before the first mark and after the second; both are empty for a file that is to be made.

    Parameters
    ----------
    begin, end : str
        The marks, such as ``<!-- inference:begin -->``.
    error : type
        What to raise.

    Raises
    ------
    ConvtrialsError
        (or ``error``) The file cannot be read or made, or does not have each mark once, in order.
    """
    if can_be_made(path, error):
        return "", "\n"
    text = read_bounded_text(path, error)
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise error(f"{path}: needs a line {begin} and, below it, a line {end}, each once")
    before, _, rest = text.partition(begin)
    return before, rest.partition(end)[2]


def can_be_made(path: Path, error: type[ConvtrialsError] = ConvtrialsError) -> bool:
    """Say whether a file is not there yet, in a folder that is.

    Raises
    ------
    ConvtrialsError
        (or ``error``) The folder is not there either.
    """
    if os.path.lexists(path):
        return False
    if not path.absolute().parent.is_dir():
        raise error(f"{path}: must be a file in a folder that exists")
    return True


def put_between_marks(
    path: Path, begin: str, end: str, text: str, error: type[ConvtrialsError] = ConvtrialsError
) -> None:
    """Put a text between two marks; the rest of the file, and the marks, stay as they are. It is made if need be.

    Raises
    ------
    ConvtrialsError
        As `check_marks` does.
    """
    before, after = check_marks(path, begin, end, error)
    write_text(path, f"{before}{begin}\n{text.rstrip()}\n{end}{after}")
