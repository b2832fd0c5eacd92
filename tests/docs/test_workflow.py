"""The workflow of GitHub Actions, which has not run here: its commands exist, and it covers what is promised."""

import re
import shlex
import tomllib
from typing import Any

import pytest
import yaml
from docs_commands import Command, check
from docs_pages import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "test.yml"
#: Programs of the extra ``dev``, by the package that brings them.
TOOLS = {"pytest": "pytest", "ruff": "ruff", "mypy": "mypy", "lint-imports": "import-linter"}


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    document = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    assert set(document[True]) == {"push", "pull_request", "workflow_dispatch"}  # YAML 1.1 reads `on` as true
    return document["jobs"]["test"]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def commands(job: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Each command with the condition under which it runs."""
    return [
        (str(step.get("if", "")), shlex.split(line))
        for step in job["steps"]
        for line in step.get("run", "").splitlines()
    ]


def test_every_system_and_every_python(job: dict[str, Any], project: dict[str, Any]) -> None:
    matrix = job["strategy"]["matrix"]
    assert matrix["system"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert all(isinstance(version, str) for version in matrix["python"])  # 3.10 would be 3.1
    first = re.fullmatch(r">=3\.(\d+)", project["requires-python"])
    assert first is not None
    assert matrix["python"] == [f"3.{int(first[1]) + more}" for more in range(3)]
    assert job["strategy"]["fail-fast"] is False


def test_every_step_is_an_action_or_a_command_and_conditions_name_what_is_there(job: dict[str, Any]) -> None:
    for step in job["steps"]:
        assert ("uses" in step) != ("run" in step), step
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "actions/checkout@v4"))
        names = set(re.findall(r"\b(?:runner|matrix|github)\.\w+", str(step)))
        assert names <= {"runner.os", "matrix.python", "github.ref"}, names
        for system in re.findall(r"runner\.os [!=]= '(\w+)'", str(step.get("if", ""))):
            assert system in ("Linux", "macOS", "Windows")


def test_every_command_exists_with_its_options_and_files(
    job: dict[str, Any], project: dict[str, Any]
) -> None:
    wanted = {re.split(r"[><=\[]", one)[0] for one in project["optional-dependencies"]["dev"]}
    for _, words in commands(job):
        if words[0] in TOOLS:
            assert TOOLS[words[0]] in wanted
            for word in words[1:]:
                assert not word.startswith("tests/") or (ROOT / word).is_dir(), word
        else:
            check(Command(".github/workflows/test.yml", tuple(words)))


def test_it_installs_looks_at_the_machine_and_tests_on_every_system(job: dict[str, Any]) -> None:
    found = commands(job)
    everywhere = [" ".join(words) for condition, words in found if not condition]
    assert "python -m pip install --editable .[dev]" in everywhere
    assert "convtrials doctor" in everywhere
    for system in ("Linux", "macOS", "Windows"):
        tests = [
            words
            for condition, words in found
            if words[0] == "pytest" and (condition == "runner.os == 'Linux'") == (system == "Linux")
        ]
        assert tests, system
