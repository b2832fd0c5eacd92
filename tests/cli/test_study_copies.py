"""Publishing, merging, and the report of a copy from the command line, on studies of earlier versions."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import convtrials as ct
from convtrials.cli.main import app
from convtrials.core.errors import ConvtrialsError
from convtrials.core.files import read_json, write_json
from convtrials.study.directory import StudyDirectory
from convtrials.study.published_study import PublishedStudy

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convtrials.reports.picture.DPI", 40)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(params=["study-1a", "study-1b"])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / request.param, tmp_path / "study"))


def called(*words: object) -> Result:
    return CliRunner().invoke(app, ["study", *map(str, words)])


def done(*words: object) -> str:
    result = called(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*words: object) -> str:
    result = called(*words)
    assert isinstance(result.exception, ConvtrialsError)
    return str(result.exception)


def half(study: Path, target: Path, *, first: bool) -> Path:
    """Copy a study less its last seed, or with that one alone."""
    shutil.copytree(study, target)
    last = max(int(path.name.removeprefix("seed")) for path in target.glob("runs/*/seed*"))
    for run in target.glob("runs/*/seed*"):
        if (run.name == f"seed{last}") is first:
            shutil.rmtree(run)
    return target


def test_a_study_is_published_and_its_copy_judged_again(study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    told = done("publish", study, copy)
    assert "answers.npz" in told
    assert " MB" in told
    assert sorted(path.name for path in copy.glob("*.png"))
    found = PublishedStudy.read(copy)
    assert found.verdicts == StudyDirectory(study).verdicts
    again = done("report", copy)
    assert "Judged again from its runs: the same verdicts." in again
    assert all(one.sentence in " ".join(again.split()) for one in found.verdicts.techniques)


def test_a_verdict_that_would_read_otherwise_is_said(study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    done("publish", study, copy, "--no-pictures")
    assert not [*copy.glob("*.png")]
    document = read_json(copy / "verdicts.json")
    name, word = document["techniques"][0]["name"], document["techniques"][0]["verdict"]
    document["techniques"][0]["verdict"] = "worse" if word != "worse" else "better"
    write_json(copy / "verdicts.json", document)
    assert f"would be different today:\n• {name}" in done("report", copy)


def test_what_a_copy_cannot_do_is_one_line(study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    done("publish", study, copy, "--no-pictures")
    for words in (("status", copy), ("run", copy), ("publish", copy, tmp_path / "again")):
        message = refused(*words)
        assert "published copy" in message
        assert "\n" not in message


def test_pieces_are_merged_from_the_command_line(study: Path, tmp_path: Path) -> None:
    done("report", study)
    pieces = [half(study, tmp_path / "first", first=True), half(study, tmp_path / "more", first=False)]
    out = tmp_path / "both"
    told = done("merge", *pieces, "--out", out)
    assert "merged from first (" in told
    assert read_json(out / "verdicts.json") == read_json(study / "verdicts.json")
    assert "merged from first (" in (out / "report.html").read_text(encoding="utf-8")
    assert "merged from first (" in done("status", out)
    done("publish", out, tmp_path / "copy", "--no-pictures")
    assert "note: On record of the plan" in done("report", tmp_path / "copy")


def test_pieces_that_do_not_fit_are_refused(study: Path, tmp_path: Path) -> None:
    other = half(study, tmp_path / "other", first=False)
    write_json(other / "execution.json", {**read_json(other / "execution.json"), "threads": 7})
    message = refused("merge", study, other, "--out", tmp_path / "both")
    assert message.startswith(f"{other}: was computed with another threads than {study} (7, not ")
    assert not (tmp_path / "both").exists()


def test_from_python(study: Path, tmp_path: Path) -> None:
    pieces = [half(study, tmp_path / "first", first=True), half(study, tmp_path / "more", first=False)]
    folder = ct.merge_studies(pieces, tmp_path / "both")
    assert folder == tmp_path / "both"
    assert StudyDirectory(folder).verdicts.techniques
