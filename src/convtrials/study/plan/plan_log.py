"""What is on record of a study's plan: its fingerprint, and ``plan-log.jsonl`` with every version of it.

Both are there so that a change is noticed and reported. They are no proof: anyone who can write in the folder can
rewrite all of it, fingerprints included.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convtrials.core.documents import parse_document, parse_object
from convtrials.core.errors import StudyError
from convtrials.core.files import finite, read_bounded_text, write_text
from convtrials.study.schemas import Piece, PlanVersion

#: A plan of a hundred techniques takes a tenth of this.
LARGEST_PLAN = 4_000_000

#: Parts of plan.json that decide nothing about a verdict.
_NOT_JUDGED = ("fingerprint", "title", "weights", "dataset")

#: The file that keeps every version of a plan, next to plan.json.
LOG_NAME = "plan-log.jsonl"


@dataclass(frozen=True)
class PlanLog:
    """The lines of ``plan-log.jsonl``.

    Attributes
    ----------
    lines : tuple of dict
        ``time``, ``fingerprint``, ``finished_runs``, ``changes``, ``plan`` (all of plan.json) and ``chain``, the oldest
        first. Lines of earlier versions of convtrials have neither ``plan`` nor ``chain``.
    doubts : tuple of str
        Why the history may not be what it was: a line that is missing or was changed, or no file at all.
    """

    path: Path
    lines: tuple[dict[str, Any], ...]
    doubts: tuple[str, ...]

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the plan that stands; None where none is logged."""
        return self.lines[-1]["fingerprint"] if self.lines else None

    @property
    def plan(self) -> dict[str, Any] | None:
        """The plan that stands, as plan.json had it; None where the log does not keep it."""
        plan = self.lines[-1].get("plan") if self.lines else None
        return plan if isinstance(plan, dict) else None

    def interrupts(self, document: dict[str, Any]) -> bool:
        """Return whether a plan.json is the one before the last line: the change was logged, and not written there."""
        older = self.lines[-2]["fingerprint"] if len(self.lines) > 1 and self.plan is not None else None
        # A merge may leave the plan as it is: then nothing is left to be written.
        return (
            older not in (None, self.fingerprint)
            and document.get("fingerprint") == fingerprint_of(document) == older
        )

    @property
    def versions(self) -> list[PlanVersion]:
        """What the lines say."""
        return [PlanVersion.model_validate(line) for line in self.lines]

    @property
    def merged(self) -> tuple[Piece, ...]:
        """The studies that were merged into this one; none where it was trained in one piece."""
        return next((one.merged for one in reversed(self.versions) if one.merged), ())

    def add(self, version: PlanVersion) -> None:
        """Write the log with one more line, bound to the line before; atomically."""
        left_out = {"chain"} if version.merged else {"chain", "merged"}
        line = {key: value for key, value in version.to_dict().items() if key not in left_out}
        lines = (*self.lines, {**line, "chain": _chain(_last_link(self.lines), line)})
        write_text(self.path, "".join(json.dumps(one, ensure_ascii=True) + "\n" for one in lines))


def read_plan_document(path: Path) -> dict[str, Any]:
    """Return what a ``plan.json`` holds, as it stands.

    Raises
    ------
    StudyError
        Missing, or no JSON object.
    """
    try:
        if path.stat().st_size > LARGEST_PLAN:
            raise StudyError(f"{path}: larger than {LARGEST_PLAN:,} bytes: not a plan")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StudyError(f"{path}: not a plan: not UTF-8 text") from None
    return parse_object(text, f"{path}: not a plan", StudyError)


