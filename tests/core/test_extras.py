"""Extras: all that documents, messages and commands name exist, and what to install is what the package says."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from convtrials.core import extras as extras_module
from convtrials.core.extras import FOR_DEVELOPERS, extras, how_to_install

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
#: ``convtrials[deploy]``, ``'.[deploy]'``, ``dist/convtrials-0.1.0-py3-none-any.whl[deploy]``
_NAMED = re.compile(r"""(?:convtrials|["'` ]\.|\.whl)\[([a-z]+(?:,[a-z]+)*)\]""")


def test_every_extra_that_is_named_exists() -> None:
    known = set(PROJECT["project"]["optional-dependencies"])
    paths = [
        *(
            ROOT / name
            for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "pyproject.toml")
        ),
        *(ROOT / "docs").glob("**/*.md"),
        *(ROOT / "examples").glob("*.ipynb"),
        *(ROOT / "src").glob("**/*.py"),
    ]
    named = [
        (path.name, extra)
        for path in paths
        for found in _NAMED.findall(path.read_text(encoding="utf-8"))
        for extra in found.split(",")
    ]
    assert {extra for _, extra in named} >= {"deploy", "mlflow", "wandb"}
    assert [(name, extra) for name, extra in named if extra not in known] == []


def test_no_page_asks_an_index_for_the_package() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("**/*.md"), *(ROOT / "examples").glob("*.ipynb")]
    asking = re.compile(r"""pip3? install (?:-\S+ )*["']?convtrials(?!-)\b""")
    assert [path.name for path in pages if asking.search(path.read_text(encoding="utf-8"))] == []


def test_what_to_install_is_what_the_package_says(monkeypatch: pytest.MonkeyPatch) -> None:
    optional = PROJECT["project"]["optional-dependencies"]
    lines = [
        f'{Requirement(one)}; extra == "{extra}"' for extra, packages in optional.items() for one in packages
    ]
    monkeypatch.setattr(extras_module, "_requirements", lambda: ["numpy>=2", *lines])
    assert set(extras()) == set(optional) - set(FOR_DEVELOPERS)
    for extra in extras():
        asked = re.findall(r"'([^']+)'", how_to_install(extra))
        assert {str(Requirement(one)) for one in asked} == {str(Requirement(one)) for one in optional[extra]}
    (one,) = (package for package in extras()["deploy"] if package.name == "onnxruntime")
    assert one.version is None or re.match(r"\d+\.\d+", one.version)


def test_without_the_packages_own_list_a_clone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras_module, "_requirements", list)
    assert how_to_install("deploy") == "pip install '.[deploy]' in a clone of convtrials"


def test_ranges_begin_at_the_versions_that_are_tested() -> None:
    """`constraints-oldest.txt` has the lower end of every range, and no package has a range that is not tested."""
    lines = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    pinned = {one.name.lower(): one for one in map(Requirement, (line for line in lines if line[0] != "#"))}
    needed = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["deploy"]]
    for one in map(Requirement, needed):
        assert one.name.lower() in pinned, one.name
        (version,) = (part.version for part in pinned[one.name.lower()].specifier)
        (lowest,) = (part.version for part in one.specifier if part.operator == ">=")
        assert one.specifier.contains(version), one
        assert version.startswith(lowest), f"{one}: tested from {version}"


def test_the_wheel_has_every_file_that_the_code_opens() -> None:
    """All files of the package that are no Python stand under package-data, and every folder is a package."""
    package = ROOT / "src" / "convtrials"
    there = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    listed = PROJECT["tool"]["setuptools"]["package-data"]["convtrials"]
    assert there == {path for pattern in listed for path in package.glob(pattern)}
    folders = {path.parent for path in package.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []
