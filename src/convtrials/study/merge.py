"""Studies that were trained in pieces become one study, judged by the plan of the first.

Pieces may be further seeds of the same arms, other techniques against the same baseline, or the same study on two
machines; study directories, or published copies of them.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import StudyError
from convtrials.core.files import move_folder, staged_folder
from convtrials.core.log import get_logger
from convtrials.core.progress import progress_task
from convtrials.study.directory import StudyDirectory
from convtrials.study.plan.arms import MOST_TECHNIQUES, Arm, check_different
from convtrials.study.plan.plan import Plan
from convtrials.study.plan.plan_log import LOG_NAME, remarks
from convtrials.study.publish import how_made, write_copy
from convtrials.study.published_study import (
    HowMade,
    PublishedRun,
    PublishedStudy,
    equal_or_absent,
    is_published,
)  # fmt: skip
from convtrials.study.results.documents import write_documents
from convtrials.study.results.scores import Outcomes
from convtrials.study.schemas import Piece, TotalCost
from convtrials.training.run_directory import Run

_log = get_logger(__name__)

#: What must be the same in all pieces for their runs to be comparable.
EXECUTION = ("device", "precision", "channels_last", "threads", "replicas")

#: Of two copies of a run the one that came further counts.
_BEGUN, _FAILED, _DIVERGED, _FINISHED = range(4)

Source = TypeVar("Source", StudyDirectory, PublishedStudy)


@dataclass(frozen=True, eq=False)
class _Part(Generic[Source]):
    """One of the studies, as far as the others must fit it.

    Attributes
    ----------
    runs : dict
        Arm and seed -> how far that run came; runs that have not begun are left out.
    groups : ndarray of int64, shape (N,), or None
        The sampled group of each test image.
    labels : ndarray or None
        True classes of the test images, where they are at hand.
    """

    source: Source
    plan: Plan
    how: HowMade
    runs: dict[tuple[str, int], int]
    groups: NDArray[np.int64] | None
    labels: NDArray[np.int64] | None

    @classmethod
    def of(cls, source: Source) -> "_Part[Source]":
        """Read a study."""
        plan = source.plan
        reached = {
            (arm.name, arm.seed_offset + position): _reached(source, source.run(arm, position))
            for arm in plan.arms
            for position in range(plan.spec.most)
        }
        runs = {key: value for key, value in reached.items() if value is not None}
        if isinstance(source, PublishedStudy):
            return cls(source, plan, source.how, runs, source.groups, source.labels)
        return cls(source, plan, how_made(source), runs, source.units(), None)

    @property
    def name(self) -> str:
        """Its folder, as errors name it."""
        return str(self.source.folder)

    @property
    def folder_name(self) -> str:
        """The last name of its folder, which says nothing of the machine."""
        return self.source.folder.resolve().name

    def run(self, arm: str, seed: int) -> Run:
        """Return its run of an arm, which may have another place in its own plan."""
        own = self.plan.arm(arm)
        return self.source.run(own, seed - own.seed_offset)


def merge_studies(folders: Sequence[str | Path], out: str | Path) -> Path:
    """Make one study of several that were trained in pieces; return its folder.

    The plan is the first study's, with the techniques that only others have. Its metric, margin, confidence and seeds
    judge all runs. Nothing of the pieces is changed: finished runs are linked where the file system can, else copied.

    Parameters
    ----------
    folders : sequence of path
        Study directories, or published copies; two or more, the one whose plan counts first.
    out : path
        A new or empty folder: a study directory, or a published copy, as the pieces are.

    Raises
    ------
    StudyError
        In one line, what does not fit and where: other data, metric, sampling units, recipe of an arm, execution; a run
        that is there twice with different predictions; seeds with a gap, or outside the first study's plan.
    """
    paths, out = [Path(folder) for folder in folders], Path(out)
    if len(paths) < 2:
        raise StudyError("merging needs two studies or more")
    for path in paths:
        if not path.is_dir():
            raise StudyError(f"{path}: no such folder")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StudyError(f"{out}: is there already and not empty; choose another --out")
    published = [is_published(path) for path in paths]
    if all(published):
        write_copy(merge_published([PublishedStudy.read(path) for path in paths]), out)
    elif any(published):
        copy = paths[published.index(True)]
        raise StudyError(
            f"{copy}: is a published copy, others are not; publish those first, then merge the copies"
        )
    else:
        directories = [StudyDirectory(path) for path in paths]
        for study in directories:
            if study.exists and study.being_run:
                raise StudyError(
                    f"{study.folder}: is being run by another process; stop it first, or wait for its end"
                )
        parts = [_Part.of(study) for study in directories]
        plan = _joined_plan(parts)
        chosen = _chosen(plan, parts)
        try:
            with staged_folder(out) as staged:
                _fill(StudyDirectory(staged), parts, plan, chosen)
                move_folder(staged, out)
        except OSError as error:
            raise StudyError(f"{out}: cannot be written: {error.strerror or error}") from None
    return out


def merge_published(studies: Sequence[PublishedStudy]) -> PublishedStudy:
    """Make one published copy of several in memory, the one whose plan counts first; errors as `merge_studies`."""
    parts = [_Part.of(study) for study in studies]
    first, plan = studies[0], _joined_plan(parts)
    chosen, home = _chosen(plan, parts), StudyDirectory(first.folder)
    runs = []
    for (name, seed), part in chosen.items():
        arm, run = plan.arm(name), part.run(name, seed)
        assert isinstance(run, PublishedRun)
        runs.append(replace(run, folder=home.run(arm, seed - arm.seed_offset).folder))
    how = first.how.model_copy(
        update={
            "plan": plan.fingerprint,
            "plan_remarks": (
                *first.how.plan_remarks,
                *(f"{part.folder_name}: {one}" for part in parts[1:] for one in part.how.plan_remarks),
                f"On record of the plan: {'; '.join(_changes(parts, plan))}",
            ),
            "made_from": {name: one for part in reversed(parts) for name, one in part.how.made_from.items()},
            "merged": _pieces(parts),
            "pictures": (),
        }
    )
    draft = replace(first, how=how, plan=plan, runs=tuple(runs))
    costs = draft.judged.costs.model_copy(update={"total": _total(parts, chosen)})
    return replace(draft, verdicts=draft.judged.verdicts, costs=costs)


def _reached(study: Source, run: Run) -> int | None:
    """Say how far a run came; None where there is nothing of it."""
    if run.finished:
        return _DIVERGED if run.result.diverged else _FINISHED
    if study.failures(run).given_up:
        return _FAILED
    return _BEGUN if run.exists else None


def _joined_plan(parts: Sequence[_Part[Source]]) -> Plan:
    """Return the first study's plan, with the techniques of the others; refuse what does not fit."""
    first = parts[0]
    arms = {arm.name: (arm, first) for arm in first.plan.arms}
    made = dict.fromkeys(first.how.made_from, first)  # the first part in which runs of an arm have ended
    for part in parts[1:]:
        _check_alike(first, part)
        if first.how.machine.kind != part.how.machine.kind:
            _log.info(
                f"note: {first.name} was computed on {first.how.machine.kind}, {part.name} on {part.how.machine.kind}: "
                "runs differ in their last bits, and costs are compared within the same seeds only"
            )
        for arm in part.plan.arms:
            known, owner = arms.setdefault(arm.name, (arm, part))
            if known.recipe != arm.recipe:
                raise StudyError(f"{part.name}: its recipe of {arm.name} is not that of {owner.name}")
            if arm.name in part.how.made_from:
                _check_made_from(arm, made.setdefault(arm.name, part), part)
            if owner is part and part.plan.arms[0].seed_offset != first.plan.arms[0].seed_offset:
                raise StudyError(
                    f"{part.name}: technique {arm.name} is in no study before it, and its seeds do not begin "
                    f"where those of {first.name} do ({part.plan.arms[0].seed_offset}, not "
                    f"{first.plan.arms[0].seed_offset})"
                )
    if len(arms) > MOST_TECHNIQUES + 1:
        raise StudyError(
            f"together {len(arms) - 1} techniques; at most {MOST_TECHNIQUES} can be judged in one study"
        )
    if len(arms) == len(first.plan.arms):
        return first.plan
    joined = tuple(arm for arm, _ in arms.values())
    check_different(joined, list(arms), first.plan.spec.most)
    spec = first.plan.spec.model_copy(update={"arms": joined})
    return Plan(spec, first.plan.dataset_fingerprint)


