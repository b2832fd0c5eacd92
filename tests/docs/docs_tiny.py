"""Running what a page says, with little data: sizes are cut, and what a command names is put there first.

Nothing of a page changes for that. Commands are run as typed with flags appended (`HABITS`), since of two equal flags
the last one counts. In Python and in study files numbers are cut (`shrunk`). Speed is not measured: threads and
precision are given.
"""

import ast
import contextlib
import doctest
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from docs_commands import Command, parse
from docs_pages import ROOT, Block, PageError
from PIL import Image
from typer.testing import CliRunner

import convtrials as ct
from convtrials.cli.main import app
from convtrials.data.sources.find import BUILT_IN
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.glyphs import GlyphsSource
from convtrials.models import registry
from convtrials.reports import picture

#: The largest values of a test: images per class, epochs, width of the network, seeds.
MOST = {"samples_per_class": 12, "epochs": 1, "width": 0.125, "seeds": 2}
#: ``epochs=2``, ``"epochs": 2``, ``epochs: 2``, ``seeds: {min: 3, max: 20}``
_SIZE = re.compile(rf"""\b({"|".join(MOST)})("?\s*[=:]\s*)([\d.]+\b|\{{[^}}]*\}}|\([\d, ]+\))""")
_PLAIN = {"threads": 1, "precision": "fp32"}


def shrunk(text: str) -> str:
    """Cut the sizes in Python or YAML to those of a test; smaller ones, and ones that are computed, stay."""

    def cut(found: re.Match[str]) -> str:
        name, sign, value = found.groups()
        small = value[0].isdigit() and float(value) <= MOST[name]
        return f"{name}{sign}{value if small else MOST[name]}"

    with_epochs = re.sub(r"\{recipe: ([\w./-]+)\}", r"{recipe: \1, epochs: 1}", text)
    return _SIZE.sub(cut, with_epochs)


@dataclass(frozen=True)
class Habit:
    """How a test runs a verb.

    Attributes
    ----------
    flags : str
        Appended to the line.
    given : dict
        Parameter -> what must be where it points: ``images``, ``run`` or ``study``.
    process : bool
        Run in a process of its own, as the shell would.
    long : str
        Why it is not run here.
    """

    flags: str = ""
    given: dict[str, str] = field(default_factory=dict)
    process: bool = False
    long: str = ""


#: In place of a download.
_LOCAL = "--data EMNIST36"
_FEW = "--samples-per-class 12"
_PINNED = "--threads 1 --precision fp32"
_OF_RUN = {"run": "run", "data": "images"}
_OF_SOURCE = {"source": "images"}
HABITS = {
    "": Habit(process=True),  # --help
    "train": Habit(f"{_FEW} --epochs 1 --width 0.125 {_PINNED} --no-report", {"data": "images"}),
    "train --resume": Habit("--no-report", {"resume": "run"}),
    "evaluate": Habit("", _OF_RUN),
    "export": Habit("", _OF_RUN),
    "study run": Habit(f"--workers 1 {_PINNED}", {"study": "study", "data": "images"}),
    "study status": Habit("", {"study": "study"}),
    "study report": Habit("", {"study": "study"}),
    "study publish": Habit("", {"study": "study"}),
    "study merge": Habit("", {"studies": "study"}),
    "benchmark": Habit("--rounds 1 --seconds 0.01 --images 16 --batch-sizes 1,2 --threads 1", _OF_RUN),
    "data pack": Habit(_FEW, _OF_SOURCE),
    "data info": Habit(_FEW, _OF_SOURCE),
    "data check": Habit("", _OF_SOURCE),
    "data split": Habit(_FEW, _OF_SOURCE),
    "models": Habit(process=True),
    "doctor": Habit("--no-speed"),
    "demo": Habit(long="takes a minute and more, and has tests of its own"),
}

#: Functions of Python blocks (``ct.Run`` is found as ``Run``) whose first argument must be there, and what it is.
_READERS = {
    "load_dataset": "images",
    "Run": "run",
    "load_run": "run",
    "build_study_report": "study",
    "load_study": "study",
    "onnxruntime.InferenceSession": "onnx",
    "Image.open": "photo",
}


def as_run(command: Command) -> tuple[Habit, Command]:
    """Say how a ``convtrials`` line is run, and with which flags.

    Raises
    ------
    PageError
        If the command line does not take it, or no habit is known for its verb.
    """
    verb, values = parse(command)
    if verb not in HABITS:
        raise PageError(f"{command.place}: say in tests/docs/docs_tiny.py how `convtrials {verb}` is run")
    habit = HABITS[f"{verb} --resume" if values.get("resume") else verb]
    local = _LOCAL if values.get("data") == "emnist36" else ""
    return habit, Command(command.place, (*command.words, *f"{habit.flags} {local}".split()))


class Stock:
    """What commands can name, made once: images, a finished run on them with its export, a finished study, a photo."""

    def __init__(self, folder: Path) -> None:
        self.images, self.run, self.study = folder / "images", folder / "run", folder / "study"
        self.ran: set[tuple[str, ...]] = set()
        self.onnx, self.photo = self.run / "model.onnx", folder / "photo.jpg"
        pixels, _ = GlyphsSource(10).read(0, 360, Frame((28, 28, 1)))
        for number, image in enumerate(pixels):
            character = self.images / "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[number % 36]
            character.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(character / f"{number}.png")
        Image.fromarray(pixels[0, ..., 0]).convert("RGB").resize((50, 40)).save(self.photo)
        recipe = ct.Recipe(width=0.125, epochs=1)
        data = ct.load_dataset(self.images)
        with _little_measured():
            ct.train(recipe, data, out=self.run)
            in_memory = replace(data, folder=None)  # no process is started for it
            ct.Study(recipe, {"gelu": {"activation": "gelu"}}, seeds=2).run(in_memory, self.study)

    def path(self, kind: str) -> Path:
        """Where the thing is; the export is made when it is first wanted."""
        if kind == "onnx" and not self.onnx.is_file():
            from convtrials.deploy.export_run import export_onnx

            export_onnx(ct.Run(self.run), None)
        return Path(getattr(self, kind))


