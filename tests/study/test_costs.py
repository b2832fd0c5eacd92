import json
import re

import numpy as np
import pytest
from scipy import stats
from study_runs import history_of, write_ended_run

from convtrials.core.errors import ConvtrialsError, RunError
from convtrials.study.results.costs import ratio_interval, study_costs
from convtrials.training.run_directory import Run


def costs_of(*runs, **options):
    """Return what costs.json holds."""
    return study_costs(*runs, **options).to_dict()


@pytest.fixture
def runs(tmp_path):
    """Two baseline runs; one technique at double cost, of whose three runs one diverged and one is missing."""

    def write(name, *curves, **options):
        return [
            write_ended_run(tmp_path / name / str(k), history_of(curve, **options))
            for k, curve in enumerate(curves)
        ]

    baseline = write("baseline", [0.5, 0.7], [0.5, 0.7])
    slow = write("slow", [0.6, 0.8], seconds=4.0, cpu_seconds=9.0)
    lost = write_ended_run(
        tmp_path / "slow" / "1", history_of([0.1]), status="diverged", steps=13, train_seconds=2.5
    )
    return baseline, {"slow": [*slow, lost, Run(tmp_path / "slow" / "2")]}


def test_costs_are_means_over_finished_runs_and_the_total_counts_all(runs):
    costs = costs_of(*runs, device="cpu", wall_seconds=11.0)
    assert costs == {
        "format": 1,
        "unit": "cpu_seconds",
        "baseline": {
            "seconds": 4.0,
            "cpu_seconds": 6.0,
            "images": 2560.0,
            "seconds_to_baseline": pytest.approx(6.0),
            "runs": 2,
            "diverged": 0,
        },
        "techniques": [
            {
                "name": "slow",
                "seconds": 8.0,
                "cpu_seconds": 18.0,
                "cost_ratio": 3.0,
                "cost_ratio_interval": None,  # of one run
                "images": 2560.0,
                "seconds_to_baseline": pytest.approx(13.5),  # 9 an epoch, half-way through the second
                "runs": 1,
                "diverged": 1,
            }
        ],
        "total": {
            "runs": 4,
            "seconds": 4.0 + 4.0 + 8.0 + 2.5,
            "cpu_seconds": 6.0 + 6.0 + 18.0 + 3.0,
            "wall_seconds": 11.0,
        },
    }
    json.dumps(costs, allow_nan=False)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_other_devices_are_compared_by_the_clock(runs, device):
    costs = costs_of(*runs, device=device)
    assert costs["unit"] == "seconds"
    assert costs["techniques"][0]["cost_ratio"] == 2.0
    assert costs["techniques"][0]["seconds_to_baseline"] == pytest.approx(6.0)
    assert costs["total"]["wall_seconds"] is None


def test_runs_on_which_nothing_rests_count_in_the_total_alone(runs, tmp_path):
    baseline, techniques = runs
    unused = write_ended_run(tmp_path / "unused", history_of([0.9], cpu_seconds=100.0))
    without = costs_of(baseline, techniques, device="cpu")
    costs = costs_of(baseline, techniques, device="cpu", surplus=[unused, Run(tmp_path / "nowhere")])
    assert costs["total"]["runs"] == without["total"]["runs"] + 1
    assert costs["total"]["cpu_seconds"] == without["total"]["cpu_seconds"] + 100
    assert {**costs, "total": None} == {**without, "total": None}


def test_early_stopping_is_cheaper(tmp_path):
    baseline = [write_ended_run(tmp_path / "b", history_of([0.5, 0.6, 0.7, 0.7]))]
    stopped = [write_ended_run(tmp_path / str(k), history_of([0.6] * n)) for k, n in enumerate((1, 2))]
    costs = costs_of(baseline, {"stops": stopped}, device="cpu")["techniques"][0]
    assert costs["cost_ratio"] == pytest.approx(1.5 / 4)
    assert costs["images"] == 1.5 * 1280
    assert costs["seconds_to_baseline"] is None


def test_the_interval_of_a_cost_comes_from_the_runs_of_both_arms(tmp_path):
    def write(name, seconds):
        return [
            write_ended_run(tmp_path / name / str(k), history_of([0.5], cpu_seconds=each))
            for k, each in enumerate(seconds)
        ]

    lost = write_ended_run(tmp_path / "lost", [], status="diverged", steps=3, train_seconds=1.5)
    baseline, technique = write("baseline", [10.0, 12.0, 11.0]), write("same", [9.0, 11.0, 9.7])
    told = costs_of(baseline, {"same": [*technique, lost]}, device="cpu")["techniques"][0]
    assert told["cost_ratio"] == pytest.approx(0.9)
    assert told["cost_ratio_interval"] == list(ratio_interval([9.0, 11.0, 9.7], [10.0, 12.0, 11.0]))
    low, high = told["cost_ratio_interval"]
    assert low < 1 < high  # what runs of one arm differ by makes no technique cheaper
    # equal spread relative to the mean: Welch's t test on logarithms says nearly the same
    logs = stats.ttest_ind(np.log([9.0, 11.0, 9.7]), np.log([10.0, 12.0, 11.0]), equal_var=False)
    assert [low, high] == pytest.approx(np.exp(logs.confidence_interval(0.95)), rel=0.01)


