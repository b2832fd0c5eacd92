"""What a reader must know of a run: said where it is so, not said where it is not, and true in every case."""

import json
from itertools import zip_longest
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic_run import write_run

from convtrials.evaluation.run_warnings import MARGIN, last_rise, rise_text, run_warnings
from convtrials.study.results.metrics import verdict_metric
from convtrials.training.run_directory import Run


def history(*accuracies, rates=(), losses=()):
    return [
        SimpleNamespace(epoch=n, val_accuracy=accuracy, learning_rate=rate, val_loss=loss)
        for n, (accuracy, rate, loss) in enumerate(zip_longest(accuracies, rates, losses), 1)
    ]


PLATEAU = history(0.5, 0.9, 0.9)
EVEN = np.repeat(np.arange(4), 200)


def kinds(found):
    return [one.kind for one in found]


def test_a_run_that_learned_and_came_to_its_end_has_none():
    assert run_warnings(EVEN, EVEN, "abcd", PLATEAU) == []


def test_one_answer_to_everything_is_told_with_what_it_gives():
    labels = np.repeat(np.arange(5), [75, 30, 15, 6, 1])
    names = ["balls", "bricks", "leaves", "stripes", "waves"]
    found = run_warnings(labels, np.zeros_like(labels), names, history(0.58, 0.58), macro_auc=0.41)
    assert kinds(found) == ["one_class", "few_test_images"]
    assert found[0].text == (
        "It answers 'balls' for every test image, which gives 59.1% right: "
        "it has not learned to distinguish the classes."
    )
    assert found[0].numbers["accuracy"] == found[0].numbers["guessing"] == 75 / 127
    assert (found[0].numbers["answer"], found[0].numbers["answer_share"]) == ("balls", 1.0)
    assert found[1].text.endswith("stripes (6), waves (1).")
    assert found[1].numbers == {"test_images": {"stripes": 6, "waves": 1}}
    json.dumps([one.as_dict() for one in found], allow_nan=False)


def test_one_answer_with_probabilities_that_rank_is_not_called_nothing_learned():
    labels = np.repeat([0, 1], [950, 50])
    [found] = run_warnings(labels, np.zeros_like(labels), ["healthy", "ill"], PLATEAU, macro_auc=0.93)
    assert found.kind == "one_class"
    assert "has not learned" not in found.text
    assert "Its probabilities do separate the classes (macro AUC 0.93): read AUC" in found.text


def test_answers_no_better_than_guesses_are_told_with_both_numbers():
    predicted = np.tile(np.arange(4), 200)
    [found] = run_warnings(EVEN, predicted, "abcd", history(0.25, 0.3), macro_auc=0.5)
    assert found.kind == "at_chance"
    assert found.text.startswith(
        "It is no better than guessing: 25.0% right, where always answering one class gives 25.0%. It has not learned:"
    )
    [begun] = run_warnings(EVEN, predicted, "abcd", history(0.25, 0.3), macro_auc=0.71)
    assert "It has begun to learn (macro AUC 0.71) but did not get further" in begun.text
    many = np.repeat(np.arange(4), 100_000)
    guesses = np.random.default_rng(0).permutation(many)
    guesses[:4000] = many[:4000]
    [little] = run_warnings(many, guesses, "abcd", PLATEAU)
    assert little.text.startswith("It is hardly better than guessing: 25.")


def test_an_accuracy_that_misleads_sends_the_reader_to_better_numbers():
    labels = np.repeat([0, 1], [900, 100])
    predicted = labels.copy()
    predicted[:45], predicted[-50:] = 1, 0
    [found] = run_warnings(labels, predicted, ["healthy", "ill"], PLATEAU)
    assert found.kind == "accuracy_misleads"
    assert found.text.startswith(
        "Its accuracy, 90.5%, is not shown to be above the 90.0% of always answering 'healthy'."
    )
    assert "read macro F1 and AUC" in found.text


def test_too_few_images_are_no_verdict_on_the_run():
    found = run_warnings(np.arange(10), np.array([0, 1, 2, *[0] * 7]), "abcdefghij", PLATEAU)
    assert kinds(found) == ["test_set_too_small", "few_test_images"]
    assert found[0].text == (
        "10 test images are too few to say whether it is better than guessing: 3 right, where always answering 'a' "
        "gives 1."
    )
    alike = run_warnings(np.array([0] * 9 + [1]), np.zeros(10, int), "ab", PLATEAU)
    assert alike[0].text.endswith("gives 9. It answers 'a' for every one.")