class Workplace:
    """A folder in which the blocks of one page are run, one after the other.

    Recipes, study files and pages of the repository are there, with small sizes in the study files; so is every
    Python block that begins with ``# NAME.py``.
    """

    def __init__(self, folder: Path, stock: Stock, blocks: list[Block]) -> None:
        self.folder = folder / "here"  # a page may name ../characters
        self._stock = stock
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self._python = [block for block in blocks if block.language == "python" and not block.why_not_run]
        for name in ("recipes", "studies", "docs"):
            shutil.copytree(
                ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("results", "images")
            )
        (self.folder / "benchmarks" / "results").mkdir(parents=True)
        for path in (self.folder / "studies").iterdir():
            path.write_text(shrunk(path.read_text(encoding="utf-8")), encoding="utf-8")
        for block in blocks:
            if named := re.match(r"# (\w+\.py)\b", block.text):
                (self.folder / named[1]).write_text(block.text, encoding="utf-8")

    def provide(self, kind: str | None, path: Any) -> None:
        """Put what a page takes for granted where it says, unless something is there or nothing is needed."""
        if kind is None or (place := self.folder / path).exists():
            return
        if self.folder.parent not in place.parents or str(path).startswith("~"):
            raise PageError(f"{path}: a page names places from where the reader stands")
        place.parent.mkdir(parents=True, exist_ok=True)
        source = self._stock.path(kind)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, place)

    def run_command(self, command: Command) -> None:
        """Run a ``convtrials`` line as typed, with the flags of its habit appended; once, if several pages have it."""
        habit, tiny = as_run(command)
        if tiny.words in self._stock.ran:
            return
        for name, given in parse(tiny)[1].items():
            for value in given if isinstance(given, list | tuple) else [given]:
                if value is not None and str(value) not in BUILT_IN and Path(str(value)).suffix != ".yaml":
                    self.provide(habit.given.get(name), value)
        with self._inside():
            code, told = _in_process(tiny) if habit.process else _in_here(tiny)
        if code:
            raise PageError(f"{command.place}: {tiny}: exit code {code}: {told}")
        self._stock.ran.add(tiny.words)

    def run_python(self, block: Block) -> None:
        """Run a block, after those before it on the page that have not run yet, in one namespace."""
        while block in self._python:
            self._run_python(self._python[0])
            self._python.pop(0)

    def _run_python(self, block: Block) -> None:
        text = shrunk(block.runnable)
        for kind, path in _read_by(text):
            self.provide(kind, path)
        code = compile("\n" * (block.line - 1) + text, str(ROOT / block.page), "exec")
        with self._inside():
            exec(code, self.names)

    def run_examples(self, module: ModuleType) -> str:
        """Run the examples in a module's docstrings; return what was not as they say."""
        told = io.StringIO()
        runner = doctest.DocTestRunner(verbose=False)
        for test in doctest.DocTestFinder(exclude_empty=True).find(module):
            for example in test.examples:
                example.source = shrunk(example.source)
                for kind, path in _read_by(example.source):
                    self.provide(kind, path)
            with self._inside():
                runner.run(test, out=told.write)
        return told.getvalue()

    @contextlib.contextmanager
    def _inside(self) -> Iterator[None]:
        """Stand in the folder, import from it, and leave the process as it was."""
        with (
            contextlib.chdir(self.folder),
            mock.patch.object(sys, "path", [str(self.folder), *sys.path]),
            mock.patch.dict(registry.ENTRIES),
            mock.patch.object(picture, "DPI", 40),  # most of a report's time is drawing
            _little_measured(),
        ):
            yield


@contextlib.contextmanager
def _little_measured() -> Iterator[None]:
    """Let Python, too, compute in one way that is given: measuring which is fastest takes longer than a tiny run."""
    from convtrials.training.engine.train import train

    with (
        mock.patch.dict(train.__kwdefaults__, _PLAIN),
        mock.patch.dict(ct.Study.run.__kwdefaults__, {**_PLAIN, "workers": 1}),
    ):
        yield


def _read_by(text: str) -> list[tuple[str, str]]:
    """What a block reads: kind and path of every call in `_READERS` whose argument stands in the text."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = ast.unparse(node.func).removeprefix("ct.")
        paths = [one.value for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant)]
        if name in _READERS and paths and paths[0] not in BUILT_IN:
            found.append((_READERS[name], str(paths[0])))
    return found


def _in_here(command: Command) -> tuple[int, str]:
    done = CliRunner().invoke(app, command.arguments)
    expected = done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.output if expected else repr(done.exception)


def _in_process(command: Command) -> tuple[int, str]:
    typed = [sys.executable, "-m", "convtrials.cli.main", *command.arguments]
    done = subprocess.run(typed, capture_output=True, text=True, timeout=100, check=False)
    return done.returncode, done.stderr
