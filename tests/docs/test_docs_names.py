"""What pages name is there: pages and pictures that they link to, headings, files, commands in the text; recipes and
studies, the other way round, are all named by a page."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from docs_commands import PROGRAMS, check, parse, read_line
from docs_pages import PAGES, ROOT, Page, read_page

from convtrials.training.recipe.recipe import BUILT_IN_RECIPES, read_yaml

READ = {path: read_page(path) for path in PAGES}
pages = pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in READ.values()])
#: Files of the repository, named from its root or, for modules, from the package. Files that begin with ``my_`` are the
#: reader's own.
_FILE = re.compile(r"[\w.-]+/(?!my_)[\w./-]+\.(?:py|sh|yaml|md)")
_FROM = (ROOT, ROOT / "src" / "convtrials")
#: A module named without its folder.
_MODULE = re.compile(r"(?!my_)\w+\.py")
_MODULES = {
    path.name for folder in ("src", "benchmarks", "tests", "docs") for path in (ROOT / folder).rglob("*.py")
}


@pages
def test_links_lead_somewhere(page: Page) -> None:
    lost = []
    for line, target in page.links:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (ROOT / page.name).parent / path if path else ROOT / page.name
        if not place.exists() or (anchor and anchor not in read_page(place.resolve()).anchors):
            lost.append(f"{page.name}:{line}: {target}")
    assert lost == []


@pages
def test_files_named_in_the_text_are_there(page: Page) -> None:
    named = [(line, code) for line, code in page.code_in_text if _FILE.fullmatch(code)]
    lost = [
        f"{page.name}:{line}: {code}"
        for line, code in named
        if code.partition("/")[0] in _folders() and not any((start / code).is_file() for start in _FROM)
    ]
    modules = [(line, code) for line, code in page.code_in_text if _MODULE.fullmatch(code)]
    lost += [f"{page.name}:{line}: {code}" for line, code in modules if code not in _MODULES]
    assert lost == []


@pages
def test_commands_named_in_the_text_exist(page: Page) -> None:
    for line, code in page.code_in_text:
        if code.split()[0] not in PROGRAMS or "VERB" in code:
            continue
        for command in read_line(code, f"{page.name}:{line}"):
            if command.program == "convtrials":
                parse(command, complete=False)
            else:
                check(command)


RECIPES = {path.name: path for path in sorted((*(ROOT / "recipes").iterdir(), *BUILT_IN_RECIPES.iterdir()))}


def test_every_recipe_is_named_on_its_page() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert [name for name in RECIPES if f"`{name}`" not in page] == []


def test_recipes_have_the_values_that_their_page_explains() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    sections = re.split(r"^## (\S+\.yaml)$", page, flags=re.MULTILINE)
    explained = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert explained.keys() == RECIPES.keys() - {
        "base-vgg11.yaml"
    }  # the same as base.yaml but for two values
    for name, section in explained.items():
        lines = re.findall(r"^\| `([\w.]+): ([^`]+)` \|", section, flags=re.MULTILINE)
        assert {key: yaml.safe_load(value) for key, value in lines} == dict(_dotted(read_yaml(RECIPES[name])))


def test_every_study_is_named_on_a_page() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    assert [
        path.name for path in sorted((ROOT / "studies").iterdir()) if f"studies/{path.name}" not in text
    ] == []


def _dotted(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{above}{key}.")
        else:
            yield above + key, value


def _folders() -> set[str]:
    return {path.name for start in _FROM for path in start.iterdir() if path.is_dir()}
