"""The study's page in a real browser: it fits a wide and a narrow window, every picture loads, nothing is fetched."""

import json

import pytest
from browser import CHROMIUM, probed_title
from fabricated_study import write_study

from convtrials.reports.study.report import PICTURES, build_study_report
from convtrials.reports.style import DPI

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium or Chrome on the PATH")

#: Puts the page into a frame of a given width and writes what it measures into its own title.
PROBE = """<!doctype html><title>waiting</title><body><iframe id="frame" style="border:0;width:{width}px;height:2000px"
srcdoc="{page}"></iframe><script>
frame.onload = () => {{
  const inside = frame.contentDocument, all = selector => [...inside.querySelectorAll(selector)];
  const right = selector => Math.max(...all(selector).map(e => e.getBoundingClientRect().right));
  document.title = JSON.stringify({{
    scroll: inside.documentElement.scrollWidth, pictures: inside.images.length,
    loaded: [...inside.images].filter(picture => picture.naturalWidth > 0).length,
    right: right("h1, h2, section, .lead p, .group, .group li, .notice, pre, .scroll, .settings dd, .remarks"),
    font: Math.min(...all("p, dd, td, th, li, small, code").map(e => parseFloat(getComputedStyle(e).fontSize))),
    table: all(".scroll")[0].scrollWidth - all(".scroll")[0].clientWidth,
    fetched: frame.contentWindow.performance.getEntriesByType("resource")
      .filter(entry => !entry.name.startsWith("data:")).length,
  }});
}};
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with everything that may be wide: names, paths, classes, values, notices."""
    long = "averyveryverylongnamewithoutanyplacetobreakit" * 2
    techniques = {
        "cosine schedule": ({"schedule": "cosine"}, 0.4),
        long: ({"label_smoothing": 0.1}, 0.0),
        "学習率スケジュール": ({"dropout": 0.1}, 0.1),
        "diverges": ({"dropout": 0.2}, -0.2),
        "waits": ({"dropout": 0.3}, 0.0),
    }
    log = [
        {"time": "2026-03-01T09:30:00+00:00", "fingerprint": "aa" * 16, "finished_runs": 0, "changes": []},
        {
            "time": "2026-03-02T10:00:00+00:00",
            "finished_runs": 7,
            "changes": [long],
        },
    ]
    lost = {("diverges", 1): "diverged", ("waits", 0): "missing", ("waits", 1): "missing"}
    folder = write_study(
        tmp_path_factory.mktemp(long) / "study", techniques, seeds=2, classes=3, images=120, complete=False,
        names=[long, "b", "c"], lost=lost, plan_log=log, environment={"platform": long},
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convtrials.reports.picture.DPI", DPI)
        return build_study_report(folder).read_text(encoding="utf-8")


def measured(page, width, folder):
    return json.loads(probed_title(PROBE, page, width, folder))


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_its_window(page, tmp_path, width):
    found = measured(page, width, tmp_path)
    assert found["scroll"] <= width
    assert found["right"] <= width
    assert found["pictures"] == found["loaded"] == len(PICTURES)
    assert found["font"] >= 13
    assert found["fetched"] == 0
    if width == 1280:
        assert found["table"] <= 0  # on a wide window the table of verdicts needs no swiping
