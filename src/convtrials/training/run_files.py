"""Which files belong to a run: another run's, or one that was changed since, is not taken for its own.

``run.json`` says what the run is. ``result.json`` names that run and holds a digest of every file it rests on; the file
of predictions and the checkpoint name their run too. Runs of earlier versions say none of this and are read as before.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from convtrials.core.errors import RunError
from convtrials.training.run import Run

#: What to do where a file is not the run's.
_ADVICE = "put the run's own file back, or remove the folder and train the run again"


def digest_of_identity(identity: dict[str, Any]) -> str:
    """Name a run in a few letters: equal for equal seed, recipe, data, initial weights and source of the network."""
    return hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=16).hexdigest()


def digest_of_file(path: Path) -> str:
    """Digest the bytes of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def vouch(run: Run, paths: Iterable[Path]) -> dict[str, Any]:
    """Return what ``result.json`` says of its run and of the files beside it."""
    files = {path.name: digest_of_file(path) for path in paths if path.is_file()}
    return {"run": digest_of_identity(run.identity), "files": files}


def check_named(run: Run, path: Path, named: Any) -> None:
    """Refuse a file that names another run than ``run.json`` does; one that names none is of an earlier version.

    Raises
    ------
    RunError
    """
    if named is not None and named != digest_of_identity(run.identity):
        raise RunError(f"{path}: belongs to another run than run.json beside it\n{_ADVICE}")


def check_result(run: Run) -> None:
    """Refuse a ``result.json`` of another run.

    Raises
    ------
    RunError
    """
    check_named(run, run.folder / "result.json", run.result.get("run"))


def check_files(run: Run, *paths: Path) -> None:
    """Refuse files of a run that are not those that it wrote by its end; missing ones are told where they are needed.

    Raises
    ------
    RunError
    """
    files = run.result.get("files") if run.finished else None
    for path in paths:
        known = files.get(path.name) if isinstance(files, dict) else None
        if known is not None and path.is_file() and digest_of_file(path) != known:
            raise RunError(
                f"{path}: is not the file that this run wrote: it was changed, or is another run's\n{_ADVICE}"
            )
