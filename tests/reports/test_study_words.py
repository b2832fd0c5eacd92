"""What the page says: conclusion, numbers, labels."""

import json
import re
import shutil
from dataclasses import asdict, replace
from itertools import pairwise

import pytest
from fabricated_study import write_study
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from convtrials.core.formatting import joined, p_value, times
from convtrials.reports.study.conclusion import groups, know_more, lead
from convtrials.reports.study.cost import spread
from convtrials.reports.study.page import moment
from convtrials.reports.study.record import read_study
from convtrials.reports.study.tables import changes_of, flat, recipe_changes
from convtrials.reports.study.verdict_style import STYLES, labels_of, style_of
from convtrials.statistics.interval import Comparison
from convtrials.statistics.judge import Stage, judge
from convtrials.study.results.metrics import scale_of
from convtrials.study.results.verdict_sentences import sentence


@pytest.fixture
def judged(tmp_path):
    """A function that writes a study without runs, whose verdicts are those given, and reads it."""

    def write(techniques, complete=True, metric="accuracy"):
        changes = {name: ({"dropout": n / 50}, 0) for n, name in enumerate(techniques)}
        lost = {(name, k): "missing" for name in ("baseline", *techniques) for k in range(2)}
        shutil.rmtree(tmp_path / "s", ignore_errors=True)
        folder = write_study(
            tmp_path / "s", changes, seeds=2, classes=2, metric=metric, complete=complete, lost=lost
        )
        document = json.loads((folder / "verdicts.json").read_text())
        document["test_images"] = 5000
        for technique, told in zip(document["techniques"], techniques.values(), strict=True):
            technique.update({"final": complete, **told})
        (folder / "verdicts.json").write_text(json.dumps(document))
        return read_study(folder)

    return write


def numbers(verdict, difference, reach, **more):
    return {
        "verdict": verdict,
        "difference": difference,
        "low": difference - reach,
        "high": difference + reach,
        **more,
    }


def test_each_verdict_is_counted(judged):
    study = judged({
        "a": numbers("better", 0.012, 0.004), "b": numbers("worse", -0.02, 0.004), "c": numbers("worse", -0.03, 0.004),
        "d": numbers("inconclusive", 0.002, 0.01), "e": {"verdict": "failed"}, "f": numbers("equivalent", 0, 0.001),
    })  # fmt: skip
    assert lead(study)[0] == (
        "Of 6 techniques, 1 is better than the baseline, 2 are worse, 1 makes no practical difference, "
        "1 gives no clear answer and 1 failed."
    )
    assert lead(study)[1] == "The largest gain: a, +1.20 points of accuracy (95% interval +0.80 to +1.60)."
    assert [group.style.key for group in groups(study)] == [
        "better",
        "worse",
        "equivalent",
        "inconclusive",
        "failed",
    ]
    assert [finding.name for finding in groups(study)[1].techniques] == ["b", "c"]


def test_the_largest_gain_is_one_that_is_shown(judged):
    """An unclear technique with a larger difference does not hide a clear one."""
    study = judged({"unclear": numbers("inconclusive", 0.05, 0.06), "clear": numbers("better", 0.01, 0.004)})
    assert lead(study)[1].startswith("The largest gain: clear, +1.00 points")


@pytest.mark.parametrize(
    ("techniques", "complete", "said"),
    [
        ({"x": numbers("better", 0.01, 0.001)}, True, "x is better than the baseline."),
        ({"x": numbers("better", 0.01, 0.001)}, False, "So far: x is better than the baseline."),
        ({"x": {"final": False}, "y": {"final": False}}, False, "So far: None of the 2 techniques has a result yet."),
        ({"x": numbers("worse", -1, 0.1), "y": numbers("worse", -1, 0.1)}, True, "Both techniques are worse."),
        ({"x": numbers("inconclusive", 0, 1), "y": numbers("inconclusive", 0, 1)}, True,
         "None of the 2 techniques gives a clear answer."),
    ],
)  # fmt: skip
def test_studies_of_one_kind(judged, techniques, complete, said):
    assert lead(judged(techniques, complete))[0] == said