def fingerprint_of(document: dict[str, Any]) -> str:
    """Digest all of a plan that could be bent after seeing results: data, metric, margin, techniques, seeds.

    Parameters
    ----------
    document : dict
        What plan.json holds, with or without its own fingerprint. The digest is of what is written, not of what this
        version of convtrials reads in it, so that it stays the same where a later version knows more settings.
    """
    try:
        text = json.dumps(_judged(document), sort_keys=True)
    except RecursionError:
        raise StudyError("a plan that nests too deep to be one") from None
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def read_plan_log(path: Path) -> PlanLog:
    """Read a plan's log, and see whether its lines are those that were written.

    Each line holds a digest of itself and of the line before. So a line that was changed, taken out or put in is
    noticed; lines that are missing at the end are noticed by `check_on_record`, since another plan stands then.

    Raises
    ------
    StudyError
        A line is no JSON object with a fingerprint.
    """
    if not path.is_file():
        return PlanLog(path, (), (f"There is no {path.name}: whether the plan was changed is not known.",))
    texts = [text for text in read_bounded_text(path, StudyError).splitlines() if text.strip()]
    lines = tuple(_line(text, f"{path} line {number}") for number, text in enumerate(texts, 1))
    before, bound, broken = "", False, []
    for number, line in enumerate(lines, 1):
        chain = line.get("chain")
        bound = bound or chain is not None
        if bound and chain != _chain(before, {key: line[key] for key in line if key != "chain"}):
            broken.append(str(number))
        before = _last_link(lines[:number])
    doubts = (
        (f"{path.name} is not as it was written (line {', '.join(broken)}): its changes may not be true.",)
        if broken
        else ()
    )
    return PlanLog(path, lines, doubts)


def check_on_record(path: Path, document: dict[str, Any]) -> PlanLog:
    """Compare a plan with its own fingerprint and with the log next to it; return the log.

    Parameters
    ----------
    path : Path
        Of plan.json.
    document : dict
        What it holds.

    Raises
    ------
    StudyError
        It is not the plan on record.
    """
    log, found = read_plan_log(path.with_name(LOG_NAME)), fingerprint_of(document)
    if log.fingerprint not in (None, found):
        if log.interrupts(document):
            change = differences(document, log.plan or {})
            raise StudyError(
                f"{path}: a change of the plan was interrupted before it was written here ({change})\n"
                f"`convtrials study run {path.parent}` finishes it"
            )
        details = f"fingerprint {found}, logged {log.fingerprint}"
        if log.plan:
            details += f"; {differences(log.plan, document)}"
        raise StudyError(f"{path}: is not the plan that {LOG_NAME} ends with ({details})\n{_advice(path)}")
    if document.get("fingerprint") != found:
        details = f"fingerprint {found}, in the file {document.get('fingerprint')!s:.40}"
        raise StudyError(f"{path}: was changed after it was written ({details})\n{_advice(path)}")
    return log


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Say in which keys two plans differ that decide verdicts, with the values where they are short."""
    old, new = _judged(before), _judged(now)
    changed = []
    for key in [*old, *(key for key in new if key not in old)]:
        if old.get(key) != new.get(key):
            values = f" {json.dumps(old.get(key))} -> {json.dumps(new.get(key))}"
            changed.append(key + (values if len(values) < 60 else ""))
    return ", ".join(changed)


def remarks(log: PlanLog) -> list[str]:
    """Say what a reader of verdicts must know of the plan: changes after runs had ended, and doubts, one per line."""
    late = [one for one in log.versions if one.finished_runs]
    return [
        *(
            f"On record of the plan, after {one.finished_runs} ended runs: {'; '.join(one.changes) or 'no setting'}"
            for one in late
        ),
        *log.doubts,
    ]


def _advice(path: Path) -> str:
    return (
        "put the file back as it was; or change the study file and run "
        f"`convtrials study run STUDYFILE --out {path.parent}`, which records the change"
    )


def _judged(document: dict[str, Any]) -> dict[str, Any]:
    # finite: as JSON files hold it, so that a plan in memory has the fingerprint of its file.
    judged = finite({key: value for key, value in document.items() if key not in _NOT_JUDGED})
    return dict(judged)


def _chain(before: str, line: Any) -> str:
    """Digest a line together with the line before."""
    text = json.dumps([before, line], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _last_link(lines: tuple[dict[str, Any], ...]) -> str:
    """Return what the next line is bound to: the last line's digest, made here for a line of an earlier version."""
    if not lines:
        return ""
    chain = lines[-1].get("chain")
    return chain if isinstance(chain, str) else _chain("", lines[-1])


def _line(text: str, where: str) -> dict[str, Any]:
    line = parse_object(text, where, StudyError)
    try:
        _chain("", line)  # what nests too deep to be written is refused here
    except RecursionError:
        raise StudyError(f"{where}: not valid JSON") from None
    parse_document(text, PlanVersion, where, StudyError)
    return line