def _check_alike(first: _Part[Source], part: _Part[Source]) -> None:
    """Refuse a study that was made from, computed or judged otherwise than the first."""
    ours, theirs = first.plan, part.plan
    pairs = {
        "is on other data": (ours.dataset_fingerprint[:12], theirs.dataset_fingerprint[:12]),
        "has another metric": (ours.spec.metric, theirs.spec.metric),
        **{
            f"was computed with another {key}": (
                getattr(first.how.execution, key),
                getattr(part.how.execution, key),
            )
            for key in EXECUTION
        },
    }
    for what, (here, there) in pairs.items():
        if here != there:
            raise StudyError(f"{part.name}: {what} than {first.name} ({there}, not {here})")
    for what, one, other in (
        ("test images are sampled in other units", first.groups, part.groups),
        ("test images have other labels", first.labels, part.labels),
    ):
        if not equal_or_absent(one, other):
            raise StudyError(f"{part.name}: its {what} than those of {first.name}")


def _check_made_from(arm: Arm, owner: _Part[Source], part: _Part[Source]) -> None:
    here, there = owner.how.made_from[arm.name], part.how.made_from[arm.name]
    different = [key for key in {**here, **there} if here.get(key) != there.get(key)]
    if different:
        raise StudyError(
            f"{part.name}: runs of {arm.name} were made from another {different[0]} than in {owner.name}"
        )


