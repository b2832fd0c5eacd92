"""A study on disk from Python: verdicts as objects, a data frame, a table for a notebook; finished or not."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_studies import BASE, COSINE, Written, counted_test_images, prepared, spec_of

import convtrials as ct
from convtrials.core.errors import StudyError
from convtrials.data.dataset import Dataset
from convtrials.study.execute.scheduler import run_to_end
from convtrials.study.results.documents import write_documents
from convtrials.study.results.scores import Outcomes
from convtrials.study.study import Study, default_study_folder

Make = Callable[..., Dataset]
FIXTURES = Path(__file__).parents[1] / "fixtures"
TECHNIQUES = {"good": {"dropout": 0.1}, "<b>bad</b>": {"dropout": 0.2}}


def conducted(folder: Path, dataset: Dataset, **options: Any) -> Path:
    study, plan = prepared(folder, spec_of(TECHNIQUES, (3, 3), title="One & two", **options), dataset)
    counted_test_images(study, 2000)
    chance = {"baseline": 0.8, "good": 0.9, "<b>bad</b>": 0.6}
    outcomes = Outcomes(study, plan, None)
    executor = Written(study, plan, lambda arm, k: chance[arm])
    run_to_end(study, plan, outcomes, executor, lambda state, ended: None, workers=1)
    write_documents(study, plan, outcomes)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, make_dataset: Make) -> Path:
    return conducted(tmp_path_factory.mktemp("finished") / "s", make_dataset())


def test_a_verdict_is_an_object_that_prints_its_sentence(finished: Path) -> None:
    result = ct.load_study(finished)
    good = result.verdict("good")
    told = {one["name"]: one for one in result.document()["techniques"]}["good"]
    assert result.complete
    assert (good.word, good.difference, good.low, good.high, good.p) == (
        "better",
        told["difference"],
        told["low"],
        told["high"],
        told["p_adjusted"],
    )
    assert good.cost == pytest.approx(1.0)
    assert str(good) == result.verdicts()["good"] == told["sentence"]
    assert "good is better than the baseline" in str(result)
    with pytest.raises(StudyError, match=r"'other' is not a technique of .*; there are: good, <b>bad</b>"):
        result.verdict("other")


def test_a_data_frame_has_a_row_per_technique(finished: Path) -> None:
    frame = ct.load_study(finished).to_frame()
    assert list(frame.index) == list(TECHNIQUES)
    assert frame.loc["good", "word"] == "better"
    assert frame["difference"].dtype == frame["cost"].dtype == float
    assert {"low", "high", "p", "seeds", "wins", "sentence"} <= set(frame.columns)


def test_a_notebook_gets_a_table_with_what_it_rests_on(finished: Path) -> None:
    shown = ct.load_study(finished)._repr_html_()
    assert shown.count("<tr>") == 3
    assert "<td>good</td><td>better</td>" in shown
    assert "&lt;b&gt;bad&lt;/b&gt;" in shown
    assert "<b>" not in shown
    assert "One &amp; two" in shown
    assert "margin: 0.5 points; 3 seeds per arm; 2,000 test images" in shown
    assert "not finished" not in shown
    assert len(shown) < 4000


def test_warnings_are_shown_in_a_notebook(tmp_path: Path) -> None:
    folder = shutil.copytree(FIXTURES / "study-1b", tmp_path / "s")
    result = ct.load_study(folder)
    shown = result._repr_html_()
    assert result.warnings()
    assert shown.count("<p>Warning: ") == len(result.warnings())


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no plan\.json here: not a study directory"):
        ct.load_study(tmp_path)
    with pytest.raises(StudyError, match="not a study directory"):
        ct.load_study(tmp_path / "nowhere")


def test_an_unfinished_study_says_what_there_is_and_writes_nothing(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "s")
    for name in ("verdicts.json", "costs.json"):
        (folder / name).unlink()
    for path in folder.glob("runs/*/seed2"):
        shutil.rmtree(path)
    before = sorted(path.name for path in folder.iterdir())
    result = ct.load_study(folder)
    assert not result.complete
    assert (result.verdict("good").word, result.verdict("good").final) == ("better", False)
    assert "This study is not finished" in str(result)
    assert "This study is not finished" in result._repr_html_()
    assert "better so far" in result._repr_html_()
    assert sorted(path.name for path in folder.iterdir()) == before


def test_verdicts_of_another_plan_are_not_taken_for_this_ones(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "s")
    document = json.loads((folder / "verdicts.json").read_text())
    document |= {"plan": "another"}
    document["techniques"][0]["verdict"] = "worse"
    (folder / "verdicts.json").write_text(json.dumps(document))
    assert ct.load_study(folder).verdict("good").word == "better"


def test_a_study_without_a_folder_gets_one_of_its_own(
    make_dataset: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVTRIALS_RUNS", str(tmp_path / "all"))
    dataset = make_dataset()
    options = {"workers": 1, "threads": 1, "precision": "fp32", "device": "cpu"}
    first = Study(BASE, COSINE, seeds=2).run(dataset, checkpoint_seconds=0.0, **options)
    assert first.folder.parent == tmp_path / "all"
    runs = {path: path.stat().st_mtime_ns for path in first.folder.glob("runs/*/*/result.json")}
    assert len(runs) == 4
    again = Study(BASE, COSINE, seeds=2).run(dataset, **options)
    assert again.folder == first.folder
    assert {path: path.stat().st_mtime_ns for path in first.folder.glob("runs/*/*/result.json")} == runs
    other = Study(BASE, {"gelu": {"activation": "gelu"}}, seeds=2)
    assert default_study_folder(other.spec(), dataset) != first.folder
    named = Study(BASE, COSINE, seeds=2, title="Does it / help?")
    assert default_study_folder(named.spec(), dataset).name.startswith("Does-it-help-")


def test_a_study_has_one_line_in_a_notebook_and_none_where_it_is_quiet(
    make_dataset: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shown: list[str] = []

    class ZMQInteractiveShell:
        pass

    handle = SimpleNamespace(update=lambda data, raw: shown.append(data["text/plain"]))
    display = SimpleNamespace(display=lambda data, raw, display_id: handle)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=ZMQInteractiveShell))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    study, dataset = Study(BASE, COSINE, seeds=2), make_dataset()
    options = {"workers": 1, "threads": 1, "precision": "fp32", "device": "cpu"}
    with ct.quiet():
        study.run(dataset, tmp_path / "quiet", **options)
    assert (shown, caplog.messages) == ([], [])
    study.run(dataset, tmp_path / "shown", **options)
    assert shown[-1] == "4 of 4 runs"
    assert not [line for line in caplog.messages if not line.startswith("probe")]


def test_the_costs_of_a_changed_plan_are_not_those_of_the_plan_before(
    tmp_path: Path, make_dataset: Make
) -> None:
    folder = conducted(tmp_path / "s", make_dataset())
    study, _ = prepared(folder, spec_of({**TECHNIQUES, "good": {"dropout": 0.3}}, (3, 3)), make_dataset())
    found = ct.load_study(study.folder).verdict("good")
    assert found.waiting
    assert (found.cost, found.cost_low, found.cost_written) == (None, None, "–")


def test_a_table_on_log_loss_says_that_its_numbers_are_gains(tmp_path: Path, make_dataset: Make) -> None:
    folder = conducted(tmp_path / "s", make_dataset(), metric="log_loss", margin=0.01)
    shown = ct.load_study(folder)._repr_html_()
    assert "<th>gain, nats</th>" in shown
    assert "difference, nats" not in shown
