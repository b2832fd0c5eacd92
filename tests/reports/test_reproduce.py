"""The commands that a report names: each flag that is needed, and each once."""

import inspect
import json
import shlex

import pytest

from convtrials.cli.train import train
from convtrials.reports.run.page import commands
from convtrials.training.run_directory import Run

PLAIN = {"image_size": None, "channels": None, "samples_per_class": None, "split_seed": 0, "skip_bad": False}


@pytest.fixture
def flags_for(finished_run):
    """Give a run options of its dataset and a size in its recipe; return the flags of its training command."""

    def flags(recipe_size=None, **options):
        described = json.loads((finished_run / "dataset.json").read_text())
        described["options"] = {**PLAIN, **options}
        (finished_run / "dataset.json").write_text(json.dumps(described))
        (finished_run / "recipe.yaml").write_text(f"model: alexnet\nimage_size: {json.dumps(recipe_size)}\n")
        words = shlex.split(commands(Run(finished_run))[0])[2:]
        return [
            (word, next_word)
            for word, next_word in zip(words, [*words[1:], "--"], strict=True)
            if word.startswith("--")
        ]

    return flags


def test_what_was_left_to_its_default_is_not_said(flags_for):
    names = [name for name, _ in flags_for()]
    assert names == ["--recipe", "--data", "--seed", "--device", "--precision", "--threads", "--out"]


def test_size_channels_and_device_are_said(flags_for):
    flags = flags_for(image_size=32, channels=3)
    assert ("--image-size", "32") in flags
    assert ("--channels", "3") in flags
    assert ("--device", "cpu") in flags


def test_a_size_that_the_recipe_holds_is_not_said_again(flags_for):
    assert "--image-size" not in dict(flags_for(recipe_size=32, image_size=32))
    assert dict(flags_for(recipe_size=32, image_size=16))["--image-size"] == "16"


def test_a_size_of_the_recipe_that_the_data_did_not_follow_is_taken_back(flags_for):
    assert dict(flags_for(recipe_size=32))["--set"] == "image_size=null"


def test_every_flag_is_one_that_train_has(flags_for):
    known = {f"--{name.replace('_', '-')}" for name in inspect.signature(train).parameters} | {"--set"}
    every = flags_for(
        recipe_size=8,
        image_size=16,
        channels=1,
        samples_per_class=5,
        split_seed=2,
        skip_bad=True,
        ratios=[0.5, 0.25, 0.25],
    )
    assert {name for name, _ in every} <= known
    assert dict(every)["--ratios"] == "0.5,0.25,0.25"