def _chosen(plan: Plan, parts: Sequence[_Part[Source]]) -> dict[tuple[str, int], _Part[Source]]:
    """Say from which study each run is taken, in the order of the plan."""
    chosen: dict[tuple[str, int], _Part[Source]] = {}
    for arm in plan.arms:
        found: dict[int, _Part[Source]] = {}
        for part in parts:
            for seed in sorted(seed for name, seed in part.runs if name == arm.name):
                _check_seed(plan, parts[0], part, arm, seed)
                known, key = found.get(seed), (arm.name, seed)
                if known is None or part.runs[key] > known.runs[key]:
                    found[seed] = part
                if (
                    known is not None
                    and min(known.runs[key], part.runs[key]) >= _DIVERGED
                    and not _same(known.run(*key), part.run(*key))
                ):
                    raise StudyError(
                        f"{part.name}: {arm.name}, seed {seed} is in {known.name} too, with other predictions"
                    )
        _check_gaps(arm, sorted(found), [seed for seed in found if found[seed].runs[arm.name, seed] > _BEGUN])
        chosen |= {(arm.name, seed): found[seed] for seed in sorted(found)}
    return chosen


def _check_seed(plan: Plan, first: _Part[Source], part: _Part[Source], arm: Arm, seed: int) -> None:
    begin, end = arm.seed_offset, arm.seed_offset + plan.spec.most - 1
    if not begin <= seed <= end:
        raise StudyError(
            f"{part.name}: seed {seed} of {arm.name} is not in the plan of {first.name}, which has seeds "
            f"{begin} to {end}; the study whose plan has all seeds must be named first"
        )


def _check_gaps(arm: Arm, seeds: Sequence[int], ended: Sequence[int]) -> None:
    """Refuse an arm in which a seed is in no piece while later ones have ended: a look takes the first seeds."""
    missing = sorted({*range(arm.seed_offset, max(ended, default=arm.seed_offset) + 1)} - {*seeds})
    if ended and missing:
        there = ", ".join(map(str, seeds))
        raise StudyError(f"{arm.name}: seed {missing[0]} is in none of the studies; there are seeds {there}")


def _same(one: Run, other: Run) -> bool:
    """Return whether two copies of a run that has ended give the same predictions."""
    if isinstance(one, PublishedRun) and isinstance(other, PublishedRun):
        return one.same_as(other)
    if one.result.status != other.result.status or one.result.diverged:
        return one.result.status == other.result.status
    ours, theirs = one.read_predictions(), other.read_predictions()
    return all(
        np.array_equal(getattr(ours, name), getattr(theirs, name))
        for name in ("probabilities", "labels", "indices")
    )


