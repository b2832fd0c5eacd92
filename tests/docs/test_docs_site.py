"""What `make docs` adds to the pages, and that no page loads anything from another host."""

import importlib
import re
from pathlib import Path

import pytest
import typer.main
import yaml
from docs_pages import ROOT, cut_page, slug

import convtrials
from convtrials import __version__
from convtrials.cli.main import app
from docs.hooks import (
    FROM_ROOT,
    HIDDEN,
    MARKS,
    RETURNED,
    command_line,
    fetched,
    from_root,
    on_page_markdown,
    public_names,
)


def leaves(command, name: str = "convtrials"):  # type: ignore[no-untyped-def]
    """Every command that has no commands below it, with its full name."""
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for word, one in below.items():
        if not one.hidden:
            yield from leaves(one, f"{name} {word}")


@pytest.mark.parametrize(("name", "command"), [*leaves(typer.main.get_command(app))])
def test_every_command_and_flag_is_described(name: str, command) -> None:  # type: ignore[no-untyped-def]
    text = command_line()
    page = cut_page("command-line.md", text)
    assert slug(name) in page.anchors
    part = text.split(f"## {name}\n")[1].split("\n## ")[0]
    assert " ".join(command.help.split()) in " ".join(part.split())
    flags = [param for param in command.params if not getattr(param, "hidden", False)]
    assert [
        param.opts[0] for param in flags if f"{param.opts[0]}" not in part and param.opts[0].startswith("-")
    ] == []


def test_pages_have_the_marks_that_are_filled() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
    assert [text.count(mark) for mark in MARKS] == [1, 1]
    filled = on_page_markdown(text, page=None)
    assert command_line() in filled
    assert public_names() in filled
    assert "bench [OPTIONS]" not in filled  # hidden: it only says what took its place


def test_the_page_of_names_has_every_public_name_and_what_they_return() -> None:
    described = re.findall(r"^::: (\S+)$", public_names(), re.MULTILINE)
    public = [f"convtrials.{name}" for name in convtrials.__all__ if not name.startswith("_")]
    assert sorted(described) == sorted([*public, *RETURNED])
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in RETURNED if f"`{name.rpartition('.')[2]}` (" not in page] == []


@pytest.mark.parametrize("name", HIDDEN)
def test_members_that_the_page_of_names_leaves_out_are_there(name: str) -> None:
    paths = [*RETURNED, *(f"convtrials.{one}" for one in convtrials.__all__)]
    module, _, _ = next(path for path in paths if path.endswith(f".{name}")).rpartition(".")
    one = getattr(importlib.import_module(module), name)
    assert [member for member in HIDDEN[name] if not hasattr(one, member)] == []
    hidden = public_names().partition(f".{name}\n")[2].partition(":::")[0]
    assert all(re.search(rf"[(|]{member}[|)]", hidden) for member in HIDDEN[name])


def test_pages_of_the_root_link_to_their_neighbours() -> None:
    assert from_root(
        "[a](docs/data.md#split) [b](CONTRIBUTING.md) ![c](docs/images/x.png) [d](README.md)"
    ) == ("[a](data.md#split) [b](contributing.md) ![c](images/x.png) [d](index.md)")
    assert on_page_markdown("[a](../CONTRIBUTING.md#add-a-model)", page=None) == (
        "[a](contributing.md#add-a-model)"
    )
    assert all((ROOT / source).is_file() for source in FROM_ROOT.values())
    assert not any((ROOT / "docs" / name).exists() for name in FROM_ROOT)


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://host/a.js"></script>',
        "<link rel=stylesheet href=https://host/a.css>",
        '<link href="//host/a.css" rel="stylesheet">',
        '<img alt="x" src="http://host/a.png">',
        "<style>@import url('https://host/a.css');</style>",
        "<style>body { background: url(https://host/a.png) }</style>",
    ],
)
def test_what_another_host_would_serve_is_found(html: str) -> None:
    assert len(fetched(f"<p>{html}</p>")) >= 1


@pytest.mark.parametrize(
    "html",
    [
        '<a href="https://host/">a link waits for a click</a>',
        '<link rel="canonical" href="https://host/">',
        '<script src="assets/a.js"></script><img src="data:image/png;base64,//aa">',
    ],
)
def test_what_stays_on_the_page_passes(html: str) -> None:
    assert fetched(html) == []


def test_every_page_has_its_place() -> None:
    named = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in Path(ROOT / "docs").glob("**/*.md")}
    assert [name for name in sorted(pages | FROM_ROOT.keys()) if f": {name}\n" not in named] == []


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"] == [{"name": "The convtrials authors"}]
    assert {"title", "message", "license"} <= citation.keys()
