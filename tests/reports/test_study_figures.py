"""What can be told of a study's figures without eyes: words apart and inside, shapes by verdict, numbers shown."""

import json
from itertools import combinations, pairwise

import numpy as np
import pytest
from fabricated_study import TECHNIQUES, write_study
from matplotlib.text import Text

from convtrials.core.formatting import joined
from convtrials.reports.study import learning_curves as study_curves
from convtrials.reports.study.cost import MOST_POINTS, cost_picture
from convtrials.reports.study.forest import difference_limits, forest_picture
from convtrials.reports.study.learning_curves import curves_picture
from convtrials.reports.study.record import read_study
from convtrials.reports.study.report import PICTURES, study_pictures
from convtrials.reports.study.rows import text_width
from convtrials.reports.study.seeds import seeds_picture
from convtrials.reports.study.single_runs import MOST_DOTS, single_runs_picture
from convtrials.reports.study.verdict_style import STYLES, style_of
from convtrials.reports.style import figure_style
from convtrials.study.results.metrics import scale_of

MANY = {f"technique {n} of this study, with a long name" * (1 + n % 2): ({"dropout": n / 20}, 0.4 - n / 15)
        for n in range(12)}  # fmt: skip
MANY |= {
    "学習率": ({"schedule": "cosine"}, 0.1),
    "Größe & <b>": ({"width": 1}, -0.1),
    "diverges": ({"width": 2}, 0),
}


