"""The page of a dataset: self-contained, every class with examples and counts, whatever its name."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from convtrials.cli.data import app
from convtrials.data.dataset import Dataset
from convtrials.reports.data_page import EXAMPLES, MOST_CLASSES, write_data_page


def test_every_class_has_examples_and_counts(tmp_path: Path) -> None:
    for name, count in (("cat", 9), ("<b>dog<b>", 4)):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.random.default_rng(number).integers(0, 256, (12, 10, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{number}.png")
    (tmp_path / "set" / "empty").mkdir()
    page = tmp_path / "pages" / "set.html"
    done = CliRunner().invoke(app, ["info", str(tmp_path / "set"), "--html", str(page)])
    assert done.exit_code == 0, done.exception
    assert "page: " in done.stdout
    text = page.read_text(encoding="utf-8")
    assert text.count("<img") == EXAMPLES + 4
    assert "<b>" not in text
    assert "&lt;b&gt;dog" in text
    assert "no image in empty: no class" in text
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert re.search(r"cat</th><td>6</td><td>2</td><td>1</td>\s*<td>9</td>", text)


@pytest.mark.parametrize("classes", [2, MOST_CLASSES + 3])
def test_many_classes_and_no_pack(tmp_path: Path, classes: int) -> None:
    images = np.zeros((3 * classes, 4, 4), np.uint8)
    data = Dataset.from_arrays(images, [f"c{n % classes:03d}" for n in range(3 * classes)])
    text = write_data_page(data, tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count('<article class="kind">') == min(classes, MOST_CLASSES)
    assert text.count('<th scope="row">') == classes + 1
    assert ("The first 200 of 203 classes" in text) == (classes > MOST_CLASSES)
