"""The command lines of a page: found, and checked without running them.

Checked is that a program, a verb and every flag exist, that values have the right kind, and that files of the
repository, targets of the Makefile and extras of the package are there.
"""

import argparse
import importlib
import itertools
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from typing import Any
from unittest import mock

import typer.main
from docs_pages import ROOT, Block, PageError
from packaging.requirements import InvalidRequirement, Requirement

from benchmarks.race.command import app as race_app
from convtrials.cli.main import app

#: Languages of blocks that hold command lines; in a console block they begin with ``$``, the rest is output.
SHELLS = ("", "bash", "sh", "shell", "console")
#: Programs whose words are checked.
PROGRAMS = {"bash", "convtrials", "make", "pip", "pipx", "python", "python3"}
#: Programs that are not ours: a page may use them, and nothing of them is checked.
OTHERS = {".", "cd", "git", "pre-commit", "source", "tensorboard"}
#: Flags that end a command before it needs anything else.
_HELP = {"--help", "-h", "--install-completion"}
#: The command line's complaints that something must follow.
_INCOMPLETE = {"MissingParameter", "NoArgsIsHelpError", "BadOptionUsage"}
#: Paths in a command that must be there when they begin so.
_OURS = re.compile(r"(recipes|studies|benchmarks|tests)/\S+\.(yaml|py|sh)")


@dataclass(frozen=True)
class Command:
    """One command as a reader would type it.

    Attributes
    ----------
    place : str
        File and line.
    words : tuple of str
        The program and its arguments.
    """

    place: str
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        """The program's name without its folder."""
        return self.words[0].rpartition("/")[2]

    @property
    def arguments(self) -> list[str]:
        """What stands behind the program."""
        return list(self.words[1:])

    def __str__(self) -> str:
        return shlex.join(self.words)


def commands(block: Block) -> list[Command]:
    """Read the command lines of a block.

    A line ends at a ``#`` or at two spaces: what follows is prose. ``&&`` joins commands, a backslash joins lines, and
    a word such as ``pack|info`` stands for a command each.
    """
    found: list[Command] = []
    lines = list(enumerate(block.text.split("\n"), start=block.line))
    while lines:
        number, line = lines.pop(0)
        while line.endswith("\\") and lines:
            line = f"{line[:-1].rstrip()} {lines.pop(0)[1].strip()}"
        if block.language == "console":
            if not line.startswith("$ "):
                continue
            line = line[2:]
        found += read_line(line, f"{block.page}:{number}")
    return found


def read_line(line: str, place: str) -> list[Command]:
    """Read one line: no command, one, or several."""
    typed = re.split(r"\s{2,}", line.strip())[0]
    try:
        words = shlex.split(typed, comments=True)
    except ValueError as error:
        raise PageError(f"{place}: {typed!r} is no command line: {error}") from error
    parts = [list(part) for joins, part in itertools.groupby(words, lambda word: word == "&&") if not joins]
    found = []
    for part in parts:
        own = list(itertools.dropwhile(lambda word: re.match(r"[A-Z_]+=", word), part))
        found += [Command(place, one) for one in itertools.product(*(word.split("|") for word in own)) if one]
    return found


def check(command: Command) -> None:
    """Raise PageError where a command cannot work as it stands."""
    _check_files(command)
    if command.program == "convtrials":
        parse(command)
    elif command.program == "make":
        _check_make(command)
    elif command.program in ("python", "python3"):
        _check_python(command)
    elif command.program in ("pip", "pipx"):
        _check_install(command)
    elif command.program == "bash":
        _check_script(command)
    elif command.program not in OTHERS:
        raise PageError(
            f"{command.place}: no test knows the program {command.program!r}. A block that holds no commands begins "
            "with ```text; a new program has its place in tests/docs/docs_commands.py"
        )


def parse(command: Command, *, complete: bool = True) -> tuple[str, dict[str, Any]]:
    """Return the verb and the parameters of a ``convtrials`` command, as the command line itself reads them.

    With ``complete=False``, or where help is asked for, what must follow may be missing: then there are no parameters.
    """
    arguments = [word for word in command.arguments if word not in _HELP]
    complete = complete and arguments == command.arguments
    verb: Any = typer.main.get_command(app)
    names: list[str] = []
    try:
        context = verb.make_context("convtrials", arguments)
        while hasattr(verb, "resolve_command"):
            name, verb, rest = verb.resolve_command(context, [*context._protected_args, *context.args])
            if verb.hidden:
                raise LookupError(f"{name} is hidden: it only says what took its place")
            names.append(name)
            context = verb.make_context(name, rest, parent=context)
    except Exception as error:
        if complete or type(error).__name__ not in _INCOMPLETE:
            raise PageError(f"{command.place}: {command}: {error}") from error
        return " ".join(names), {}
    return " ".join(names), context.params


