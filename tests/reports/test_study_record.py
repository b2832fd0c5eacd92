"""Reading a study directory: what is supported, and how damage is reported."""

import json
from pathlib import Path

import pytest
from fabricated_study import TECHNIQUES, write_study

from convtrials.core import files
from convtrials.core.errors import RunError, StudyError
from convtrials.reports.study.record import read_study


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("whole") / "study", seeds=2, classes=3, images=60)


@pytest.fixture
def study(whole, tmp_path):
    """A copy of the documents, to be damaged; runs are shared."""
    folder = tmp_path / "study"
    folder.mkdir()
    for path in whole.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    (folder / "runs").symlink_to(whole / "runs")
    return folder


def change(folder: Path, name: str, edit) -> None:
    document = json.loads((folder / name).read_text())
    edit(document)
    (folder / name).write_text(json.dumps(document))


def refused(folder: Path) -> str:
    with pytest.raises(StudyError) as caught:
        read_study(folder)
    message = str(caught.value)
    assert len(message.splitlines()) <= 2
    return message


def test_a_study_is_read(study):
    record = read_study(study)
    assert [arm.name for arm in record.arms] == ["baseline", *TECHNIQUES]
    verdicts = json.loads((study / "verdicts.json").read_text())
    for arm, told in zip(record.techniques, verdicts["techniques"], strict=True):
        assert arm.difference == told["difference"]
        assert arm.scores == told["scores"]
        assert [run.seed for run in arm.runs] == told["run_seeds"] == [0, 1]
        assert arm.cost.cost_ratio > 0
    assert record.ranked[0].difference == max(arm.difference for arm in record.techniques)
    assert record.class_names == ("0", "1", "2")
    assert len(record.baseline.runs[0].run.read_history()) == 4


def test_techniques_without_a_number_come_last(study):
    change(study, "verdicts.json", lambda d: d["techniques"][0].update(difference=None))
    assert read_study(study).ranked[-1].name == next(iter(TECHNIQUES))


def test_runs_beside_the_verdict_are_seen(tmp_path):
    lost = {("gelu", 1): "missing"}
    folder = write_study(tmp_path / "study", seeds=2, classes=3, images=60, lost=lost)
    gelu = read_study(folder).techniques[1]
    (folder / "runs" / gelu.planned.slug / "seed7").mkdir()
    (folder / "runs" / gelu.planned.slug / "seed8").mkdir()
    ended = (gelu.runs[0].run.folder / "result.json").read_text()
    (folder / "runs" / gelu.planned.slug / "seed8" / "result.json").write_text(ended)
    (folder / "runs" / gelu.planned.slug / "seed-of-doubt").mkdir()
    runs = read_study(folder).techniques[1].runs
    assert [(run.seed, run.status) for run in runs] == [(0, "finished"), (7, "unfinished"), (8, "unused")]


@pytest.mark.parametrize(
    "name", ["costs.json", "plan-log.jsonl", "environment.json", "execution.json", "dataset.json"]
)
def test_what_may_be_missing(study, name):
    (study / name).unlink()
    read_study(study)


def test_costs_may_have_gaps(study):
    (study / "costs.json").write_text('{"techniques": [{"name": "gelu", "cost_ratio": null}]}')
    assert read_study(study).techniques[1].cost.cost_ratio is None


def test_a_technique_without_a_verdict_yet(study):
    change(study, "verdicts.json", lambda d: d["techniques"].pop())
    assert read_study(study).techniques[2].technique is None


def test_no_study(study, tmp_path):
    assert "no such study" in refused(tmp_path / "nowhere")
    assert "not a study" in refused(tmp_path)
    (study / "verdicts.json").unlink()
    assert "run the study first" in refused(study)


DAMAGE = {
    "metric": ("plan.json", lambda d: d.update(metric="f1"), "metric"),
    "margin": ("plan.json", lambda d: d.update(margin=0), "margin"),
    "no arms": ("plan.json", lambda d: d.update(arms=[]), "arms"),
    "a slug that leads elsewhere": ("plan.json", lambda d: d["arms"][1].update(slug="../../etc"), "not the plan"),
    "verdict": ("verdicts.json", lambda d: d["techniques"][0].update(verdict="good"), "techniques.0.verdict"),
    "difference": ("verdicts.json", lambda d: d["techniques"][1].update(difference="1"), "techniques.1.difference"),
    "p": ("verdicts.json", lambda d: d["techniques"][1].update(p_adjusted=1.5), "techniques.1.p_adjusted"),
    "not a number": ("verdicts.json", lambda d: d["techniques"][1].update(low=float("nan")), "techniques.1.low"),
    "a huge number": ("verdicts.json", lambda d: d["techniques"][1].update(low=1e300), "techniques.1.low"),
    "stranger": ("verdicts.json", lambda d: d["techniques"][0].update(name="x"), "'x' is not in plan.json"),
    "lengths": ("verdicts.json", lambda d: d["techniques"][0]["scores"].pop(), "equal numbers"),
    "state": ("verdicts.json", lambda d: d["baseline"].update(status=["won", "finished"]), "baseline.status.0"),
    "cost": ("costs.json", lambda d: d["baseline"].update(seconds="long"), "baseline.seconds"),
    "class names": ("dataset.json", lambda d: d.update(class_names=["a", 2]), "class_names"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_told_with_its_place(study, what):
    name, edit, key = DAMAGE[what]
    change(study, name, edit)
    message = refused(study)
    assert name in message
    assert key in message


@pytest.mark.parametrize(
    "name", ["plan.json", "verdicts.json", "costs.json", "dataset.json", "environment.json"]
)
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"runs": ' + b"9" * 5000]
)
def test_broken_files_are_told(study, name, content):
    (study / name).write_bytes(content)
    assert name in refused(study)


def test_a_broken_line_of_the_log_is_told_by_its_number(study):
    with open(study / "plan-log.jsonl", "a") as file:
        file.write("\n{]\n")
    assert "plan-log.jsonl line 2" in refused(study)


def test_a_broken_line_of_a_history_is_told_by_its_number(tmp_path):
    folder = write_study(tmp_path / "study", seeds=2, classes=3, images=60)
    run = read_study(folder).techniques[0].runs[1]
    with open(run.run.folder / "history.jsonl", "a") as file:
        file.write("oops\n")
    with pytest.raises(RunError, match=r"seed1.history\.jsonl line 5"):
        run.run.read_history()


def test_files_of_any_size_are_not_read(study, monkeypatch):
    monkeypatch.setattr(files, "LARGEST_TEXT", 100)
    assert "larger than 100 bytes" in refused(study)


def test_names_that_are_no_utf_8_can_be_shown(study):
    change(study, "dataset.json", lambda d: d.update(class_names=["ok", "caf\udce9"]))
    assert read_study(study).class_names == ("ok", "caf?")
