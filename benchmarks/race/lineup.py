"""Who takes part: ours, and the peers that somebody asked for."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.race.contestant import Contestant
from benchmarks.race.environments import PEERS, make_environment, requirement_file
from benchmarks.race.errors import BenchError
from convtrials.core.log import get_logger
from convtrials.core.process import available_cores

_log = get_logger("convtrials.race")

#: What `--peers` takes, and the environment of each.
PEER_ENVIRONMENTS = {"keras": "keras", "lightning": "torch", "plain": "torch", "notebook": "torch"}

#: Images a step of the notebook style, whatever the others have: it is what notebooks have.
NOTEBOOK_BATCH = 128

#: Runs at a time, one thread each, in the second half of the comparison.
TOGETHER = 2


@dataclass(frozen=True)
class Entry:
    """A peer's script and how it is called."""

    name: str
    label: str
    peer: str
    script: str
    options: tuple[str, ...] = ()
    together: bool = False


_ENTRIES = (
    Entry("keras", "Keras `fit`, defaults", "keras", "keras_fit.py"),
    Entry("keras-tuned", "Keras `fit`, tuned", "keras", "keras_fit.py", ("--tuned",)),
    Entry("lightning", "Lightning `Trainer`, defaults", "lightning", "lightning_fit.py"),
    Entry("lightning-tuned", "Lightning `Trainer`, tuned", "lightning", "lightning_fit.py", ("--tuned",)),
    Entry("plain", "PyTorch, a tutorial's loop", "plain", "plain_loop.py"),
    Entry(
        "notebook",
        "notebook style: PNG files, torchvision's AlexNet at 64x64",
        "notebook",
        "notebook_style.py",
    ),
    Entry(
        "lightning-together",
        f"Lightning `Trainer`, tuned, {TOGETHER} processes",
        "lightning",
        "lightning_fit.py",
        ("--tuned",),
        together=True,
    ),
)


def check_peers(text: str | None) -> tuple[str, ...]:
    """Read a list of peers as typed, such as ``keras,lightning`` or ``all``.

    Raises
    ------
    BenchError
        There is no such peer.
    """
    if not text:
        return ()
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    if "all" in names:
        return tuple(PEER_ENVIRONMENTS)
    for name in names:
        if name not in PEER_ENVIRONMENTS:
            raise BenchError(f"--peers {name}: choose of {', '.join(PEER_ENVIRONMENTS)}, or all")
    return tuple(dict.fromkeys(names))


def count_contestants(peers: Sequence[str]) -> int:
    """Return how many take part: ours are three."""
    return 3 + sum(entry.peer in peers for entry in _ENTRIES)


def our_contestants(
    folder: Path, batch_size: int, *, precision: str | None = None, threads: int | None = None
) -> list[Contestant]:
    """Return our engine: as it arranges itself, in fp32, and as a study runs it, one thread a process.

    Parameters
    ----------
    folder : Path
        With the benchmark's data.
    precision, threads
        Given by a person: then kept for a run alone, and not probed.
    """

    def command(settings: dict[str, str | None]) -> tuple[str, ...]:
        asked = json.dumps({key: value for key, value in settings.items() if value})
        size = ("--batch-size", str(batch_size))
        return (sys.executable, "-m", "benchmarks.race.ours", str(folder), *size, "--settings", asked)

    alone = () if threads is None else ("--threads", str(threads))
    return [
        Contestant(
            "ours",
            "convtrials",
            "alone",
            (*command({"precision": precision}), *alone),
            threads=threads,
            reference=True,
            own=True,
        ),
        Contestant(
            "ours-fp32",
            "convtrials, fp32",
            "alone",
            (*command({"precision": "fp32"}), *alone),
            threads=threads,
            own=True,
        ),
        Contestant(
            "ours-together",
            f"convtrials, as a study: {TOGETHER} processes",
            "together",
            (*command({"precision": precision}), "--threads", "1"),
            processes=TOGETHER,
            threads=1,
            reference=True,
            own=True,
        ),
    ]


def peer_contestants(
    peers: Sequence[str],
    folder: Path,
    batch_size: int,
    environments: Path,
    *,
    show: Callable[[str], None] = lambda text: None,
) -> list[Contestant]:
    """Return the peers' contestants, each with the Python of its environment, which is made where it is missing.

    Parameters
    ----------
    peers : sequence of str
        From `check_peers`.
    folder : Path
        With the benchmark's data.
    environments : Path
        Folder of the environments.
    show : callable
        As for `make_environment`.

    Returns
    -------
    list of Contestant
        One that cannot be had says why in ``missing``.
    """
    pythons: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for environment in dict.fromkeys(PEER_ENVIRONMENTS[peer] for peer in peers):
        try:
            pythons[environment] = make_environment(
                environments, environment, requirement_file(environment), show=show
            )
        except BenchError as error:
            _log.info(f"error: {error}")
            missing[environment] = str(error).splitlines()[0]
    return [
        _contestant(entry, folder, batch_size, pythons, missing) for entry in _ENTRIES if entry.peer in peers
    ]


def _contestant(
    entry: Entry, folder: Path, batch_size: int, pythons: dict[str, Path], missing: dict[str, str]
) -> Contestant:
    environment = PEER_ENVIRONMENTS[entry.peer]
    notebook = entry.peer == "notebook"
    tuned = "--tuned" in entry.options
    # Defaults are the library's own, threads included; tuned ones are told how many there are.
    threads = 1 if entry.together else available_cores() if tuned else None
    command = (
        *(str(pythons.get(environment, "python")), str(PEERS / entry.script), str(folder)),
        *("--batch-size", str(NOTEBOOK_BATCH if notebook else batch_size)),
        *(() if threads is None else ("--threads", str(threads))),
        *entry.options,
    )
    return Contestant(
        entry.name,
        entry.label,
        "together" if entry.together else "alone",
        command,
        processes=TOGETHER if entry.together else 1,
        threads=threads,
        same_network=not notebook,
        missing=missing.get(environment, ""),
    )
