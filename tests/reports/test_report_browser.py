"""The page in a real browser: it fits a wide and a narrow window, and every picture loads."""

import re

import pytest
from browser import CHROMIUM, probed_title

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium or Chrome on the PATH")

#: Puts the page into a frame of a given width and writes what it measures into its own title.
PROBE = """<!doctype html><title>waiting</title><body><iframe id="frame" style="border:0;width:{width}px;height:2000px"
srcdoc="{page}"></iframe><script>
frame.onload = () => {{
  const inside = frame.contentDocument, pictures = [...inside.images];
  document.title = JSON.stringify([
    inside.documentElement.scrollWidth, pictures.length, pictures.filter(p => p.naturalWidth > 0).length,
    Math.max(...[...inside.querySelectorAll("h1,h2,.tile,.summary,pre")].map(e => e.getBoundingClientRect().right)),
    Math.min(...[...inside.querySelectorAll("p,dd,td,th,li")].map(e => parseFloat(getComputedStyle(e).fontSize))),
  ]);
}};
</script>"""


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_fits_its_window(reported_run, tmp_path, width):
    title = probed_title(PROBE, (reported_run / "report.html").read_text(), width, tmp_path)
    numbers = re.findall(r"[\d.]+", title)
    assert len(numbers) == 5, title
    scroll, pictures, loaded, right, smallest = map(float, numbers)
    assert scroll <= width
    assert pictures == loaded == 8
    assert right <= width
    assert smallest >= 13