def _check_files(command: Command) -> None:
    for word in command.words:
        if _OURS.fullmatch(word) and not (ROOT / word).is_file():
            raise PageError(f"{command.place}: {word} is not in the repository")


def _check_make(command: Command) -> None:
    done = subprocess.run(
        ["make", "--dry-run", *command.arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PageError(f"{command.place}: {command}: {done.stderr.strip()}")


def _check_python(command: Command) -> None:
    """A script of ours with its flags, or a module: the race, or one of Python's own ways to install."""
    first, *rest = command.arguments
    if first == "-m":
        _check_module(command, *rest)
        return
    script = ROOT / first
    if script.parent != ROOT / "benchmarks" or not script.is_file():
        raise PageError(f"{command.place}: {first} is no script of benchmarks/")
    _parse_for_script(command, f"benchmarks.{script.stem}", rest)


def _check_module(command: Command, module: str, *arguments: str) -> None:
    if module == "pip":
        _check_install(Command(command.place, (module, *arguments)))
    elif module == "benchmarks.race":
        _check_race(command, arguments)
    elif module in ("benchmarks.results", "benchmarks.calibration"):
        _parse_for_script(command, f"{module}.__main__", list(arguments))
    elif module in ("benchmarks.augmentation_cost", "benchmarks.augmentation_pictures"):
        _parse_for_script(command, module, list(arguments))
    elif module != "venv":
        raise PageError(f"{command.place}: no test knows python -m {module}")


def _check_race(command: Command, arguments: tuple[str, ...]) -> None:
    """The race with its flags, as its own command line reads them."""
    try:
        typer.main.get_command(race_app).make_context(
            "race", [word for word in arguments if word not in _HELP]
        )
    except Exception as error:
        raise PageError(f"{command.place}: {command}: {error}") from error


class _ParsedError(Exception):
    """A script has read its flags; what it does next is not wanted."""


def _parse_for_script(command: Command, name: str, arguments: list[str]) -> None:
    """Let a script read its flags with its own parser, and stop it there."""
    parse_args = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser, *given: Any) -> None:
        parse_args(parser, *given)
        raise _ParsedError

    def refuse(parser: argparse.ArgumentParser, message: str) -> None:
        raise PageError(f"{command.place}: {command}: {message}")

    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", parse_and_stop),
        mock.patch.object(argparse.ArgumentParser, "error", refuse),
        mock.patch.object(sys, "argv", [name, *arguments]),
    ):
        try:
            importlib.import_module(name).main()
        except _ParsedError:
            return
    raise PageError(f"{command.place}: {name}.py reads no flags; the test cannot check {arguments}")


def _check_install(command: Command) -> None:
    """What is installed: this folder with extras that it has, or packages of an index."""
    verb, *words = command.arguments
    if verb != "install":
        raise PageError(f"{command.place}: no test knows {command.program} {verb}")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in words:
        if word.startswith("-"):
            continue
        path, _, extras = word.partition("[")
        if path == ".":
            missing = {*filter(None, extras.rstrip("]").split(","))} - {*project["optional-dependencies"]}
            if missing:
                raise PageError(f"{command.place}: {command}: the package has no extra {', '.join(missing)}")
            continue
        try:
            name = Requirement(word).name
        except InvalidRequirement as error:
            raise PageError(f"{command.place}: {command}: {word} cannot be installed") from error
        if name == project["name"]:
            raise PageError(f"{command.place}: {command}: {name} is on no package index; install '.'")


def _check_script(command: Command) -> None:
    """A shell script of ours that knows the flags."""
    first, *rest = command.arguments
    if not (ROOT / first).is_file():
        raise PageError(f"{command.place}: {first} is not in the repository")
    known = (ROOT / first).read_text(encoding="utf-8")
    for flag in rest:
        if f"{flag})" not in known:
            raise PageError(f"{command.place}: {command}: {first} knows no {flag}")
