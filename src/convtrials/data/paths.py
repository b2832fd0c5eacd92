"""Paths as people type them."""

import os
from pathlib import Path

from convtrials.core.errors import DataError


def typed_path(given: str | Path, *, asked_by: str = "") -> Path:
    """Expand ``~`` in a path, and refuse one that no file can have.

    Parameters
    ----------
    given : str or Path
        As typed; whether anything is there is not asked.
    asked_by : str
        Where it was typed, for messages, such as ``"CONVTRIALS_EMNIST="``.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        The home folder is unknown, a name is too long, or a folder above may not be entered.
    """
    try:
        path = Path(given).expanduser()
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return path
    except OSError as error:
        raise DataError(f"{asked_by}{given}: {error.strerror}") from error
    except (RuntimeError, ValueError) as error:  # no such user; a null byte within
        raise DataError(f"{asked_by}{given}: no path ({error})") from error
    return path
