"""The study's page as a file: what it says agrees with the files of the study, in every state of one."""

import csv
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from fabricated_study import TECHNIQUES, write_study

from convtrials.core.errors import ConvtrialsError
from convtrials.reports.study import report as study_report
from convtrials.reports.study.conclusion import know_more, lead
from convtrials.reports.study.page import commands
from convtrials.reports.study.record import read_study
from convtrials.reports.study.report import PICTURES, build_study_report
from convtrials.study.directory import StudyDirectory
from convtrials.study.schemas import Failures

LATE = [
    {"time": "2026-03-01T09:30:00+00:00", "fingerprint": "aa" * 16, "finished_runs": 0, "changes": []},
    {"time": "2026-03-02T10:00:00+00:00", "finished_runs": 7,
     "changes": ["margin: 0.005 -> 0.01", "metric: <b>"]},
]  # fmt: skip


class Page(HTMLParser):
    """The text of each table's rows, of each section, and every tag with its attributes."""

    def __init__(self, content):
        super().__init__()
        self.tables, self.tags, self._cells, self.text = {}, [], None, ""
        self.feed(content)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "table":
            self._rows = self.tables.setdefault(dict(attributes).get("class"), [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._cells = self._rows[-1]
            self._cells.append("")

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cells[-1] = " ".join(self._cells[-1].split())
            self._cells = None

    def handle_data(self, data):
        self.text += data
        if self._cells is not None:
            self._cells[-1] += data + " "


def built(folder):
    path = build_study_report(folder)
    assert path == folder / "report.html"
    content = path.read_text(encoding="utf-8")
    return content, Page(content)


def signed(value, factor=100, decimals=2):
    text = f"{factor * value:+.{decimals}f}".replace("-", "−")
    return text if float(text[1:]) else text[1:]


@pytest.fixture
def words_alone(monkeypatch):
    """Leave the pictures out, where a test looks at words: drawing is what takes time."""
    monkeypatch.setattr(study_report, "study_pictures", lambda study: iter(()))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = write_study(tmp_path_factory.mktemp("finished") / "study", seeds=3, classes=6, images=300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convtrials.reports.picture.DPI", 40)
        content, page = built(folder)
    return folder, content, page


def test_the_table_of_verdicts_agrees_with_the_file(finished):
    folder, _, page = finished
    verdicts = json.loads((folder / "verdicts.json").read_text())
    costs = {cost["name"]: cost for cost in json.loads((folder / "costs.json").read_text())["techniques"]}
    rows = {re.sub(r"^\d+ ", "", row[0]): row for row in page.tables["verdicts"][1:]}
    assert len(rows) == len(verdicts["techniques"]) == 3
    for told in verdicts["techniques"]:
        [row] = [row for name, row in rows.items() if name.startswith(told["name"])]
        assert told["verdict"] in row[1]
        assert row[2] == signed(told["difference"])
        assert row[3] == f"{signed(told['low'])} to {signed(told['high'])}"
        p = told["p_adjusted"]
        assert row[4] == ("< 0.001" if p < 0.001 else f"{p:.3f}")
        assert (
            row[5] == f"{signed(told['fixed_low'])} to {signed(told['fixed_high'])} {told['fixed_verdict']}"
        )
        assert row[6] == str(told["seeds"])
        assert row[7] == f"{100 * told['probability_better']:.0f}%"
        assert row[8] == f"{costs[told['name']]['cost_ratio']:.2f}×"
    assert "cosine schedule schedule: cosine" in rows
    differences = [float(row[2].replace("−", "-")) for row in page.tables["verdicts"][1:]]
    assert differences == sorted(differences, reverse=True)


def test_the_table_of_other_numbers_agrees_with_the_file(finished):
    folder, _, page = finished
    verdicts = json.loads((folder / "verdicts.json").read_text())
    rows = {row[0]: row[1:] for row in page.tables["others"]}
    assert rows["arm"][2:6] == ["Macro F1", "Macro ROC AUC", "Log loss", "Calibration error"]
    for told in verdicts["techniques"]:
        also, change = told["also"], told["also_difference"]
        row = rows[told["name"]]
        assert row[2] == f"{100 * also['macro_f1']:.2f}% {signed(change['macro_f1'])}"
        assert row[4].split()[0] == f"{also['log_loss']:.4f}"
        images = told["images_to_baseline"]
        assert row[6] == ("never" if images is None else f"{images:,}")
    assert "reported without a verdict" in page.text


def test_precision_and_recall_are_told_where_verdicts_json_has_them(tmp_path, words_alone):
    folder = write_study(tmp_path / "study", seeds=2, classes=3, images=90)
    whole = json.loads((folder / "verdicts.json").read_text())
    older = json.loads((folder / "verdicts.json").read_text())
    for one in (older["baseline"], *older["techniques"]):
        del one["also"]["macro_precision"], one["also"]["macro_recall"]
    (folder / "verdicts.json").write_text(json.dumps(older))
    _, page = built(folder)
    assert "Macro precision" not in page.tables["others"][0]
    for one in (whole["baseline"], *whole["techniques"]):
        one["also"] |= {"macro_precision": 0.75, "macro_recall": 0.7}
    (folder / "verdicts.json").write_text(json.dumps(whole))
    _, page = built(folder)
    header, baseline = page.tables["others"][:2]
    assert header[1:4] == ["Macro precision", "Macro recall", "Macro F1"]
    assert baseline[:3] == ["baseline", "75.00%", "70.00%"]


def test_the_conclusion_comes_first(finished):
    folder, _, page = finished
    sentences = [*lead(read_study(folder)), *(told for _, told in know_more(read_study(folder)))]
    assert len(sentences) >= 3
    assert all(page.text.index(sentence) < page.text.index("Verdicts") for sentence in sentences)
    for technique in TECHNIQUES:
        assert page.text.index(technique) < page.text.index("Verdicts")
    assert "Preliminary" not in page.text
    assert "The plan was changed after" not in page.text


def test_plan_environment_and_commands_are_told(finished):
    folder, _, page = finished
    for text in (
        read_study(folder).plan.fingerprint,
        "ab" * 16,
        "2026-03-01 09:30 UTC",
        "bf16",
        "torch: 2.13.0",
        "schedule.name",
        "4,120 images/s",
    ):
        assert text in page.text, text
    assert f"convtrials study run {folder}/plan.json --out {folder}-again" in page.text
    assert f"convtrials study report {folder}" in page.text
    assert len(page.tables["runs"]) == 1 + 3 * 4
    scores = json.loads((folder / "verdicts.json").read_text())["baseline"]["scores"]
    assert page.tables["runs"][1][:4] == ["baseline", "0", "finished", f"{100 * scores[0]:.2f}%"]


def test_nothing_is_fetched_and_nothing_runs(finished):
    _, content, page = finished
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in content
    assert not [
        tag for tag, _ in page.tags if tag in ("script", "link", "iframe", "object", "a", "base", "form")
    ]
    for tag, attributes in page.tags:
        assert not [
            name for name in attributes if name.startswith("on") or name in ("srcset", "style", "href")
        ]
        if "src" in attributes:
            assert tag == "img"
            assert attributes["src"].startswith("data:image/png;base64,")
            assert attributes["alt"]
    assert not re.search(r"url\(|@import", content)


def test_every_picture_lies_beside_its_numbers(finished):
    folder, _, page = finished
    for ending in ("png", "csv"):
        assert {path.stem for path in (folder / "figures").glob(f"*.{ending}")} == set(PICTURES)
    assert sum(tag == "img" for tag, _ in page.tags) == len(PICTURES)
    with open(folder / "figures" / "forest.csv", newline="") as file:
        rows = {row["technique"]: row for row in csv.DictReader(file)}
    for told in json.loads((folder / "verdicts.json").read_text())["techniques"]:
        assert float(rows[told["name"]]["low"]) == told["low"]
        assert rows[told["name"]]["verdict"] == told["verdict"]
    with open(folder / "figures" / "seeds.csv", newline="") as file:
        assert sum(1 for _ in csv.DictReader(file)) == 12
    assert not [path for path in folder.rglob("*") if path.name.endswith(".tmp")]


def test_a_report_is_the_same_again(finished):
    folder, content, _ = finished
    assert built(folder)[0] == content


def test_pairs_agree_with_the_predictions(finished):
    folder, _, _ = finished
    with open(folder / "figures" / "class-pairs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    study = read_study(folder)
    assert {row["technique"] for row in rows} == {study.ranked[0].name, study.ranked[-1].name}
    row = rows[0]
    means = []
    for arm in (study.baseline, study.ranked[0]):
        counts = []
        for run in arm.runs:
            stored = np.load(run.run.folder / "predictions-test.npz")
            answers = stored["probabilities"].argmax(axis=1)
            true, answer = study.class_names.index(row["true"]), study.class_names.index(row["answer"])
            counts.append(((stored["labels"] == true) & (answers == answer)).sum())
        means.append(np.mean(counts))
    assert float(row["change"]) == pytest.approx(means[1] - means[0])


def test_an_unfinished_study_says_so(tmp_path):
    lost = {("gelu", 2): "missing", **{("dropout 0.7", k): "missing" for k in range(3)}}
    folder = write_study(
        tmp_path / "study", seeds=3, images=120, complete=False, lost=lost, most=5,
        settled=lambda name: name == "cosine schedule",
    )  # fmt: skip
    content, page = built(folder)
    assert "<title>Preliminary: " in content
    assert (
        "Preliminary. The study has not ended: 1 of 3 techniques are settled. 1 has no result yet."
        in page.text
    )
    rows = page.tables["verdicts"][1:]
    assert "so far" not in next(row[1] for row in rows if "cosine" in row[0])
    assert "so far" in next(row[1] for row in rows if "gelu" in row[0])
    assert "no result yet" in rows[-1][1]
    assert rows[-1][2:] == ["–", "–", "–", "–", "0", "–", "–"]
    assert "3 to 5 seeds per arm" in page.text
    assert re.search(r"first seed\s*0\b", page.text)


def test_a_study_before_its_first_run_has_a_page(tmp_path):
    lost = {(name, k): "missing" for name in ("baseline", *TECHNIQUES) for k in range(2)}
    folder = write_study(tmp_path / "study", seeds=2, complete=False, lost=lost)
    _, page = built(folder)
    assert "None of the 3 techniques has a result yet" in page.text
    assert not [tag for tag, _ in page.tags if tag == "img"]


def test_a_plan_that_changed_late_is_shown_first(tmp_path, words_alone):
    folder = write_study(tmp_path / "study", seeds=2, images=120, plan_log=LATE)
    _, page = built(folder)
    told = page.text.index("The plan was changed after runs had finished")
    assert told < page.text.index(lead(read_study(folder))[0])
    assert "2026-03-02 10:00 UTC, 7 runs finished: margin: 0.005 -> 0.01; metric: <b>" in " ".join(
        page.text.split()
    )


def test_a_plan_that_changed_before_any_run_is_no_alarm(tmp_path, words_alone):
    log = [LATE[0], {**LATE[1], "finished_runs": 0}]
    _, page = built(write_study(tmp_path / "study", seeds=2, images=120, plan_log=log))
    assert "The plan was changed after runs had finished" not in page.text
    assert "margin: 0.005 -> 0.01" in page.text


def test_what_does_not_fit_together_is_told(tmp_path, words_alone):
    folder = write_study(tmp_path / "study", seeds=2, images=120)
    for name, key in (("verdicts.json", "plan"), ("dataset.json", "fingerprint")):
        document = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**document, key: "other"}))
    _, page = built(folder)
    assert "The verdicts belong to another plan (other)" in page.text
    assert "their fingerprints differ" in page.text


def test_a_plan_that_is_not_on_record_has_no_page(tmp_path, words_alone):
    folder = write_study(tmp_path / "study", seeds=2, images=120)
    plan = json.loads((folder / "plan.json").read_text())
    (folder / "plan.json").write_text(json.dumps({**plan, "margin": 0.2}))
    with pytest.raises(ConvtrialsError, match=r"plan\.json: is not the plan that plan-log\.jsonl ends with"):
        build_study_report(folder)
    assert not (folder / "report.html").exists()


def test_a_log_that_is_not_whole_is_told_on_the_page(tmp_path, words_alone):
    folder = write_study(tmp_path / "study", seeds=2, images=120)
    log = folder / "plan-log.jsonl"
    log.write_text(json.dumps({**json.loads(log.read_text()), "chain": "0" * 16}) + "\n")
    assert "plan-log.jsonl is not as it was written (line 1)" in built(folder)[1].text
    log.unlink()
    assert "There is no plan-log.jsonl" in built(folder)[1].text


def test_a_log_that_was_begun_late_is_shown_first(tmp_path, words_alone):
    log = [{"time": "2026-03-02T10:00:00+00:00", "finished_runs": 7, "changes": ["there was no log"]}]
    _, page = built(write_study(tmp_path / "study", seeds=2, images=120, plan_log=log))
    assert "The plan was changed after runs had finished" in page.text
    assert "first plan" not in page.text


def test_a_title_is_the_heading(tmp_path):
    folder = write_study(tmp_path / "study", seeds=2, images=120)
    plan = json.loads((folder / "plan.json").read_text())
    (folder / "plan.json").write_text(json.dumps({**plan, "title": "Does <it> help?"}))
    assert "Does <it> help?" in built(folder)[1].text


def test_lost_runs_are_named(tmp_path, words_alone):
    lost = {("gelu", 1): "diverged", ("dropout 0.7", 2): "failed"}
    folder = write_study(tmp_path / "study", seeds=3, images=120, lost=lost)
    study = StudyDirectory(folder)
    _, _, gelu, dropout = study.plan.arms
    why = Failures(errors=("Traceback\nValueError: too <wide>",), given_up=True)
    study.write_failures(study.run(dropout, 2), why)
    _, page = built(folder)
    text = " ".join(page.text.split())
    assert f"gelu, seed 1: diverged at step 13 (runs/{gelu.slug}/seed1)" in text
    assert f"dropout 0.7, seed 2: failed (runs/{dropout.slug}/seed2): ValueError: too <wide>" in text
    rows = page.tables["verdicts"][1:]
    assert next(row[6] for row in rows if "gelu" in row[0]) == "3 (1 lost)"
    assert "1 is unstable and 1 failed" in text


def test_names_are_text(tmp_path):
    names = ["<script>alert(1)</script>", 'quote " & <b>']
    techniques = {
        "<img src=x onerror=alert(1)>": ({"schedule": "cosine"}, 0.2),
        "学習率 é": ({"width": 1}, 0),
    }
    folder = write_study(tmp_path / "<i>study", techniques, seeds=2, classes=2, images=120, names=names)
    content, page = built(folder)
    assert "script" not in [tag for tag, _ in page.tags]
    assert "i" not in [tag for tag, _ in page.tags]
    assert "<img src=x onerror=alert(1)>" in page.text
    assert "“technique 2” is 学習率 é" in page.text
    assert "alert(1)</script>" not in content


def test_log_loss_is_told_in_nats(tmp_path, words_alone):
    folder = write_study(tmp_path / "study", seeds=2, images=120, metric="log_loss")
    _, page = built(folder)
    told = json.loads((folder / "verdicts.json").read_text())
    row = next(row for row in page.tables["verdicts"] if "cosine" in row[0])
    assert row[2] == signed(told["techniques"][0]["difference"], 1, 4)
    assert "Accuracy" in page.tables["others"][0]
    assert "Log loss" not in page.tables["others"][0]
    assert f"The baseline's log loss is {told['baseline']['mean']:.4f}" in page.text


def test_sampled_groups_are_the_unit(tmp_path, words_alone):
    _, page = built(write_study(tmp_path / "study", seeds=2, images=120, groups_of=30))
    assert "120 test images of 4 groups" in page.text


def test_a_study_without_costs_has_a_page(tmp_path):
    folder = write_study(tmp_path / "study", seeds=2, images=120, costs=False)
    _, page = built(folder)
    assert {row[8] for row in page.tables["verdicts"][1:]} == {"–"}
    assert not (folder / "figures" / "cost.png").exists()


def test_pictures_of_an_earlier_state_go(tmp_path, words_alone):
    folder = write_study(tmp_path / "study", seeds=2, images=120)
    (folder / "figures").mkdir()
    for name in ("cost.png", "cost.csv", "mine.png"):
        (folder / "figures" / name).write_bytes(b"")
    built(folder)
    assert [path.name for path in (folder / "figures").iterdir()] == ["mine.png"]


def test_a_damaged_run_leaves_the_page_as_it_was(tmp_path):
    folder = write_study(tmp_path / "study", seeds=2, images=120)
    (folder / "report.html").write_text("earlier")
    study = StudyDirectory(folder)
    path = study.run(study.plan.arms[0], 1).predictions_path
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ConvtrialsError, match=r"seed1/predictions-test\.npz") as caught:
        build_study_report(folder)
    assert len(str(caught.value).splitlines()) == 1
    assert (folder / "report.html").read_text() == "earlier"


def test_commands_survive_a_shell(tmp_path):
    folder = write_study(tmp_path / "my study; rm", seeds=2, images=40)
    assert commands(read_study(folder))[1] == f"convtrials study report '{folder}'"