def test_the_interval_of_a_cost_without_spread_or_runs():
    assert ratio_interval([3.0, 3.0], [2.0, 2.0]) == (1.5, 1.5)
    assert ratio_interval([3.0], [2.0, 2.0]) is None
    assert ratio_interval([], []) is None
    assert ratio_interval([3.0, 3.0], [0.0, 0.0]) is None


def test_the_interval_of_a_cost_holds_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(0)
    held = []
    for _ in range(2000):
        costs, basis = draws.normal(1.3, 0.13, 4), draws.normal(1, 0.05, 5)
        low, high = ratio_interval(costs, basis)
        held.append(low <= 1.3 <= high)
    assert 0.93 < np.mean(held) < 0.975


def test_arms_without_a_finished_run_have_no_costs(tmp_path):
    lost = write_ended_run(tmp_path / "lost", [], status="diverged", steps=3, train_seconds=1.5)
    good = write_ended_run(tmp_path / "good", history_of([0.5]))
    for baseline, technique in ([lost], [good]), ([good], [lost]), ([], [good]), ([good], []):
        costs = costs_of(baseline, {"x": technique}, device="cpu")
        assert costs["techniques"][0]["cost_ratio"] is None
        assert costs["techniques"][0]["seconds_to_baseline"] is None
    assert costs["total"]["runs"] == 1
    assert costs_of([lost], {}, device="cpu")["total"]["seconds"] == 1.5


def test_half_an_epoch_is_half_of_the_images(tmp_path):
    run = write_ended_run(tmp_path / "run", history_of([0.5], steps=5), epochs=0.5)
    assert run.images_seen == 640
    assert costs_of([run], {}, device="cpu")["baseline"]["images"] == 640


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("result.json", "{", "not valid JSON"),
        ("result.json", "[]", "a JSON object is needed, not list"),
        ("result.json", '{"status": "finished"}', "is missing"),
        ("result.json", '{"status": "ended"}', "status = 'ended'"),
        ("result.json", '{"status": "finished", "steps": NaN}', "steps = nan"),
        ("result.json", '{"status": "finished", "steps": true}', "steps = True"),
        ("result.json", '{"status": "finished", "steps": -1}', "steps = -1"),
        ("result.json", '{"status": "finished", "steps": "9"}', "steps = '9'"),
        ("history.jsonl", "", "no epoch in it"),
        ("history.jsonl", "{]\n", "line 1: not valid JSON"),
        ("history.jsonl", "\xff\n", "not readable"),
        ("history.jsonl", "7\n", "line 1: a JSON object is needed, not int"),
        ("history.jsonl", '{"step": 4, "val_accuracy": null}\n', "line 1: val_accuracy = None"),
        ("dataset.json", "{}", "is missing"),
        ("dataset.json", '{"counts": {"train": "many"}}', "counts.train = 'many'"),
        ("dataset.json", "[" * 100_000, "not"),
        ("dataset.json", None, "dataset.json: no such file"),
        ("recipe.yaml", "epochs: [", "recipe.yaml"),
        ("recipe.yaml", None, "recipe.yaml"),
    ],
)
def test_damage_is_told_in_a_line_that_names_the_file(tmp_path, name, content, message):
    run = write_ended_run(tmp_path / "run", history_of([0.5]))
    path = run.folder / name
    path.unlink()
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConvtrialsError, match=re.escape(message)) as caught:
        costs_of([run], {}, device="cpu")
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_steps_must_rise(tmp_path):
    history = history_of([0.5, 0.6])
    history[1]["step"] = 10
    run = write_ended_run(tmp_path / "run", history)
    with pytest.raises(RunError, match=r"history.jsonl line 2: step 10 after step 10"):
        costs_of([run], {}, device="cpu")


def test_a_number_beyond_any_float_is_refused(tmp_path):
    run = write_ended_run(tmp_path / "run", history_of([0.5]), train_seconds=10**400)
    with pytest.raises(RunError, match=r"result\.json: .*a number of 401 digits"):
        costs_of([run], {}, device="cpu")


def test_a_file_that_would_fill_the_memory_is_not_read(tmp_path):
    run = write_ended_run(tmp_path / "run", history_of([0.5]))
    with open(run.folder / "history.jsonl", "r+b") as file:
        file.truncate(2**36)  # sparse: takes no space
    with pytest.raises(RunError, match=r"history\.jsonl: larger than"):
        costs_of([run], {}, device="cpu")
