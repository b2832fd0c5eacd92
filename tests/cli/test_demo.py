"""``convtrials demo``: the packaged study is sound, and the verb runs a study from nothing to its page."""

import webbrowser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from convtrials.cli import demo as demo_module
from convtrials.cli.main import app
from convtrials.core.errors import StudyError
from convtrials.study.plan.study_file import read_study_file

TINY = """\
dataset: {name: glyphs, classes: [A, B, C], samples_per_class: 60}
baseline: {model: alexnet-lite, width: 0.25, batch_norm: true, epochs: 1, batch_size: 16}
techniques:
  clipping:        {clip_norm: 100}
  the same again:  {seed_offset: 100}
seeds: 2
margin: 0.05
"""


def test_the_packaged_study_is_the_one_that_is_promised() -> None:
    spec = read_study_file(demo_module.DEMO)
    baseline, *techniques = spec.arms
    assert len(spec.arms) * spec.most == 25 == len(spec.arms) * spec.fewest
    again = [arm for arm in techniques if arm.recipe == baseline.recipe]
    assert len(again) == 1
    assert again[0].seed_offset >= spec.most  # no run of the baseline is one of its own
    assert spec.source == "glyphs"


def test_the_demo_runs_to_its_page_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    monkeypatch.setattr(demo_module, "DEMO", tmp_path / "tiny.yaml")
    monkeypatch.setenv("CONVTRIALS_RUNS", str(tmp_path / "runs"))
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(demo_module, "has_screen", lambda: True)
    done = CliRunner().invoke(app, ["demo", "--no-open"])
    assert (done.exit_code, opened) == (0, [])
    folder = tmp_path / "runs" / "demo"
    page = folder / "report.html"
    assert f"report: {page}" in done.stdout
    assert str(folder / "study.yaml") in done.stdout
    assert (folder / "study.yaml").read_text() == TINY
    assert "the same again (the baseline with other seeds)" in page.read_text()
    assert "clipping: its runs score every test image as the baseline's do" in done.stdout.replace("\n", " ")
    assert "With one run of each" in done.stdout
    assert "What one run each would have said" in page.read_text()
    results = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/*/result.json")}
    assert len(results) == 6
    assert CliRunner().invoke(app, ["demo"]).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/*/result.json")} == results
    assert opened == [page.as_uri()]
    # Another study in the folder, such as the demo of another version, stays as it is.
    verdicts = (folder / "verdicts.json").read_bytes()
    (tmp_path / "tiny.yaml").write_text(TINY.replace("clip_norm: 100", "clip_norm: 200"))
    refused = CliRunner().invoke(app, ["demo", "--no-open"])
    assert isinstance(refused.exception, StudyError)
    assert "holds a study with another plan" in str(refused.exception)
    assert (folder / "verdicts.json").read_bytes() == verdicts


@pytest.mark.parametrize(
    ("platform", "terminal", "variables", "expected"),
    [
        ("linux", True, {"DISPLAY": ":0"}, True),
        ("linux", True, {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", True, {}, False),
        ("darwin", True, {}, True),
        ("darwin", False, {}, False),
        ("linux", True, {"DISPLAY": ":0", "CI": "true"}, False),
        ("darwin", True, {"SSH_CONNECTION": "1.2.3.4"}, False),
    ],
)
def test_a_browser_opens_only_before_a_person(
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    terminal: bool,
    variables: dict[str, str],
    expected: bool,
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "CI", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    assert demo_module.has_screen() is expected
