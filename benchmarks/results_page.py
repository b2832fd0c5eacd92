"""Write the tables of docs/results.md from the files in docs/results/, between their marks, and draw what they show.

    python benchmarks/results_page.py            # write
    python benchmarks/results_page.py --check    # say whether the page is what the files say

A block begins with `<!-- begin KIND FOLDER -->` and ends with `<!-- end KIND FOLDER -->`; `compute`, which
counts everything, has `all` for a folder. `FOLDER+MORE` is a study judged together with further seeds of it.
"""

import argparse
import functools
import re
from collections.abc import Callable
from pathlib import Path

import results_ceiling
from results_compute import compute, runs_saved
from results_files import Published, read_published, read_rates
from results_joined import joined
from results_pictures import pictures
from results_rejudged import rejudged
from results_words import percent, span, table

from convtrials.core.errors import ConvtrialsError
from convtrials.core.files import read_bounded_text, write_text
from convtrials.core.formatting import NOTHING
from convtrials.study.results.verdict_row import VerdictRow, ranked, verdict_rows

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
MARK = re.compile(r"(<!-- begin (\S+) (\S+) -->\n).*?(<!-- end \2 \3 -->)", flags=re.DOTALL)


def verdict_word(row: VerdictRow) -> str:
    """Say a verdict, and whether the study might still change it."""
    word = f"**{row.word}**" if row.word in ("better", "worse", "equivalent") else row.word
    return word if row.final else f"{word}, so far"


def verdicts(study: Published) -> str:
    """The verdict table, the largest difference first."""
    rows = [
        [
            row.name,
            row.gain,
            row.interval,
            verdict_word(row),
            percent(row.mean),
            str(row.seeds),
            plain_cost(row),
        ]
        for row in ranked(verdict_rows(study.verdicts, study.costs))
    ]
    base = study.verdicts.baseline
    rows.append(["*baseline*", "", "", "", percent(base.mean), str(len(base.seeds)), "1.00"])
    header = ["technique", "difference, points", "95% together", "verdict", "test accuracy", "seeds", "cost"]
    return table(header, rows)


def plain_cost(row: VerdictRow) -> str:
    """Write a cost as a multiple of the baseline's."""
    return NOTHING if row.cost is None else f"{row.cost:.2f}"


def spent(study: Published) -> str:
    """What the study cost, and what stopping saved."""
    total, machine, how = study.costs.total, study.how["machine"], study.how["execution"]
    saved_runs, planned = runs_saved(study)
    state = "finished" if study.verdicts.complete else "not finished"
    saved = (
        "the number of seeds was fixed"
        if len(study.how["looks"]) == 1
        else f"{saved_runs} of {planned} possible runs ({saved_runs / planned:.0%}) were not needed"
        if study.verdicts.complete
        else f"{planned - saved_runs} of at most {planned} runs were used for the verdicts so far"
    )
    tried = len(study.how["arms"]) - 1
    counts = study.how["dataset"]["counts"]
    units = machine["vector_units"]
    amx = "" if units is None else " with AMX" if "amx_bf16" in units else " without AMX"
    return (
        f"{tried} technique{'' if tried == 1 else 's'}, {total.runs} runs, "
        f"{total.cpu_seconds / 3600:.1f} CPU hours of training "
        f"({total.wall_seconds / 3600:.1f} hours of wall time, {how['workers']} runs at a time); {state}; "
        f"{saved}. {counts['train']:,} training, {counts['val']:,} validation, {counts['test']:,} test images. "
        f"{machine['processor']}{amx}, {how['precision']}, {how['threads']} thread per run."
    )


def levels(study: Published) -> str:
    """Each arm's accuracy with its own interval, and the vote of the runs of one arm."""
    rows = []
    for one in sorted(study.verdicts.arms, key=lambda one: -(one.mean or 0)):
        answers = study.answers_of(one.name)
        if len(answers) == 0:
            continue
        low, high = one.mean_interval or (None, None)
        vote = results_ceiling.vote_accuracy(answers, study.labels, len(study.class_names))
        name = one.name if one.name != "baseline" else "*baseline*"
        rows.append([name, percent(one.mean), span(low, high), str(len(answers)), percent(vote)])
    return table(["recipe", "one network", "95%", "seeds", "vote of its seeds"], rows)


def rates(name: str, folder: Path) -> str:
    """The grid of choices on validation data."""
    rows = []
    for technique, answer in read_rates(folder / name)["answers"].items():
        tried = ", ".join(
            f"{one['rate']:g}: "
            + ("diverged" if one["val_accuracy"] is None else percent(one["val_accuracy"]))
            for one in answer["tried"]
        )
        rows.append([technique, tried, f"{answer['chosen']:g}" if answer["chosen"] else "none"])
    return table(["change", "rate: validation accuracy", "chosen"], rows)


def stopping(study: Published) -> str:
    """How long runs with early stopping ran."""
    rows = []
    for name, arm in study.how["arms"].items():
        if arm["recipe"].get("early_stopping"):
            epochs = [
                run["epochs"] for run in study.runs if run["arm"] == name and run["used_in_verdict"] == "true"
            ]
            rows.append([name, f"{arm['recipe']['epochs']:g}", ", ".join(epochs)])
    return table(["technique", "epochs allowed", "epochs run, by seed"], rows)


KINDS: dict[str, Callable[[Published], str]] = {
    "verdicts": verdicts,
    "spent": spent,
    "levels": levels,
    "stopping": stopping,
    "rejudged": rejudged,
    "ceiling": results_ceiling.ceiling,
    "groups": results_ceiling.groups,
    "pairs": results_ceiling.pairs,
}


def block(kind: str, name: str, folder: Path) -> str:
    """Return the text of a block."""
    if kind == "compute":
        return compute(folder)
    if kind == "rates":
        return rates(name, folder)
    if kind not in KINDS:
        raise ConvtrialsError(
            f"block {kind!r}: unknown; there are: {', '.join([*KINDS, 'rates', 'compute'])}"
        )
    return KINDS[kind](study_of(name, folder))


def study_of(name: str, folder: Path) -> Published:
    """Read a study, or several parts of one."""
    return functools.reduce(joined, [read_published(folder / part) for part in name.split("+")])


def rewritten(text: str, folder: Path) -> str:
    """Return a page with every block written again."""
    marks = len(re.findall("<!-- (?:begin|end) ", text))
    if marks != 2 * len(MARK.findall(text)):
        raise ConvtrialsError("a block has no end, or an end of another name: its table would not be renewed")
    return MARK.sub(
        lambda found: f"{found[1]}{block(found[2], found[3], folder)}\n{found[4]}",
        text,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--results", type=Path, default=PAGE.with_suffix(""))
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    text = read_bounded_text(options.page, ConvtrialsError)
    new = rewritten(text, options.results)
    if options.check:
        raise SystemExit(0 if new == text else f"{options.page} is not what {options.results} says")
    write_text(options.page, new)
    for found in MARK.finditer(new):
        if found[2] == "ceiling":
            folder = options.results / found[3]
            results_ceiling.picture(read_published(folder)).save(folder)
        if found[2] == "verdicts":
            part = found[3].split("+")[-1]
            for picture in pictures(study_of(found[3], options.results)):
                if f"{options.results.name}/{part}/{picture.name}.png" in new:
                    picture.save(options.results / part)


if __name__ == "__main__":
    main()
