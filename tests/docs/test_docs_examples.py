"""The examples in docstrings do what they say."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest
from docs_pages import ROOT
from docs_tiny import Stock, Workplace

SOURCES = [*ROOT.glob("src/convtrials/**/*.py"), *ROOT.glob("benchmarks/race/*.py")]
WITH_EXAMPLES = [
    path.relative_to(ROOT) for path in sorted(SOURCES) if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.fixture(scope="module")
def workplace(stock: Stock, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("examples"), stock, [])


def module_at(path: Path) -> ModuleType:
    name = ".".join(path.with_suffix("").parts)
    return importlib.import_module(name.removeprefix("src.").removesuffix(".__init__"))


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=str)
def test_examples(path: Path, workplace: Workplace) -> None:
    assert "+SKIP" not in (ROOT / path).read_text(encoding="utf-8")
    assert workplace.run_examples(module_at(path)) == ""
