"""How verdicts look: a word, a sign, a shape and a colour each, so that no two rest on colour alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from convtrials.reports.study.record import StudyArm
from convtrials.reports.style import VERDICT_COLOURS, short_name


@dataclass(frozen=True)
class VerdictStyle:
    """How one verdict is shown.

    Attributes
    ----------
    key, word, heading : str
        Its name in files, on badges, and over a list.
    meaning : str
        A sentence.
    sign, marker : str
        On the page, and as a matplotlib marker.
    """

    key: str
    word: str
    heading: str
    meaning: str
    sign: str
    marker: str

    @property
    def colour(self) -> str:
        """Of its marks."""
        return VERDICT_COLOURS[self.key].mark


_WAITING = VerdictStyle(
    "waiting", "no result yet", "No result yet",
    "too few runs have ended.", "…", "o",
)  # fmt: skip

#: In the order in which a reader wants them.
STYLES = (
    VerdictStyle("better", "better", "Better",
                "the whole interval lies above zero.", "▲", "^"),
    VerdictStyle("worse", "worse", "Worse",
                "the whole interval lies below zero.", "▼", "v"),
    VerdictStyle("equivalent", "equivalent", "No practical difference",
                "the interval holds zero and lies within the margin.", "=", "s"),
    VerdictStyle("inconclusive", "inconclusive", "No clear answer",
                "the interval holds zero and is too wide for more.", "?", "o"),
    VerdictStyle("unstable", "unstable", "Unstable",
                "runs diverged; no other verdict is given.", "!", "D"),
    VerdictStyle("failed", "failed", "Failed",
                "runs could not be finished, so that there is no verdict.", "×", "X"),
    _WAITING,
)  # fmt: skip

_BY_KEY = {look.key: look for look in STYLES}


def style_of(arm: StudyArm) -> VerdictStyle:
    """Return the look of a technique's verdict; of an open one without a number, that of "no result yet"."""
    technique = arm.technique
    return _WAITING if technique is None or technique.waiting else _BY_KEY[technique.verdict]


def preliminary(arm: StudyArm) -> bool:
    """Return whether more runs may still change this technique's verdict."""
    return arm.technique is None or not arm.technique.final


def draw_mark(axes: Any, arm: StudyArm, x: float, y: float, **style: Any) -> None:
    """Draw a technique's point in the look of its verdict: open where there is no clear answer, or none yet."""
    look = style_of(arm)
    face = "white" if preliminary(arm) or look.key == "inconclusive" else look.colour
    axes.plot(x, y, look.marker, markerfacecolor=face, markeredgecolor=look.colour, markeredgewidth=1.6,
              markersize=8.5, zorder=4, **style)  # fmt: skip


def labels_of(arms: Sequence[StudyArm], limit: int = 30) -> dict[str, str]:
    """Return the names of arms as pictures write them, by name.

    A name in letters that the pictures' font lacks becomes ``technique 3``, its number in the table of verdicts. Names
    that would be cut to the same label get their number as well.
    """
    short = {arm.name: _label(arm, limit) for arm in arms}
    labels = list(short.values())
    return {
        arm.name: f"{arm.number}: {_label(arm, limit - 4)}"
        if labels.count(short[arm.name]) > 1
        else short[arm.name]
        for arm in arms
    }


def unwritable(arms: Sequence[StudyArm]) -> list[StudyArm]:
    """Return the arms whose names the pictures' font cannot write."""
    return [arm for arm in arms if not _written(arm.name)]


def _label(arm: StudyArm, limit: int) -> str:
    return short_name(arm.name, limit) if _written(arm.name) else f"technique {arm.number}"


def _written(name: str) -> bool:
    letters = _letters()
    return all(ord(letter) in letters for letter in name if letter.isprintable())


@cache
def _letters() -> Any:
    from matplotlib.font_manager import findfont, get_font

    return get_font(findfont("DejaVu Sans")).get_charmap().keys()
