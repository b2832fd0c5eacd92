"""The report as files: what is written, what it says, what it does with odd classes and missing data."""

import csv
import html
import json
import os
import re
import struct
from dataclasses import replace

import numpy as np
import pytest
from synthetic_run import lifelike_probabilities, write_run

from convtrials.core.errors import RecipeError, RunError
from convtrials.evaluation import evaluate_predictions, read_predictions
from convtrials.reports import build_report

EVERY_PICTURE = {
    "learning-curves",
    "confusion-matrix",
    "confused-pairs",
    "worst-mistakes",
    "per-class-f1",
    "reliability",
    "roc",
    "precision-recall",
}


def names_in(folder, ending):
    return {path.stem for path in (folder / "figures").glob(f"*.{ending}")}


def table(run, name):
    with open(run / "figures" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_every_picture_lies_beside_its_numbers(reported_run):
    assert names_in(reported_run, "png") == names_in(reported_run, "csv") == EVERY_PICTURE
    for path in (reported_run / "figures").glob("*.png"):
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", content[16:24])
        assert 1000 <= width <= 2400, path
        assert 600 <= height <= 2400, path


def test_nothing_temporary_is_left(reported_run):
    assert not [path for path in reported_run.rglob("*") if path.name.startswith(".")]


def test_metrics_json_holds_what_the_predictions_say(reported_run, all_characters):
    found = read_predictions(reported_run / "predictions-test.npz")
    stored = json.loads((reported_run / "metrics.json").read_text())
    expected = evaluate_predictions(
        found.probabilities, found.labels, all_characters.class_names, resamples=200
    )
    assert {key: stored[key] for key in expected} == json.loads(json.dumps(expected))
    assert [one["kind"] for one in stored["warnings"]] == ["still_learning", "few_test_images"]
    assert stored["dataset"] == {"name": "characters", "fingerprint": all_characters.fingerprint}
    assert (stored["split"], stored["seed"]) == ("test", 3)


def test_the_page_needs_nothing_from_anywhere(reported_run):
    page = (reported_run / "report.html").read_text()
    assert len(page) < 5_000_000
    assert page.count("data:image/png;base64,") == len(EVERY_PICTURE)
    assert not re.search(r"<script|<link|<iframe|@import|https?://|url\(", re.sub(r"base64,[^\"]*", "", page))
    for source in re.findall(r'src="([^"]{0,30})', page):
        assert source.startswith("data:image/png;base64,")


def test_the_page_says_the_headline_numbers_and_how_to_get_them_again(reported_run):
    page = (reported_run / "report.html").read_text()
    metrics = json.loads((reported_run / "metrics.json").read_text())
    assert f"{100 * metrics['accuracy']:.1f}%" in page
    interval = metrics["intervals"]["accuracy"]
    assert f"{100 * interval['low']:.1f} to {100 * interval['high']:.1f}" in page
    assert "alexnet on characters" in page
    for part in (
        "--seed 3",
        "--samples-per-class 40",
        "--precision fp32",
        "some folder/of images",
        "--threads 1",
    ):
        assert part in page
    assert "learning rate" in page or "lr: 0.001" in page
    assert "left out" not in page


def test_tables_agree_with_the_metrics(reported_run, all_characters):
    metrics = json.loads((reported_run / "metrics.json").read_text())
    confusion = table(reported_run, "confusion-matrix")
    assert confusion[0][1:] == list(all_characters.class_names)
    assert [[int(cell) for cell in row[1:]] for row in confusion[1:]] == metrics["confusion_matrix"]
    pairs = table(reported_run, "confused-pairs")[1:]
    assert [int(row[2]) for row in pairs] == sorted((int(row[2]) for row in pairs), reverse=True)
    assert int(pairs[0][2]) == (np.array(metrics["confusion_matrix"]) * (1 - np.eye(36))).max()
    history = table(reported_run, "learning-curves")
    assert history[1][history[0].index("train_accuracy")] == ""
    worst = table(reported_run, "worst-mistakes")[1:]
    confidence = [float(row[3]) for row in worst]
    assert confidence == sorted(confidence, reverse=True)
    for index, true, predicted, *_ in worst:
        assert all_characters.class_names[all_characters.labels[int(index)]] == true != predicted


def test_without_the_dataset_the_page_says_so_and_old_images_stay_beside_it(finished_run, dataset):
    build_report(finished_run, dataset, resamples=0)
    assert names_in(finished_run, "png") == EVERY_PICTURE
    build_report(finished_run, None, resamples=0, remark="the disk is elsewhere.")
    assert names_in(finished_run, "png") == EVERY_PICTURE
    page = (finished_run / "report.html").read_text()
    assert "pictures with images are left out: the disk is elsewhere." in page
    assert page.count("data:image/png;base64,") == len(EVERY_PICTURE) - 2


def test_another_dataset_shows_no_images_rather_than_wrong_ones(finished_run, dataset):
    build_report(finished_run, replace(dataset, fingerprint="0123456789abcdef"), resamples=0)
    assert "worst-mistakes" not in names_in(finished_run, "png")
    page = (finished_run / "report.html").read_text()
    assert "the dataset at hand (fingerprint 0123456789ab) is not the one of the run (patterns-40-)" in page


def test_predictions_beyond_the_dataset_show_no_images(finished_run, dataset):
    smaller = replace(
        dataset, images=dataset.images[:10], labels=dataset.labels[:10], split=dataset.split[:10]
    )
    build_report(finished_run, smaller, resamples=0)
    assert "point at images beyond" in (finished_run / "report.html").read_text()


def test_predictions_with_other_labels_show_no_images(finished_run, dataset):
    shifted = replace(dataset, labels=np.roll(dataset.labels, 40))
    build_report(finished_run, shifted, resamples=0)
    assert "labels of the predictions are not those" in (finished_run / "report.html").read_text()


def test_sampled_groups_are_the_unit_of_intervals(tmp_path, dataset):
    grouped = replace(
        dataset,
        groups=(np.arange(len(dataset)) // 5).astype(np.int32),
        group_names=tuple(map(str, range(len(dataset) // 5))),
        group_kind="writer",
        groups_are_sampled=True,
    )
    run = write_run(tmp_path / "run", grouped)
    build_report(run, grouped, resamples=40)
    assert json.loads((run / "metrics.json").read_text())["bootstrap"]["unit"] == "group"


@pytest.mark.filterwarnings("error")
def test_odd_class_names_are_text_everywhere(tmp_path, make_dataset):
    names = (
        "<script>alert(1)</script>",
        "$x_{",
        "a very long name of a class of images indeed",
        "=1+1",
        "\n\t",
        "漢字",
    )
    dataset = replace(make_dataset(classes=6), class_names=names)
    run = write_run(tmp_path / "run", dataset)
    build_report(run, dataset, resamples=0)
    page = (run / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert [row[0] for row in table(run, "per-class-f1")[1:]] == list(names)


@pytest.mark.parametrize(("classes", "channels", "size"), [(2, 3, 100), (3, 1, 8), (110, 1, 8)])
def test_few_and_many_classes_and_colour_are_drawn(tmp_path, make_dataset, classes, channels, size):
    dataset = make_dataset(per_class=10, classes=classes, channels=channels, size=size)
    run = write_run(tmp_path / "run", dataset, epochs=1)
    page = build_report(run, dataset, resamples=0)
    assert page.stat().st_size < 5_000_000
    assert EVERY_PICTURE - names_in(run, "png") <= {"confused-pairs", "worst-mistakes"}


def test_a_run_without_a_mistake_has_no_pictures_of_mistakes(finished_run, dataset):
    build_report(finished_run, dataset, resamples=0)
    assert "worst-mistakes" in names_in(finished_run, "png")
    labels = dataset.labels[dataset.indices("test")]
    exact = np.eye(5, dtype=np.float32)[labels]
    np.savez(
        finished_run / "predictions-test.npz",
        probabilities=exact,
        labels=labels,
        indices=dataset.indices("test"),
    )
    build_report(finished_run, dataset, resamples=20)
    assert "It made no mistake." in (finished_run / "report.html").read_text()
    # Those of earlier predictions are gone.
    for ending in ("png", "csv"):
        assert not names_in(finished_run, ending) & {"confused-pairs", "worst-mistakes"}


def test_an_empty_history_is_damage(finished_run, dataset):
    (finished_run / "history.jsonl").write_text("")
    with pytest.raises(RunError, match=r"history\.jsonl: no epoch in it, though the run is finished"):
        build_report(finished_run, dataset, resamples=0)


def test_data_made_in_memory_has_no_command(finished_run):
    described = json.loads((finished_run / "dataset.json").read_text()) | {"source": None}
    (finished_run / "dataset.json").write_text(json.dumps(described))
    build_report(finished_run, None, resamples=0)
    page = (finished_run / "report.html").read_text()
    assert "made in memory" in page
    assert "convtrials train" not in page


def test_a_broken_recipe_is_told(tmp_path, dataset):
    run = write_run(tmp_path / "run", dataset, recipe="model: [")
    with pytest.raises(RecipeError, match=r"recipe\.yaml line 1: not valid YAML"):
        build_report(run, None, resamples=0)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="the administrator may write anywhere")
def test_a_folder_that_cannot_be_written_is_told(finished_run):
    finished_run.chmod(0o500)
    try:
        with pytest.raises(RunError, match="cannot be written"):
            build_report(finished_run, None, resamples=0)
    finally:
        finished_run.chmod(0o700)


def test_a_file_in_the_place_of_the_figures_is_told(finished_run):
    (finished_run / "figures").write_text("in the way")
    with pytest.raises(RunError, match="cannot be written"):
        build_report(finished_run, None, resamples=0)


def test_warnings_stand_above_all_numbers(finished_run, dataset):
    build_report(finished_run, dataset, resamples=0)
    page = html.unescape((finished_run / "report.html").read_text())
    warnings = json.loads((finished_run / "metrics.json").read_text())["warnings"]
    assert [one["kind"] for one in warnings] == ["few_test_images"]
    assert page.index(warnings[0]["text"]) < page.index("of 100 test images correctly")
    assert "notice alarm" not in page


def test_a_run_without_a_warning_has_no_notice(tmp_path, make_dataset):
    run = write_run(tmp_path / "run", make_dataset(per_class=60, classes=5), epochs=20)
    build_report(run, None, resamples=0)
    assert json.loads((run / "metrics.json").read_text())["warnings"] == []
    assert 'class="notice' not in (run / "report.html").read_text()


def test_a_run_at_chance_is_not_told_as_an_ordinary_result(tmp_path, make_dataset):
    dataset = make_dataset(per_class=250, classes=5)
    run = write_run(tmp_path / "run", dataset)
    labels, indices = dataset.labels[dataset.indices("test")], dataset.indices("test")
    guesses = np.random.default_rng(0).dirichlet(np.ones(5), len(labels)).astype(np.float32)
    np.savez(run / "predictions-test.npz", probabilities=guesses, labels=labels, indices=indices)
    build_report(run, dataset, resamples=0)
    page = html.unescape((run / "report.html").read_text())
    [warning] = json.loads((run / "metrics.json").read_text())["warnings"]
    assert warning["kind"] == "at_chance"
    assert "notice alarm" in page
    assert warning["text"] in page
    assert "It has not learned" in page
    assert "of 100 test images correctly" not in page
    assert "hardest classes" not in page


def test_the_same_run_gives_the_same_report(tmp_path, dataset):
    pages = []
    for _ in range(2):
        run = tmp_path / "run"
        if not run.exists():
            write_run(run, dataset)
        pages.append(build_report(run, dataset, resamples=50).read_bytes())
    assert pages[0] == pages[1]


def test_the_helper_makes_believable_mistakes():
    labels = np.arange(36).repeat(10)
    assert 0.6 < (lifelike_probabilities(labels, 36).argmax(axis=1) == labels).mean() < 0.95
