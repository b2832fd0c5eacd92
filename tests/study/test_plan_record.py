"""A plan that was changed is noticed, however it was changed, and its change is on record."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_studies import COSINE, PINNED, Written, counted_test_images, prepared, spec_of

from convtrials.core.errors import StudyError
from convtrials.core.files import read_json
from convtrials.data.dataset import Dataset
from convtrials.reports.study.report import build_study_report
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.scheduler import run_to_end
from convtrials.study.plan.plan import Plan, parse_plan, read_plan
from convtrials.study.plan.plan_log import LOG_NAME, fingerprint_of, read_plan_log, remarks
from convtrials.study.prepare import prepare
from convtrials.study.results.documents import write_documents
from convtrials.study.results.scores import Outcomes
from convtrials.study.run_study import status_reader, write_study_documents
from convtrials.training.recipe.recipe import Recipe

Make = Callable[..., Dataset]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, make_dataset: Make) -> Path:
    """A study whose four runs have ended."""
    study, plan = prepared(
        tmp_path_factory.mktemp("ended") / "s", spec_of(COSINE, margin=0.05), make_dataset()
    )
    counted_test_images(study, 2000)
    outcomes = Outcomes(study, plan, None)
    executor = Written(study, plan, lambda arm, k: 0.9)
    run_to_end(study, plan, outcomes, executor, lambda state, ended: None, workers=3)
    write_documents(study, plan, outcomes)
    return study.folder


@pytest.fixture
def study(ended: Path, tmp_path: Path) -> StudyDirectory:
    return StudyDirectory(shutil.copytree(ended, tmp_path / "s"))


def edit(study: StudyDirectory, change: Callable[[dict[str, Any]], Any], *, sign: bool = False) -> None:
    """Change plan.json by hand; with ``sign`` its fingerprint too."""
    document = read_json(study.plan_path)
    change(document)
    if sign:
        document["fingerprint"] = fingerprint_of(document)
    study.plan_path.write_text(json.dumps(document))


def lines(study: StudyDirectory) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (study.folder / LOG_NAME).read_text().splitlines()]


def write_lines(study: StudyDirectory, log: list[dict[str, Any]]) -> None:
    (study.folder / LOG_NAME).write_text("".join(json.dumps(line) + "\n" for line in log))


def forget_content(study: StudyDirectory) -> None:
    """Leave the log as earlier versions wrote it: a fingerprint, without the plan itself."""
    old = ("time", "fingerprint", "finished_runs", "changes")
    write_lines(study, [{key: line[key] for key in old} for line in lines(study)])


EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "margin": lambda d: d.update(margin=0.49),
    "alpha": lambda d: d.update(alpha=0.5),
    "metric": lambda d: d.update(metric="log_loss"),
    "seeds": lambda d: d.update(seeds={"min": 2, "max": 3}),
    "looks": lambda d: d.update(looks=[2, 3]),
    "dataset_fingerprint": lambda d: d.update(dataset_fingerprint="other"),
    "arms": lambda d: d["arms"][1].update(seed_offset=7),
}


@pytest.mark.parametrize("sign", [False, True], ids=["old fingerprint", "new fingerprint"])
@pytest.mark.parametrize("what", EDITS)
def test_a_plan_changed_by_hand_is_refused_by_who_reads_it(
    study: StudyDirectory, what: str, sign: bool
) -> None:
    edit(study, EDITS[what], sign=sign)
    found, logged = fingerprint_of(read_json(study.plan_path)), lines(study)[-1]["fingerprint"]
    before = {path.name: path.read_bytes() for path in study.folder.iterdir() if path.is_file()}
    for read in (
        status_reader,
        write_study_documents,
        build_study_report,
        lambda _: read_plan(study.plan_path),
    ):
        with pytest.raises(StudyError) as caught:
            read(study.folder)
        told = str(caught.value)
        assert f"{study.plan_path}: is not the plan that plan-log.jsonl ends with" in told
        assert f"(fingerprint {found}, logged {logged}; {what}" in told
        assert f"study run STUDYFILE --out {study.folder}" in told
        assert len(told.splitlines()) == 2
    assert before == {path.name: path.read_bytes() for path in study.folder.iterdir() if path.is_file()}


def test_a_plan_alone_is_held_against_its_own_fingerprint(study: StudyDirectory, tmp_path: Path) -> None:
    alone = tmp_path / "plan.json"
    shutil.copy(study.plan_path, alone)
    assert read_plan(alone) == study.plan
    alone.write_text(alone.read_text().replace('"margin": 0.05', '"margin": 0.49'))
    with pytest.raises(StudyError, match=r"plan\.json: was changed after it was written \(fingerprint"):
        read_plan(alone)
    document = read_json(study.plan_path)
    del document["fingerprint"]
    alone.write_text(json.dumps(document))
    with pytest.raises(StudyError, match="in the file None"):
        read_plan(alone)


def test_what_decides_nothing_may_be_changed_by_hand(study: StudyDirectory) -> None:
    edit(study, lambda d: d.update(title="Another title", weights="all"))
    assert study.plan.spec.title == "Another title"


@pytest.mark.parametrize("sign", [False, True])
def test_going_on_with_a_plan_changed_by_hand_puts_the_change_on_record(
    study: StudyDirectory, make_dataset: Make, sign: bool
) -> None:
    edit(study, lambda d: d.update(margin=0.49, alpha=0.5), sign=sign)
    _, plan = prepared(study.folder, study.requested_plan.spec, make_dataset())
    assert (plan.spec.margin, study.plan) == (0.49, plan)
    last = lines(study)[-1]
    assert last["changes"] == ["margin: 0.05 -> 0.49", "confidence: 0.95 -> 0.5"]
    assert last["finished_runs"] == 4
    assert last["fingerprint"] == plan.fingerprint == read_json(study.plan_path)["fingerprint"]
    write_study_documents(study.folder)
    page = build_study_report(study.folder).read_text()
    assert "The plan was changed after runs had finished" in page
    assert "margin: 0.05 -&gt; 0.49" in page
    assert remarks(study.plan_log) == [
        "On record of the plan, after 4 ended runs: margin: 0.05 -> 0.49; confidence: 0.95 -> 0.5"
    ]


def test_the_plan_on_record_undoes_a_change_by_hand(study: StudyDirectory, make_dataset: Make) -> None:
    before, log = study.plan_path.read_bytes(), lines(study)
    edit(study, lambda d: d.update(margin=0.49))
    prepared(study.folder, spec_of(COSINE, margin=0.05), make_dataset())
    assert (study.plan_path.read_bytes(), lines(study)) == (before, log)


def test_a_change_against_the_record_is_logged_also_where_the_file_was_changed_to_hide_it(
    study: StudyDirectory, make_dataset: Make
) -> None:
    edit(study, lambda d: d.update(margin=0.49), sign=True)
    prepared(study.folder, spec_of(COSINE, margin=0.49), make_dataset())  # "nothing changed"
    assert lines(study)[-1]["changes"] == ["margin: 0.05 -> 0.49"]


def test_a_log_of_an_earlier_version_is_read(study: StudyDirectory, make_dataset: Make) -> None:
    forget_content(study)
    assert (study.plan_log.plan, study.plan_log.doubts) == (None, ())
    status_reader(study.folder)
    prepared(study.folder, spec_of(COSINE, margin=0.05), make_dataset())
    assert len(lines(study)) == 1
    prepared(study.folder, spec_of(COSINE, margin=0.01), make_dataset())
    assert lines(study)[-1]["changes"] == ["margin: 0.05 -> 0.01"]
    assert study.plan_log.doubts == ()


def test_a_change_by_hand_beside_a_log_of_an_earlier_version(
    study: StudyDirectory, make_dataset: Make
) -> None:
    forget_content(study)
    logged = lines(study)[-1]["fingerprint"]
    edit(study, lambda d: d.update(margin=0.49), sign=True)
    with pytest.raises(StudyError, match=f"logged {logged}"):
        _ = study.plan
    prepared(study.folder, spec_of(COSINE, margin=0.05), make_dataset())  # the plan on record comes back
    assert (study.plan.spec.margin, len(lines(study))) == (0.05, 1)
    edit(study, lambda d: d.update(margin=0.49))
    prepared(study.folder, study.requested_plan.spec, make_dataset())
    last = lines(study)[-1]
    assert last["changes"] == [
        f"plan.json was changed by hand; what the plan before it ({logged}) said is not known"
    ]
    assert last["finished_runs"] == 4


def test_a_log_that_is_gone_is_told_and_begun_anew(study: StudyDirectory, make_dataset: Make) -> None:
    (study.folder / LOG_NAME).unlink()
    gone = "There is no plan-log.jsonl: whether the plan was changed is not known."
    assert remarks(study.plan_log) == [gone]
    assert gone in build_study_report(study.folder).read_text()
    prepared(study.folder, spec_of(COSINE, margin=0.01), make_dataset())
    [line] = lines(study)
    assert line["changes"] == [
        "there was no plan-log.jsonl: whether the plan was different before is not known",
        "margin: 0.05 -> 0.01",
    ]
    assert line["finished_runs"] == 4
    assert len(remarks(study.plan_log)) == 1


@pytest.fixture
def changed_twice(study: StudyDirectory, make_dataset: Make) -> StudyDirectory:
    for margin in (0.01, 0.02):
        prepared(study.folder, spec_of(COSINE, margin=margin), make_dataset())
    assert study.plan_log.doubts == ()
    return study


@pytest.mark.parametrize("number", [0, 1])
def test_a_line_taken_out_of_the_log_is_told(changed_twice: StudyDirectory, number: int) -> None:
    log = lines(changed_twice)
    del log[number]
    write_lines(changed_twice, log)
    [doubt] = changed_twice.plan_log.doubts
    assert f"plan-log.jsonl is not as it was written (line {number + 1})" in doubt
    assert doubt in build_study_report(changed_twice.folder).read_text()


def test_a_log_cut_at_its_end_no_longer_ends_with_the_plan(changed_twice: StudyDirectory) -> None:
    write_lines(changed_twice, lines(changed_twice)[:-1])
    with pytest.raises(
        StudyError, match=r"is not the plan that plan-log\.jsonl ends with.*margin 0\.01 -> 0\.02"
    ):
        _ = changed_twice.plan


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(
    "change",
    [{"finished_runs": 0, "changes": []}, {"changes": ["a title"]}, {"time": "then"}, {"chain": "0" * 16}],
)
def test_a_line_changed_in_the_log_is_told(
    changed_twice: StudyDirectory, number: int, change: dict[str, Any]
) -> None:
    log = lines(changed_twice)
    original = dict(log[number])
    log[number] |= change
    write_lines(changed_twice, log)
    expected = log[number] != original  # the first line has no ended runs as it is
    assert bool(changed_twice.plan_log.doubts) == expected


def test_a_study_killed_between_log_and_plan_is_not_logged_twice(tmp_path: Path, make_dataset: Make) -> None:
    study, plan = prepared(tmp_path / "s", spec_of(COSINE), make_dataset())
    study.plan_path.unlink()
    prepared(tmp_path / "s", spec_of(COSINE), make_dataset())
    assert len(lines(study)) == 1
    assert study.plan == plan
    study.plan_path.unlink()
    prepared(tmp_path / "s", spec_of(COSINE, margin=0.02), make_dataset())
    assert [line["changes"] for line in lines(study)] == [[], ["margin: 0.005 -> 0.02"]]
    assert remarks(study.plan_log) == []  # no run had ended


def test_a_change_that_was_interrupted_is_finished_by_going_on(
    study: StudyDirectory, make_dataset: Make, caplog: pytest.LogCaptureFixture
) -> None:
    old = study.plan_path.read_bytes()
    _, changed = prepared(study.folder, spec_of(COSINE, margin=0.02), make_dataset())
    new, log = study.plan_path.read_bytes(), lines(study)
    study.plan_path.write_bytes(old)  # as a kill between the two writes leaves it
    assert study.change_interrupted
    with pytest.raises(
        StudyError, match=r"a change of the plan was interrupted .*margin 0\.05 -> 0\.02"
    ) as caught:
        status_reader(study.folder)
    assert f"`convtrials study run {study.folder}` finishes it" in str(caught.value)
    caplog.clear()
    assert study.requested_plan.spec.margin == 0.02
    assert prepare(study, study.requested_plan.spec, make_dataset(), PINNED) == changed
    assert caplog.messages == [
        f"{study.plan_path}: its last change was interrupted; it is written as {LOG_NAME} has it"
    ]
    assert (study.plan_path.read_bytes(), lines(study)) == (new, log)
    assert not study.change_interrupted


def test_nobody_begins_to_train_while_the_plan_is_changed(study: StudyDirectory) -> None:
    begun = threading.Event()

    def train() -> None:
        with study.running():
            begun.set()

    with study.changing_plan():
        thread = threading.Thread(target=train)
        thread.start()
        assert not begun.wait(0.3)
    assert begun.wait(10)
    thread.join()
    with (
        study.running(),
        pytest.raises(StudyError, match="another process is running this study"),
        study.changing_plan(),
    ):
        pass


def test_a_plan_of_an_earlier_version_keeps_its_fingerprint(
    study: StudyDirectory, make_dataset: Make
) -> None:
    """A later version writes one more setting into recipes: that is no change of the plan."""

    def without_ema(document: dict[str, Any]) -> None:
        for arm in document["arms"]:
            del arm["recipe"]["ema"]

    edit(study, without_ema, sign=True)
    old = read_json(study.plan_path)
    write_lines(study, [{**lines(study)[0], "fingerprint": old["fingerprint"]}])
    forget_content(study)
    assert study.plan.fingerprint == old["fingerprint"] != fingerprint_of(study.plan.to_dict())
    _, plan = prepared(study.folder, spec_of(COSINE, margin=0.05), make_dataset())
    assert plan.fingerprint == old["fingerprint"]
    assert read_json(study.plan_path) == old
    write_study_documents(study.folder)
    assert read_json(study.folder / "verdicts.json")["plan"] == old["fingerprint"]
    assert len(lines(study)) == 1


def test_a_margin_without_a_point_comes_back_the_same(tmp_path: Path, make_dataset: Make) -> None:
    from convtrials.study.study import Study

    spec = Study(Recipe(), COSINE, seeds=2, metric="log_loss", margin=1).spec()
    study, plan = prepared(tmp_path / "s", spec, make_dataset())
    assert study.plan.fingerprint == plan.fingerprint


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from(["metric", "margin", "alpha", "looks", "seeds", "dataset_fingerprint", "arms", "new"]),
    VALUES,
)
def test_every_change_of_what_decides_changes_the_fingerprint(key: str, value: Any) -> None:
    document = Plan(spec_of(COSINE), "data").to_dict()
    assert parse_plan(json.loads(json.dumps(document)), "plan").fingerprint == fingerprint_of(document)
    other = {**document, key: value}
    same = json.dumps(document.get(key), sort_keys=True) == json.dumps(value, sort_keys=True)
    assert (fingerprint_of(other) == fingerprint_of(document)) == (same and key in document)
    free = {"title": value, "weights": value, "dataset": value, "fingerprint": value}
    assert fingerprint_of({**document, **free}) == fingerprint_of(document)


@given(st.one_of(st.binary(max_size=200), VALUES.map(lambda value: json.dumps(value).encode())))
def test_any_log_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("log") / LOG_NAME
    path.write_bytes(content)
    try:
        log = read_plan_log(path)
    except StudyError:
        return
    assert all(isinstance(line["fingerprint"], str) for line in log.lines)
    remarks(log)


@pytest.mark.parametrize("before", ["", '{"fingerprint": "a", "plan": '])
def test_a_log_that_nests_deep_is_no_traceback(tmp_path: Path, before: str) -> None:
    (tmp_path / LOG_NAME).write_text(before + "[" * 100_000)
    with pytest.raises(StudyError, match=r"plan-log\.jsonl line 1: not valid JSON"):
        read_plan_log(tmp_path / LOG_NAME)


@pytest.mark.parametrize("depth", [600, 100_000])
def test_a_plan_that_nests_deep_is_no_traceback(study: StudyDirectory, depth: int) -> None:
    deep = '"changes": {"x": ' + "[" * depth + "]" * depth + "}"
    study.plan_path.write_text(study.plan_path.read_text().replace('"changes": {}', deep))
    with pytest.raises(StudyError):
        _ = study.plan