def _pieces(parts: Sequence[_Part[Source]]) -> tuple[Piece, ...]:
    """Name the pieces; those of a study that was merged itself are named in its place."""
    return tuple(
        piece
        for part in parts
        for piece in part.source.merged
        or (
            Piece(
                name=part.folder_name,
                plan=part.plan.fingerprint,
                runs=sum(reached >= _DIVERGED for reached in part.runs.values()),
                processor=part.how.machine.processor,
            ),
        )
    )


def _changes(parts: Sequence[_Part[Source]], plan: Plan) -> list[str]:
    """Say what a plan's log must say of a merge, a line each: also by which rules pieces were planned otherwise."""
    pieces = ", ".join(f"{piece.name} ({piece.runs} runs)" for piece in _pieces(parts))
    old: set[str] = {arm.name for arm in parts[0].plan.arms}
    return [
        f"merged from {pieces}",
        *(f"technique {arm.name}: added" for arm in plan.arms if arm.name not in old),
        *(
            f"{part.folder_name}: was planned with {key} {getattr(part.plan.spec, key):g}"
            for part in parts[1:]
            for key in ("margin", "alpha")
            if getattr(part.plan.spec, key) != getattr(plan.spec, key)
        ),
    ]


def _total(
    parts: Sequence[_Part[PublishedStudy]], chosen: dict[tuple[str, int], _Part[PublishedStudy]]
) -> TotalCost:
    """Sum what the pieces cost; a run that two of them hold counts once."""
    twice = [
        one.result
        for part in parts
        for one in part.source.runs
        if one.finished and chosen[one.arm, one.seed] is not part
    ]
    less = TotalCost(
        runs=len(twice),
        seconds=sum(one.train_seconds for one in twice),
        cpu_seconds=sum(one.cpu_seconds for one in twice),
        wall_seconds=0,
    )
    spent = {key: [getattr(part.source.costs.total, key) for part in parts] for key in TotalCost.model_fields}
    return TotalCost(
        **{key: None if None in values else sum(values) - getattr(less, key) for key, values in spent.items()}
    )


def _fill(
    study: StudyDirectory,
    parts: Sequence[_Part[StudyDirectory]],
    plan: Plan,
    chosen: dict[tuple[str, int], _Part[StudyDirectory]],
) -> None:
    """Write the merged study into a new folder."""
    first = parts[0].source
    for name in ("dataset.json", "execution.json", "environment.json", "test-units.npy", LOG_NAME):
        _copy_file(first.folder / name, study.folder / name)
    if plan is parts[0].plan:
        _copy_file(first.folder / "study.yaml", study.folder / "study.yaml")
    for part in parts:
        for path in sorted(part.source.folder.glob("sessions/*.json")):
            _copy_file(path, study.folder / "sessions" / path.name)
    with progress_task("merge", len(chosen), log_steps=False) as task:
        for (name, seed), part in chosen.items():
            task.show(f"{name}, seed {seed}")
            arm, run = plan.arm(name), part.run(name, seed)
            place = study.run(arm, seed - arm.seed_offset)
            if run.folder.is_dir():
                _copy_run(run, place.folder)
            _copy_file(part.source.failure_path(run), study.failure_path(place))
            task.advance()
    for part in parts:  # runs of earlier plans: part of what the study cost
        planned = {part.run(name, seed).folder for name, seed in part.runs}
        for run in part.source.ended_runs():
            target = study.folder / run.folder.relative_to(part.source.folder)
            if run.folder not in planned and not target.exists():
                _copy_run(run, target)
    changes = _changes(parts, plan)
    for part in parts:
        log = part.source.plan_log
        # The first study's log goes on here, with what it says of changes.
        known = part is parts[0]
        missing = remarks(log) if not known else () if log.lines else log.doubts
        changes += [f"{part.folder_name}: {one}" for one in missing]
    study.write_plan(plan, changes, merged=_pieces(parts))
    plan = study.plan
    write_documents(study, plan, Outcomes(study, plan, study.units()))


def _copy_file(source: Path, target: Path) -> None:
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _copy_run(run: Run, target: Path) -> None:
    """Link the files of a finished run, which no process writes any more, or copy them; locks stay where they are."""
    whole = run.finished
    for path in sorted(run.folder.rglob("*")):
        if not path.is_file() or path.name.startswith("."):
            continue
        place = target / path.relative_to(run.folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not whole:
                raise OSError
            os.link(path, place)
        except OSError:  # another file system, or one without links
            shutil.copy2(path, place)
