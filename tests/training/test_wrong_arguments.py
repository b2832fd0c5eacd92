"""What the command line cannot give and Python can: another type of argument is named in a line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import convtrials as ct


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda data, out: ct.train("small", data, out=out), "recipe: must be a Recipe, such as ct.Recipe"),  # type: ignore[arg-type]
        (lambda data, out: ct.train(ct.Recipe(), "photos", out=out), "dataset: must be a Dataset, such as"),  # type: ignore[arg-type]
        (lambda data, out: ct.Study("small", {"gelu": {"activation": "gelu"}}), "baseline: must be a Recipe"),  # type: ignore[arg-type]
        (
            lambda data, out: ct.Study(ct.Recipe(), {"gelu": {"activation": "gelu"}}).run("photos", out),  # type: ignore[arg-type]
            "dataset: must be a Dataset, such as ct.load_dataset('photos'), not 'photos'",
        ),
    ],
    ids=["recipe", "dataset", "baseline", "data of a study"],
)
def test_another_type_is_refused_in_a_line(
    wrong: Any, said: str, make_dataset: Callable[..., ct.Dataset], tmp_path: Path
) -> None:
    with pytest.raises(ct.ConvtrialsError) as caught:
        wrong(make_dataset(), tmp_path / "out")
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_dataset_is_printed_in_a_line(make_dataset: Callable[..., ct.Dataset]) -> None:
    data = make_dataset()
    text = repr(data)
    assert text.startswith(f"<Dataset {data.name}: {len(data):,} images of ")
    assert f"{data.counts()['test']:,} test; {len(data.class_names)} classes>" in text
    assert len(text) < 200
