"""YAML that remembers its lines, so that an error can point at the place where a person typed it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from convtrials.core.errors import StudyError

#: A study file larger than this is not a study file.
LARGEST_FILE = 1_000_000

#: Sections inside sections; deeper ones are a mistake or an attack.
DEEPEST = 20

#: Keys in all; references to other parts of the file count each time they are followed.
MOST_KEYS = 5_000

#: Keys from the top of the file to a value.
Keys = tuple[str, ...]


@dataclass(frozen=True)
class LinedYaml:
    """A YAML mapping and the line of each of its keys.

    Attributes
    ----------
    path : Path
        The file.
    values : dict
        What it says.
    lines : dict of tuple of str to int
        Keys from the top to a value -> the line of the last key, from 1.
    """

    path: Path
    values: dict[str, Any]
    lines: dict[Keys, int]

    def place(self, keys: Keys) -> str:
        """Say where a value stands: ``study.yaml line 7``; of an absent key, where its section stands."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return f"{self.path} line {self.lines[keys]}" if keys else str(self.path)

    def error(self, keys: Keys, message: str) -> StudyError:
        """Return the error that names file, line and key."""
        key = ".".join(keys)
        return StudyError(f"{self.place(keys)}: {key}: {message}" if key else f"{self.path}: {message}")


def read_lined_yaml(path: Path) -> LinedYaml:
    """Read a small YAML mapping safely; a key that stands twice is refused, not overwritten.

    Raises
    ------
    StudyError
        Not readable, not YAML, no mapping, or a key twice.
    """
    text = _text(path)
    lines: dict[Keys, int] = {}
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        if root is None:
            raise StudyError(f"{path}: empty; expected a baseline and techniques")
        _collect(root, (), lines, path)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise StudyError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    except (ValueError, RecursionError, TypeError) as error:  # impossible dates, endless brackets, odd keys
        raise StudyError(f"{path}: not valid YAML: {str(error)[:80]}") from None
    if not isinstance(values, dict):
        raise StudyError(f"{path}: expected keys and values, such as `baseline: {{model: alexnet}}`")
    return LinedYaml(path, values, lines)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise StudyError(f"{path}: larger than {LARGEST_FILE:,} bytes: not a study file")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StudyError(f"{path}: not UTF-8 text") from None


def _collect(node: yaml.Node, above: Keys, lines: dict[Keys, int], path: Path) -> None:
    """Note the line of every key; refuse what a reader could misunderstand."""
    if len(above) > DEEPEST:
        raise StudyError(
            f"{path} line {node.start_mark.line + 1}: more than {DEEPEST} sections inside each other"
        )
    if not isinstance(node, yaml.MappingNode):
        return
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise StudyError(f"{path} line {line}: a key must be a word")
        if key_node.value == "<<":
            raise StudyError(f"{path} line {line}: merge keys (<<) are not read; write the keys out")
        if len(lines) > MOST_KEYS:
            raise StudyError(f"{path} line {line}: more than {MOST_KEYS:,} keys: not a study file")
        keys = (*above, key_node.value)
        if keys in lines:
            raise StudyError(
                f"{path} line {line}: {'.'.join(keys)}: is given twice (first in line {lines[keys]})"
            )
        lines[keys] = line
        _collect(value_node, keys, lines, path)