def test_a_class_that_is_absent_from_the_test_split_is_named():
    [found] = run_warnings(EVEN, EVEN, "abcde", PLATEAU)
    assert found.text == "e has no test images: too few to say how well it is recognised."


def test_a_run_that_rose_in_its_last_epoch_was_still_learning():
    [found] = run_warnings(EVEN, EVEN, "abcd", history(0.5, 0.6, 0.723))
    assert found.kind == "still_learning"
    assert found.text == (
        "It was still learning: its last epoch raised the validation accuracy by 12.3 points. More epochs would "
        "probably make it better."
    )
    assert found.numbers["gain"] == pytest.approx(0.123)
    falling = history(0.5, 0.6, 0.723, rates=[1e-3, 1e-3, 1e-5])
    assert (
        "in part perhaps because its learning rate fell" in run_warnings(EVEN, EVEN, "abcd", falling)[0].text
    )


def test_a_rise_that_does_not_matter_or_only_makes_good_a_bad_epoch_is_none():
    for flat in ([0.9, 0.904], [0.9, 0.7, 0.9], [0.9, 0.95, 0.7, 0.93], [0.9, 0.8]):
        assert run_warnings(EVEN, EVEN, "abcd", history(*flat)) == []
    assert kinds(run_warnings(EVEN, EVEN, "abcd", history(0.9, 0.906))) == ["still_learning"]
    # On 100 validation images 2 points are less than the standard error of an accuracy, 3 points.
    assert run_warnings(EVEN, EVEN, "abcd", history(0.9, 0.92), val_images=100) == []
    assert kinds(run_warnings(EVEN, EVEN, "abcd", history(0.9, 0.94), val_images=100)) == ["still_learning"]


def test_one_epoch_alone_is_told_and_no_history_is_not_guessed_at():
    assert kinds(run_warnings(EVEN, EVEN, "abcd", history(0.9))) == ["one_epoch"]
    assert run_warnings(EVEN, EVEN, "abcd", []) == []
    assert run_warnings(EVEN, EVEN, "abcd", history(None, None)) == []


def test_what_has_learned_nothing_is_not_called_still_learning():
    assert kinds(run_warnings(EVEN, np.zeros_like(EVEN), "abcd", history(0.25))) == ["one_class"]


def test_the_last_rise_is_that_of_the_mean_over_runs_aligned_at_their_ends():
    # Early stopping ended the second run per epoch sooner.
    rise = last_rise([history(0.1, 0.5, 0.6, 0.8), history(0.4, 0.8, 0.7)])
    assert rise is not None
    # Means from the end: 0.75, 0.7, 0.45.
    assert (rise.before, rise.last, rise.gain) == pytest.approx((0.7, 0.75, 0.05))
    assert last_rise([history(0.1, 0.5), history(0.4)]) is None
    assert last_rise([]) is None
    assert last_rise([history(0.1, float("nan"))]) is None


def test_a_loss_rises_by_falling():
    falls = history(0.5, 0.5, 0.5, losses=[2.0, 1.5, 1.1])
    rise = last_rise([falls], "val_loss")
    assert rise is not None
    assert (rise.before, rise.last, rise.gain) == pytest.approx((1.5, 1.1, 0.4))
    worse = last_rise([history(0.5, 0.5, losses=[1.0, 1.2])], "val_loss")
    assert worse is not None
    assert worse.gain == pytest.approx(-0.2)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("val_accuracy", "raised the validation accuracy by 12.5 points"),
        ("val_macro_f1", "raised the validation macro F1 by 12.5 points"),
        ("val_loss", "lowered the validation loss by 0.125 nats"),
    ],
)
def test_a_rise_is_said_in_the_unit_of_its_metric(metric, said):
    last = 0.375 if metric == "val_loss" else 0.625
    entries = [SimpleNamespace(learning_rate=None, **{metric: value}) for value in (0.5, last)]
    rise = last_rise([entries], metric)
    assert rise_text(rise, metric) == f"its last epoch {said}"


def test_the_margin_of_a_run_is_that_of_a_study():
    assert verdict_metric("accuracy").default_margin == MARGIN


def test_a_run_on_disk_has_the_warnings_of_its_files(tmp_path, make_dataset):
    run = Run(write_run(tmp_path / "run", make_dataset(per_class=40, classes=5), epochs=3))
    predictions = run.read_predictions()
    assert run.warnings() == run_warnings(
        predictions.labels,
        predictions.predicted,
        run.dataset.class_names,
        run.read_history(),
        val_images=40,
    )
    assert kinds(run.warnings()) == ["still_learning", "few_test_images"]