def test_what_it_would_take_is_told_by_kind(judged):
    study = judged({
        "s": numbers("inconclusive", 0.002, 0.01, reason="more seeds", more_seeds=4),
        "t": numbers("inconclusive", 0.002, 0.01, reason="more seeds", more_seeds=11),
        "i": numbers("inconclusive", 0.001, 0.01, reason="test set", resolvable=0.0123, images_needed=40_000),
        "j": numbers("inconclusive", 0.0011, 0.01, reason="test set", resolvable=0.0123),
        "r": numbers("inconclusive", 0.0, 0.04, reason="spread of runs", resolvable=0.001),
        "m": numbers("inconclusive", 0.0, 0.01, reason="cannot matter"),
        "u": {"verdict": "unstable", "reason": "diverged"}, "v": {"verdict": "unstable", "reason": "baseline diverged"},
        "g": numbers("better", 0.012, 0.004),
    })  # fmt: skip
    told = dict(know_more(study))
    assert told["More seeds"] == (
        "Seeds per arm that may settle it (about an even chance), beyond those run: s (4) and t (11)."
    )
    assert told["More test images"] == (
        "These 5,000 test images cannot resolve differences below about 1.2 points, and more seeds do not help: "
        "j and i. Images that may settle it (about an even chance): i (40,000)."
    )
    assert told["Steadier runs"] == (
        "No realistic number of seeds would settle it, since runs of one recipe differ too much: r."
    )
    assert told["Nothing more"].endswith("out of reach: m.")
    assert told["Another recipe"].startswith("Some runs diverged: the baseline and u.")
    assert len(told) == 5


#: How a sentence of one technique tells each kind of outlook.
SENTENCES = {
    "More seeds": r"About [\d,]+ more seed",
    "More test images": "The test set cannot resolve",
    "Steadier runs": "No realistic number of seeds",
    "Nothing more": "Stopped:",
}
VARIANCES = st.floats(-8, -2).map(lambda power: 10**power)


@given(st.floats(-0.02, 0.02), VARIANCES, VARIANCES, st.floats(0, 1), st.integers(2, 20), st.booleans())
@example(0.0012, 2e-7, 3e-6, 0.5, 3, False)  # stopped, since it cannot matter
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sentence_and_page_agree_on_what_it_would_take(
    judged, difference, seeds_part, images_part, noise, seeds, last
):
    now = Comparison(
        difference,
        seeds_part,
        images_part,
        2.0 * seeds,
        images_part + noise * seeds_part,
        999,
        noise * seeds_part,
    )
    stage = Stage(
        look=0, seeds=seeds, last=seeds if last else 20, level=0.0001, last_level=0.005, fixed_level=0.01
    )
    result = replace(judge(now, stage, 0.005, 1000), final=True)
    told = dict(know_more(judged({"x": asdict(result)})))
    said = sentence("x", result, "accuracy", 0.005, seeds)
    assert set(told) == {kind for kind, words in SENTENCES.items() if re.search(words, said)}
    assert len(told) == (result.verdict == "inconclusive")
    numbers_told = {f"{count:,}" for count in (result.more_seeds, result.images_needed) if count}
    assert len(numbers_told) <= 1
    for count in numbers_told:
        assert count in said
        assert f"x ({count})" in "".join(told.values()) or "x (more than" in "".join(told.values())
    assert ("even chance" in said) == ("even chance" in "".join(told.values())) == bool(numbers_told)


def test_open_techniques_wait_for_runs(judged):
    study = judged(
        {"x": numbers("inconclusive", 0, 1, final=False), "y": numbers("better", 1, 0.1, final=True)}, False
    )
    assert [what for what, _ in know_more(study)] == ["The study's remaining runs"]
    assert "One technique is still open" in know_more(study)[0][1]


def test_a_sentence_of_the_study_goes_first(judged):
    study = judged({"x": numbers("better", 0.01, 0.001, sentence="x wins.")})
    assert groups(study)[0].techniques[0].sentence == "x wins."


@pytest.mark.parametrize(
    ("ratio", "interval", "told"),
    [
        (None, None, "–"),
        (0.9, None, "0.90×"),
        (0.9, [0.85, 0.95], "0.90×"),
        (0.9, [0.8, 1.0], "0.90× ?"),
        (1.6, [0.8, 3.2], "1.60× ?"),
        (1.001, [0.9, 1.1], "1.00×"),
    ],
)
def test_a_cost_that_may_be_chance_has_a_question_mark(ratio, interval, told):
    assert times(ratio, interval) == told


def test_log_loss_is_told_as_lower(judged):
    study = judged({"x": numbers("better", 0.0123, 0.002), "y": numbers("worse", -1, 0.1)}, metric="log_loss")
    assert (
        lead(study)[1]
        == "The largest gain: x, log loss lower by 0.0123 nats (95% interval 0.0103 to 0.0143)."
    )


