"""Errors that are meant for people: what is wrong, where, and what is allowed."""

from typing import Any


class ConvtrialsError(Exception):
    """Bad input, named in one or two lines.

    The command line prints the message and exits with 2; a traceback appears only with ``--debug``.
    Raise it where a person can do something about it: a bad file, key or value.
    """


class RecipeError(ConvtrialsError):
    """A recipe has an unknown key or an impossible value."""


class DataError(ConvtrialsError):
    """A dataset cannot be read, packed or split as asked."""


class RunError(ConvtrialsError):
    """A run directory cannot be written, resumed or read."""


class RunLocked(RunError):
    """Another process is training this run."""


class StudyError(ConvtrialsError):
    """A study file is wrong, or a study directory cannot be used as asked."""


class Interrupted(Exception):
    """Work was asked to stop, and stopped cleanly; the message says how to go on."""


def check_kind(value: Any, kind: type, what: str, hint: str) -> None:
    """Refuse an argument of another type, as callers in Python can give.

    Raises
    ------
    ConvtrialsError
        In a line: the argument, what it must be, and `hint`, how to make one.
    """
    if not isinstance(value, kind):
        raise ConvtrialsError(f"{what}: must be a {kind.__name__}, such as {hint}, not {value!r:.60}")
