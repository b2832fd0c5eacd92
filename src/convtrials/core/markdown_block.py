"""A place in a Markdown file, between two marks, whose text a command writes anew."""

import os
from pathlib import Path

from convtrials.core.errors import ConvtrialsError
from convtrials.core.files import read_bounded_text, write_text


def check_marks(
    path: Path, begin: str, end: str, error: type[ConvtrialsError] = ConvtrialsError
) -> tuple[str, str]:
    """Return what stands before the first mark and after the second; both are empty for a file that is to be made.

    Parameters
    ----------
    path : Path
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
        raise error(f"{path}: must be a file in a folder that is there")
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