def test_looks_are_told_apart_without_colour():
    judged_looks = [look for look in STYLES if look.key != "waiting"]
    assert (
        len({look.sign for look in judged_looks})
        == len({look.marker for look in judged_looks})
        == len(judged_looks)
    )


def test_an_open_technique_without_number_is_waiting(judged):
    study = judged({"x": {"final": False}, "y": {"final": True}, "z": {"verdict": "failed"}}, False)
    assert [style_of(arm).key for arm in study.techniques] == ["waiting", "inconclusive", "failed"]


def test_labels(tmp_path):
    names = ["a" * 50 + "1" + "b" * 50, "a" * 50 + "2" + "b" * 50, "学習率", "Größe", "x\ny"]
    study = read_study(
        write_study(tmp_path / "s", {name: ({"dropout": 0.1}, 0) for name in names}, seeds=2, images=20)
    )
    labels = labels_of(study.techniques, 20)
    assert len(set(labels.values())) == len(names)
    assert all(len(label) <= 20 for label in labels.values())
    assert labels["学習率"] == "technique 3"
    assert labels["Größe"] == "Größe"
    assert labels["x\ny"] == "x y"
    assert labels[names[0]].startswith("1: ")


def test_changes_are_told_from_what_to_what(tmp_path):
    study = read_study(write_study(tmp_path / "s", seeds=2, images=20))
    cosine = study.techniques[0]
    assert changes_of(study, cosine) == ["schedule: cosine"]
    everybody = replace(study.baseline, planned=replace(study.baseline.planned, seed_offset=9))
    assert changes_of(replace(study, baseline=everybody), cosine) == ["schedule: cosine", "seeds from 0"]
    assert recipe_changes(study, cosine) == [("schedule.name", "constant", "cosine")]
    assert flat({"a": {"b": 1, "c": {}}, "d": [1]}) == {"a.b": 1, "a.c": {}, "d": [1]}


@given(st.floats(-1, 1))
def test_signs_are_right(value):
    text = scale_of("accuracy").signed(value)
    number = float(text.replace("−", "-"))
    assert number == pytest.approx(100 * value, abs=0.00501)
    assert text[0] == ("−" if number < 0 else "+" if number > 0 else "0")


def test_numbers_are_written_for_people():
    accuracy, loss = scale_of("accuracy"), scale_of("log_loss")
    assert accuracy.score(0.90126) == "90.13%"
    assert accuracy.amount(0.005) == "0.5 points"
    assert accuracy.amount(0.01) == "1 point"
    assert loss.score(0.31239) == "0.3124"
    assert loss.span(-0.01, 0.002) == "−0.0100 to +0.0020"
    assert accuracy.span(-0.15, 0.06) == "wider than 20 points"
    assert accuracy.span(-0.7, -0.3) == "−70.00 to −30.00"
    assert loss.span(-0.15, 0.06) == "−0.1500 to +0.0600"
    assert accuracy.signed(None) == accuracy.score(None) == accuracy.span(None, 1) == p_value(None) == "–"
    assert (p_value(0.0004), p_value(0.0321)) == ("< 0.001", "0.032")
    assert joined(["a"]) == "a"
    assert joined(["a", "b", "c"]) == "a, b and c"
    assert moment("2026-03-01T09:30:05+00:00") == "2026-03-01 09:30 UTC"
    assert moment("yesterday") == "yesterday"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_labels_are_spread_in_order_and_within_the_plot(wanted):
    gap = 1 / 30
    wanted = sorted(wanted, reverse=True)
    places = spread(wanted, gap)
    assert len(places) == len(wanted)
    assert all(above - below >= gap - 1e-9 for above, below in pairwise(places))
    assert places[0] <= 1
    assert places[-1] >= 0


def test_labels_with_room_stay_where_they_want():
    assert spread([0.9, 0.5, 0.1], 0.05) == pytest.approx([0.9, 0.5, 0.1])
    assert spread([0.5, 0.5], 0.1) == pytest.approx([0.55, 0.45])


def test_the_level_of_the_baseline_has_an_interval(tmp_path):
    write_study(tmp_path, seeds=2)
    for interval in (None, [0.8912, 0.9134]):
        document = json.loads((tmp_path / "verdicts.json").read_text())
        document["baseline"]["mean_interval"] = interval
        (tmp_path / "verdicts.json").write_text(json.dumps(document))
        assert ("95% interval" in level_told(tmp_path)) == (interval is not None)
    assert level_told(tmp_path).endswith("; 95% interval for new seeds and images 89.12% to 91.34%).")


def level_told(folder):
    return next(told for told in lead(read_study(folder)) if told.startswith("The baseline's"))
