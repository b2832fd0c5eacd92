"""Write the tables of docs/results.md from the files in docs/results/, between their marks, and draw what they show.

    python -m benchmarks.results            # write
    python -m benchmarks.results --check    # say whether the page is what the files say

A block begins with `<!-- begin KIND FOLDER -->` and ends with `<!-- end KIND FOLDER -->`; `compute`, which
counts everything, has `all` for a folder. `FOLDER+MORE` is a study judged together with further seeds of it.
"""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.results import ceiling
from benchmarks.results.compute import compute, read_rates, runs_saved, seeds_of
from benchmarks.results.pictures import pictures
from benchmarks.results.words import percent, span, table
from convtrials.core.errors import ConvtrialsError
from convtrials.core.files import read_bounded_text, write_text
from convtrials.core.formatting import NOTHING
from convtrials.study.merge import merge_published
from convtrials.study.published_study import PublishedStudy
from convtrials.study.results.verdict_row import VerdictRow, ranked, verdict_rows

PAGE = Path(__file__).parents[2] / "docs" / "results.md"
MARK = re.compile(r"(<!-- begin (\S+) (\S+) -->\n).*?(<!-- end \2 \3 -->)", flags=re.DOTALL)


def verdict_word(row: VerdictRow) -> str:
    """Say a verdict, and whether the study might still change it."""
    word = f"**{row.word}**" if row.word in ("better", "worse", "equivalent") else row.word
    return word if row.final else f"{word}, so far"


def verdicts(study: PublishedStudy) -> str:
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


def spent(study: PublishedStudy) -> str:
    """What the study cost, and what stopping saved."""
    total, machine, how = study.costs.total, study.how.machine, study.execution
    saved_runs, planned = runs_saved(study)
    state = "finished" if study.verdicts.complete else "not finished"
    saved = (
        "the number of seeds was fixed"
        if len(study.plan.looks) == 1
        else f"{saved_runs} of {planned} possible runs ({saved_runs / planned:.0%}) were not needed"
        if study.verdicts.complete
        else f"{planned - saved_runs} of at most {planned} runs were used for the verdicts so far"
    )
    tried = len(study.plan.arms) - 1
    counts = study.dataset.counts
    units = machine.vector_units
    amx = "" if units is None else " with AMX" if "amx_bf16" in units else " without AMX"
    return (
        f"{tried} technique{'' if tried == 1 else 's'}, {total.runs} runs, "
        f"{(total.cpu_seconds or 0) / 3600:.1f} CPU hours of training "
        f"({(total.wall_seconds or 0) / 3600:.1f} hours of wall time, {how.workers} runs at a time); {state}; "
        f"{saved}. {counts['train']:,} training, {counts['val']:,} validation, {counts['test']:,} test images. "
        f"{machine.processor}{amx}, {how.precision}, {how.threads} thread per run."
    )


def levels(study: PublishedStudy) -> str:
    """Each arm's accuracy with its own interval, and the vote of the runs of one arm."""
    rows = []
    for one in sorted(study.verdicts.arms, key=lambda one: -(one.mean or 0)):
        answers = study.answers_of(one.name)
        if len(answers) == 0:
            continue
        low, high = one.mean_interval or (None, None)
        vote = ceiling.vote_accuracy(answers, study.labels, len(study.class_names))
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


def stopping(study: PublishedStudy) -> str:
    """How long runs with early stopping ran."""
    rows = []
    for arm in study.plan.arms:
        if arm.recipe.early_stopping is not None:
            used = study.finished(arm.name)[: seeds_of(study, arm.name)]
            rows.append(
                [arm.name, f"{arm.recipe.epochs:g}", ", ".join(str(run.result.epochs) for run in used)]
            )
    return table(["technique", "epochs allowed", "epochs run, by seed"], rows)


def rejudged(study: PublishedStudy) -> str:
    """Name the techniques whose verdict today's statistics would change, with their intervals."""
    changed = [
        f"{row.name} {row.word} ({row.gain}, {row.interval})"
        for row in verdict_rows(study.judged.verdicts, study.costs)
        if row.name in study.changed_verdicts()
    ]
    return (
        f"By today's levels: {'; '.join(changed)}; all others as above."
        if changed
        else "By today's levels: the same verdicts."
    )


KINDS: dict[str, Callable[[PublishedStudy], str]] = {
    "verdicts": verdicts,
    "spent": spent,
    "levels": levels,
    "stopping": stopping,
    "rejudged": rejudged,
    "ceiling": ceiling.ceiling,
    "groups": ceiling.groups,
    "pairs": ceiling.pairs,
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


def study_of(name: str, folder: Path) -> PublishedStudy:
    """Read a study, or several pieces of one."""
    pieces = [PublishedStudy.read(folder / piece) for piece in name.split("+")]
    return pieces[0] if len(pieces) == 1 else merge_published(pieces)


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
            ceiling.picture(PublishedStudy.read(folder)).save(folder)
        if found[2] == "verdicts":
            part = found[3].split("+")[-1]
            for picture in pictures(study_of(found[3], options.results)):
                if f"{options.results.name}/{part}/{picture.name}.png" in new:
                    picture.save(options.results / part)


if __name__ == "__main__":
    main()