@pytest.fixture(scope="module", params=["three", "fifteen", "one, log loss", "preliminary"])
def study(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures") / "study"
    if request.param == "three":
        write_study(folder, seeds=2, classes=12, images=240)
    elif request.param == "fifteen":
        write_study(folder, MANY, seeds=2, classes=4, images=120, lost={("diverges", 1): "diverged"})
    elif request.param == "one, log loss":
        names = ["<script>alert(1)</script>" * 3, "$x^2$ \n"]
        one = {"cosine schedule": ({"schedule": "cosine"}, 0.5)}
        write_study(folder, one, seeds=2, classes=2, images=200, metric="log_loss", names=names, epochs=1)
    else:
        lost = {("gelu", 2): "missing", **{("dropout 0.7", k): "missing" for k in range(3)}}
        write_study(folder, seeds=3, classes=3, images=150, complete=False, lost=lost)
    return read_study(folder)


@pytest.fixture(scope="module")
def pictures(study):
    return {picture.name: (picture, drawn(picture)) for picture in study_pictures(study)}


def drawn(picture):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with figure_style():
        figure = picture.draw()
        FigureCanvasAgg(figure).draw()
    return figure


def words(axes):
    """Boxes of everything written in or around an axes, by text."""
    # Ticks outside the range exist, and are not drawn.
    ticks = [tick.label1 for axis in (axes.xaxis, axes.yaxis) for tick in axis._update_ticks()]
    written = [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts, *ticks]
    shown = [text for text in written if text.get_visible() and text.get_text()]
    # The extent of an annotation would hold its arrow as well.
    return [(text.get_text(), Text.get_window_extent(text)) for text in shown]


def overlap(one, other):
    return one.x0 < other.x1 - 1 and other.x0 < one.x1 - 1 and one.y0 < other.y1 - 1 and other.y0 < one.y1 - 1


def test_every_picture_is_made(study, pictures):
    """Without a technique that ended, no picture has ground; all of these have some."""
    assert list(pictures) == list(PICTURES)


def test_words_stay_inside(pictures):
    for name, (_, figure) in pictures.items():
        width, height = figure.get_size_inches() * figure.dpi
        for axes in figure.axes:
            for text, box in words(axes):
                assert -1 <= box.x0 < box.x1 <= width + 1, (name, text)
                assert -1 <= box.y0 < box.y1 <= height + 1, (name, text)


@pytest.mark.parametrize("name", ["forest", "seeds", "cost", "class-pairs", "per-class-f1"])
def test_words_do_not_lie_on_each_other(pictures, name):
    for axes in pictures[name][1].axes:
        for (text, one), (other_text, other) in combinations(words(axes), 2):
            assert not overlap(one, other), (text, other_text)


def test_rows_have_as_many_cells_as_the_header(pictures):
    for picture, _ in pictures.values():
        assert picture.rows
        assert {len(row) for row in picture.rows} == {len(picture.header)}


def test_the_forest_has_a_row_for_every_technique(study, pictures):
    picture, figure = pictures["forest"]
    assert [row[0] for row in picture.rows] == [arm.name for arm in study.ranked]
    assert len(figure.axes[0].get_yticklabels()) == len(study.techniques)
    for arm, row in zip(study.ranked, picture.rows, strict=True):
        if arm.technique is not None:
            assert row[3:6] == [arm.difference, arm.technique.low, arm.technique.high]


def test_verdicts_differ_in_shape_and_word(study, pictures):
    axes = pictures["forest"][1].axes[0]
    written = [text.get_text() for text in axes.texts]
    for place, arm in enumerate(study.ranked):
        look = style_of(arm)
        assert any(text.startswith(look.word) for text in written)
        points = [
            line for line in axes.lines if line.get_marker() == look.marker and line.get_ydata()[0] == place
        ]
        assert len(points) == (arm.difference is not None)


def test_seeds_are_dots(study, pictures):
    picture, figure = pictures["seeds"]
    shown = [row for row in picture.rows if row[3] is not None]
    assert len(shown) == sum(len(arm.scores) for arm in study.arms)
    dots = sum(len(line.get_xdata()) for line in figure.axes[0].lines if line.get_marker() == "o")
    arrows = sum(line.get_marker() in "<>" for line in figure.axes[0].lines)
    assert dots == len(shown) or (arrows and dots < len(shown))


def test_extremes_do_not_squeeze_the_others(tmp_path):
    folder = write_study(tmp_path / "study", seeds=3, images=150)
    document = json.loads((folder / "verdicts.json").read_text())
    for one in document["techniques"][:2]:
        one.update(difference=0.01, low=-0.02, high=0.04)
    document["techniques"][2].update(difference=-0.6, low=-0.9, high=-0.3, scores=[0.1, 0.1, 0.1])
    (folder / "verdicts.json").write_text(json.dumps(document))
    study = read_study(folder)
    low, high = difference_limits(study)
    assert -60 < low < 0 < high
    axes = drawn(forest_picture(study)).axes[0]
    assert [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "<"] == [2]
    assert "−60.00" in [text.get_text() for text in axes.texts]
    seeds = drawn(seeds_picture(study)).axes[0]
    assert seeds.get_xlim()[0] > 10
    assert "10, 10, 10" in [text.get_text() for text in seeds.texts]


def test_an_interval_that_says_nothing_does_not_squeeze_the_others(tmp_path):
    folder = write_study(tmp_path / "study", seeds=3, images=150)
    document = json.loads((folder / "verdicts.json").read_text())
    for one in document["techniques"][:2]:
        one.update(difference=0.01, low=-0.02, high=0.04)
    document["techniques"][2].update(difference=-0.005, low=-2.1, high=2.09)
    (folder / "verdicts.json").write_text(json.dumps(document))
    study = read_study(folder)
    low, high = difference_limits(study)
    assert -3 < low < -2
    assert 4 < high < 5
    axes = drawn(forest_picture(study)).axes[0]
    assert sorted(line.get_marker() for line in axes.lines if line.get_marker() in ("<", ">")) == ["<", ">"]
    assert "wider than 20 points" in [text.get_text() for text in axes.texts]


def test_the_range_holds_margin_zero_and_intervals(study):
    low, high = difference_limits(study)
    factor = 1 if study.spec.metric == "log_loss" else 100
    assert low < -factor * study.spec.margin
    assert high > factor * study.spec.margin


def test_curves_are_means_over_runs(tmp_path):
    study = read_study(write_study(tmp_path / "study", seeds=3, images=60, epochs=3))
    picture = curves_picture(study)
    rows = {(row[0], row[1]): row for row in picture.rows}
    last = [run.run.read_history()[-1].val_accuracy for run in study.techniques[0].runs]
    runs, mean, low, high = rows["cosine schedule", 3.0][2:]
    assert (runs, low, high) == (3, min(last), max(last))
    assert mean == pytest.approx(np.mean(last))
    assert len(rows) == 3 * 4
    panels = [axes for axes in drawn(picture).axes if axes.axison]
    assert [axes.get_title(loc="left")[2:] for axes in panels] == [arm.name for arm in study.ranked]


def test_gaps_in_a_history_are_left_out(tmp_path):
    study = read_study(write_study(tmp_path / "study", seeds=2, images=60, epochs=2, metric="log_loss"))
    for run in (run for arm in study.arms for run in arm.runs):
        history = run.run.read_history()
        run.run.write_history(entry.model_copy(update={"val_loss": None}) for entry in history)
    assert curves_picture(study) is None


def test_of_many_techniques_the_extremes_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(study_curves, "MOST_PANELS", 4)
    many = {f"t{n}": ({"dropout": n / 50}, n / 7) for n in range(7)}
    study = read_study(write_study(tmp_path / "study", many, seeds=2, images=40, epochs=1))
    picture = curves_picture(study)
    assert "Of 7 techniques, 4 are drawn" in picture.caption
    panels = [axes.get_title(loc="left")[2:] for axes in drawn(picture).axes if axes.axison]
    ranked = [arm.name for arm in study.ranked]
    assert panels == ranked[:2] + ranked[-2:]
    assert {row[0] for row in picture.rows} == {"baseline", *many}


def test_costs_below_zero_or_unknown_are_not_drawn(tmp_path):
    study = read_study(write_study(tmp_path / "study", seeds=2, images=40, costs=False))
    assert "cost" not in {picture.name for picture in study_pictures(study)}


def test_costs_of_many_techniques_are_rows(tmp_path):
    many = {f"t{n}": ({"dropout": n / 50}, n / 7) for n in range(MOST_POINTS + 1)}
    study = read_study(write_study(tmp_path / "study", many, seeds=2, images=40, epochs=1))
    axes = drawn(cost_picture(study)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [arm.name for arm in study.ranked]
    points = {line.get_ydata()[0]: line.get_xdata()[0] for line in axes.lines if line.get_marker() in "o^vs"}
    assert points == {place: arm.cost.cost_ratio for place, arm in enumerate(study.ranked)}
    written = [text.get_text() for text in axes.texts]
    scale = scale_of(study.spec.metric)
    for arm in study.ranked:
        assert f"{arm.cost.cost_ratio:.2f}×" in written
        assert scale.signed(arm.difference) in written


def with_cost_intervals(folder):
    """Give every second technique a cost that may be chance, the others one that is sure."""
    costs = json.loads((folder / "costs.json").read_text())
    for number, one in enumerate(costs["techniques"]):
        interval = [0.8, 1.1] if number % 2 else [1.2, 1.4]
        one |= {"cost_ratio": 0.95 if number % 2 else 1.3, "cost_ratio_interval": interval}
    costs["techniques"][0] |= {"cost_ratio": 1.5, "cost_ratio_interval": [1.4, 1.6]}
    costs["techniques"][1] |= {"cost_ratio": 0.9, "cost_ratio_interval": [0.8, 1.01]}
    (folder / "costs.json").write_text(json.dumps(costs))
    return read_study(folder)


@pytest.mark.parametrize("count", [MOST_POINTS, MOST_POINTS + 1])
def test_a_cost_that_may_be_chance_is_not_called_cheaper(tmp_path, count):
    many = {f"t{n}": ({"dropout": n / 50}, n / 7) for n in range(count)}
    folder = write_study(tmp_path / "study", many, seeds=2, images=40, epochs=1)
    study = with_cost_intervals(folder)
    doubtful = [arm for arm in study.ranked if arm.cost.may_be_the_same]
    assert len(doubtful) == count // 2
    picture = cost_picture(study)
    axes = drawn(picture).axes[0]
    if count > MOST_POINTS:
        bars = {collection.get_segments()[0][0][1] for collection in axes.collections}
        assert bars == {place for place, arm in enumerate(study.ranked) if arm not in doubtful}
        written = [text.get_text() for text in axes.texts]
        assert "0.90× ?" in written
        assert "1.50×" in written
        assert "No bar and a “?”" in picture.caption
    else:
        names = joined([arm.name for arm in doubtful])
        assert picture.caption.endswith(
            f"Costs that may equal the baseline's, because runs of one arm differ in cost by as much: {names}."
        )
    shown = {row[0]: row for row in picture.rows}
    assert shown["t1"][1:4] == [0.9, 0.8, 1.01]


def test_costs_of_few_techniques_are_points(tmp_path):
    many = {f"t{n}": ({"dropout": n / 50}, n / 7) for n in range(MOST_POINTS)}
    study = read_study(write_study(tmp_path / "study", many, seeds=2, images=40, epochs=1))
    picture = cost_picture(study)
    assert "Upwards" in picture.caption
    assert drawn(picture).axes[0].get_ylabel() == scale_of(study.spec.metric).difference_label


def test_an_unstable_technique_is_not_called_the_best(tmp_path):
    lost = {("cosine schedule", 1): "diverged"}
    folder = write_study(tmp_path / "study", seeds=2, images=300, lost=lost)
    study = read_study(folder)
    assert study.ranked[0].name == "cosine schedule"
    captions = {picture.name: picture.caption for picture in study_pictures(study)}
    assert "“gelu”" in captions["per-class-f1"]


def test_one_hundred_classes(tmp_path):
    one = {"cosine schedule": TECHNIQUES["cosine schedule"]}
    study = read_study(write_study(tmp_path / "study", one, seeds=2, classes=100, images=400))
    made = {picture.name: picture for picture in study_pictures(study)}
    assert "Of 100 classes, the 40 that change most" in made["per-class-f1"].caption
    assert len(made["per-class-f1"].rows) == 100
    labels = drawn(made["per-class-f1"]).axes[0].get_yticklabels()
    for one, other in pairwise(label.get_window_extent() for label in labels):
        assert not overlap(one, other)


def test_the_width_of_text_is_that_of_the_drawing():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with figure_style():
        figure = Figure(dpi=100)
        text = figure.text(0, 0, "gradient accumulation", fontsize=10)
        FigureCanvasAgg(figure).draw()
    assert text_width("gradient accumulation", 10) == pytest.approx(
        text.get_window_extent().width / 100, rel=0.03
    )
    assert text_width("  ", 10) == 0


def test_every_verdict_has_a_look():
    from convtrials.study.schemas import TechniqueVerdict

    verdicts = TechniqueVerdict.model_fields["verdict"].annotation.__args__
    assert {look.key for look in STYLES} == {*verdicts, "waiting"}


def test_single_runs_mark_as_many_dots_as_the_verdicts_count(study):
    picture = single_runs_picture(study)
    for arm in study.techniques:
        rows = [row for row in picture.rows if row[0] == arm.name]
        found = arm.technique.single_runs if arm.technique else None
        if found is None or not arm.scores:
            assert not rows
            continue
        assert len(rows) == found.pairs
        assert sum(row[3] == "yes" for row in rows) == (found.wrong or 0)
        assert sum(row[2] > 0 for row in rows) == found.better
        assert max(abs(row[2]) for row in rows) == pytest.approx(found.largest)
    dots = [line for line in drawn(picture).axes[0].lines if line.get_marker() in ("o", "X")]
    assert sum(len(line.get_xdata()) for line in dots) == len(picture.rows)


def test_single_runs_of_the_baseline_itself_mislead_beyond_the_margin_whatever_the_verdict(tmp_path):
    # An A/A trial: changes nothing but the seeds.
    folder = write_study(
        tmp_path / "study", {"again": ({}, 0.0), "gelu": ({"activation": "gelu"}, 0.5)}, seeds=3
    )
    document = json.loads((folder / "verdicts.json").read_text())
    found = document["techniques"][0]["single_runs"]
    found["wrong"] = found["beyond_margin"]
    (folder / "verdicts.json").write_text(json.dumps(document))
    rows = [row for row in single_runs_picture(read_study(folder)).rows if row[0] == "again"]
    margin = json.loads((folder / "plan.json").read_text())["margin"]
    assert [row[3] for row in rows] == ["yes" if abs(row[2]) > margin + 1e-12 else "no" for row in rows]


def test_many_pairs_are_thinned_and_their_ends_stay(tmp_path):
    folder = write_study(
        tmp_path / "study", {"gelu": ({"activation": "gelu"}, 0.1)}, seeds=21, classes=2, images=300
    )
    picture = single_runs_picture(read_study(folder))
    dots = [line for line in drawn(picture).axes[0].lines if line.get_marker() in ("o", "X")]
    shown = np.concatenate([line.get_xdata() for line in dots])
    assert len(shown) == MOST_DOTS == len(picture.rows) < 441
    document = json.loads((folder / "verdicts.json").read_text())
    ours, theirs = document["techniques"][0]["scores"], document["baseline"]["scores"]
    ends = (100 * (min(ours) - max(theirs)), 100 * (max(ours) - min(theirs)))
    assert (shown.min(), shown.max()) == pytest.approx(ends)
    assert "400 evenly spaced ones" in picture.caption


def test_studies_judged_before_single_runs_were_counted_have_no_such_picture(tmp_path):
    folder = write_study(tmp_path / "study", seeds=2, classes=3, images=150)
    document = json.loads((folder / "verdicts.json").read_text())
    del document["single_runs"]
    for one in document["techniques"]:
        del one["single_runs"]
    (folder / "verdicts.json").write_text(json.dumps(document))
    assert single_runs_picture(read_study(folder)) is None
