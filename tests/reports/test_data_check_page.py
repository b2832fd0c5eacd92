"""The page of a data check: findings, pictures of pairs, a CSV with all; in a real browser it fits its window."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, probed_title
from PIL import Image
from typer.testing import CliRunner

from convtrials.cli.main import app

runner = CliRunner()

PROBE = """<!doctype html><title>waiting</title><body><iframe id="frame" style="border:0;width:{width}px;height:2000px"
srcdoc="{page}"></iframe><script>
frame.onload = () => {{
  const inside = frame.contentDocument, pictures = [...inside.images];
  document.title = JSON.stringify([
    inside.documentElement.scrollWidth, pictures.length, pictures.filter(p => p.naturalWidth > 0).length,
    Math.max(...[...inside.querySelectorAll("h1,h2,.pair,figcaption,li")].map(e => e.getBoundingClientRect().right)),
  ]);
}};
</script>"""


def picture(seed: int) -> Image.Image:
    """A smooth colour pattern; another seed, another one."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 pictures in two classes and splits; 66 darker copies in one class, one under the other class in test."""
    for number in range(40):
        part, name = ("train", "test")[number % 4 == 3], ("x", "<y>")[number % 2]
        for place in ("x", "<y>"):
            (tmp_path / "set" / part / place).mkdir(parents=True, exist_ok=True)
        picture(number).save(tmp_path / "set" / part / name / f"{number:03d}.png")
    (tmp_path / "set" / "test" / "x").mkdir(parents=True, exist_ok=True)
    picture(99).save(tmp_path / "set" / "test" / "x" / "099.png")
    for number in range(11):
        for copy in range(3):
            darker = picture(number).point(lambda value, by=0.9 - copy / 10: int(value * by))
            darker.save(tmp_path / "set" / "train" / "x" / f"copy{number:02d}{copy}.png")
    large = picture(0).resize((900, 300), Image.Resampling.BICUBIC)
    large.save(tmp_path / "set" / "test" / "<y>" / "large.png")
    return tmp_path / "set"


def test_the_page_shows_pairs_and_the_csv_has_all(folder: Path, tmp_path: Path) -> None:
    answer = runner.invoke(
        app, ["data", "check", str(folder), "--html", str(tmp_path / "page.html"), "--json"]
    )
    assert answer.exit_code == 1
    facts = json.loads(answer.stdout)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    with open(tmp_path / "page.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(facts["near_pairs"]) > 60
    assert [[row["first"], row["second"]] for row in rows] == [pair["files"] for pair in facts["near_pairs"]]
    assert page.count('<li class="pair') == 60
    assert f"{len(rows) - 60} more pairs not shown" in page
    assert page.count("data:image/") == 120
    # The worst come first: the large copy in the other class and split.
    assert "large.png" in rows[0]["first"] + rows[0]["second"]
    assert "two classes, two splits" in page
    assert "test/&lt;y&gt;/large.png" in page
    assert "<y>" not in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium or Chrome on the PATH")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_its_window(folder: Path, tmp_path: Path, width: int) -> None:
    runner.invoke(app, ["data", "check", str(folder), "--html", str(tmp_path / "page.html")])
    title = probed_title(PROBE, (tmp_path / "page.html").read_text(encoding="utf-8"), width, tmp_path)
    scroll, pictures, loaded, right = map(float, re.findall(r"[\d.]+", title))
    assert scroll <= width
    assert pictures == loaded == 120
    assert right <= width


def test_a_page_without_pairs_and_of_arrays(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (680, 6, 6), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.repeat([0, 1], 340))
    answer = runner.invoke(
        app, ["data", "check", str(tmp_path / "a.npz"), "--html", str(tmp_path / "p.html")]
    )
    assert answer.exit_code == 0
    assert "Nothing here would spoil a result" in (tmp_path / "p.html").read_text(encoding="utf-8")
    assert not (tmp_path / "p.csv").exists()
    images[13] = np.clip(images[470] * 0.9, 0, 255).astype(np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.repeat([0, 1], 340))
    answer = runner.invoke(
        app, ["data", "check", str(tmp_path / "a.npz"), "--html", str(tmp_path / "p.html")]
    )
    assert answer.exit_code == 1
    assert (tmp_path / "p.html").read_text(encoding="utf-8").count("data:image/png") == 2


def test_a_page_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz",
        images=np.random.default_rng(0).integers(0, 256, (40, 6, 6), dtype=np.uint8),
        labels=np.arange(40) % 2,
    )
    for page, why in (
        (tmp_path / "page.txt", r"ends in \.html"),
        (tmp_path / "a.npz" / "p.html", "cannot be written"),
    ):
        answer = runner.invoke(app, ["data", "check", str(tmp_path / "a.npz"), "--html", str(page)])
        assert answer.exit_code != 0
        assert re.search(why, str(answer.exception))


def test_a_picture_that_is_gone_leaves_its_place(folder: Path, tmp_path: Path) -> None:
    from convtrials.data.check import check_source
    from convtrials.data.options import DatasetOptions
    from convtrials.data.sources.find import find_source
    from convtrials.reports.data_check import write_check_page

    source = find_source(folder, DatasetOptions())
    report = check_source(source)
    shutil.rmtree(folder / "test" / "<y>")
    page = write_check_page(report, source, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "cannot be read" in page
