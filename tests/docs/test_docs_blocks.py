"""Every block of code and every command of README, CONTRIBUTING and docs works as it stands there.

Python is executed, block after block of a page in one namespace; YAML is read by the reader of recipes or of study
files; every command is checked, and run where that takes seconds. `docs_tiny.py` says how little data is used, and
`docs_pages.py` with which comments a page marks what must not be run.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from docs_commands import SHELLS, Command, check, commands
from docs_pages import PAGES, ROOT, Block, read_page
from docs_tiny import Stock, Workplace, as_run

from convtrials.data.sources.frame import Frame
from convtrials.data.sources.images import decode_image
from convtrials.study.plan.study_file import read_study_file
from convtrials.training.recipe.recipe import Recipe

READ = [read_page(path) for path in PAGES]
BLOCKS = [block for page in READ for block in page.blocks]
PYTHON = [block for block in BLOCKS if block.language == "python"]
YAML = [block for block in BLOCKS if block.language == "yaml"]
LINES = [(block, command) for block in BLOCKS if block.language in SHELLS for command in commands(block)]


def places(found: list[Any]) -> list[Any]:
    """The cases of a test, each named by its place in the page."""
    return [pytest.param(one, id=(one[1] if isinstance(one, tuple) else one).place) for one in found]


@pytest.fixture(scope="module")
def workplaces(stock: Stock, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Workplace]:
    return {
        page.name: Workplace(tmp_path_factory.mktemp("page"), stock, page.blocks)
        for page in READ
        if page.blocks
    }


@pytest.mark.parametrize("block", places(BLOCKS))
def test_every_block_is_of_a_kind_that_is_tested(block: Block) -> None:
    assert block.language in {*SHELLS, "python", "yaml", "text"}
    assert block.why_not_run is None or block.language != "yaml"
    assert block.runnable


@pytest.mark.parametrize("block", places(PYTHON))
def test_python(block: Block, workplaces: dict[str, Workplace]) -> None:
    compile(block.text, block.place, "exec")
    if block.why_not_run:
        pytest.skip(block.why_not_run)
    workplaces[block.page].run_python(block)


def test_the_picture_for_the_onnx_file_is_prepared_as_the_pack_prepares_it(
    workplaces: dict[str, Workplace],
) -> None:
    place = workplaces["docs/inference.md"]
    for block in PYTHON:
        if block.page == "docs/inference.md":
            place.run_python(block)
    shape = place.names["height"], place.names["width"], place.names["channels"]
    packed = decode_image((place.folder / "photo.jpg").read_bytes(), Frame(shape))
    assert np.array_equal(place.names["pixels"][0], packed)


@pytest.mark.parametrize("block", places(YAML))
def test_yaml(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "block.yaml"
    path.write_text(block.text, encoding="utf-8")
    content = yaml.safe_load(block.text)
    if "techniques" in content:
        read_study_file(path)
    else:
        Recipe.load(path)
    if named := re.match(r"# ((?:studies|recipes)/\S+\.yaml)$", block.text, re.MULTILINE):
        assert content == yaml.safe_load((ROOT / named[1]).read_text(encoding="utf-8"))


@pytest.mark.parametrize("line", places(LINES))
def test_command_names_what_there_is(line: tuple[Block, Command]) -> None:
    check(line[1])


@pytest.mark.parametrize("line", places([line for line in LINES if line[1].program == "convtrials"]))
def test_command_runs(line: tuple[Block, Command], workplaces: dict[str, Workplace]) -> None:
    block, command = line
    if why := block.why_not_run or as_run(command)[0].long:
        pytest.skip(why)
    workplaces[block.page].run_command(command)
