"""Which loggers a run is sent to, and under which names it appears there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from convtrials.core.errors import RunError
from convtrials.core.extras import how_to_install
from convtrials.core.log import get_logger

_log = get_logger(__name__)

#: Those that need a package of their own, which has the same name, as has the extra that brings it.
SERVICES = ("mlflow", "wandb")

#: Files for it are written in any case.
TENSORBOARD = "tensorboard"

#: Ends the logging of a run or study that was logged so far.
NONE = "none"


def check_loggers(asked: str | Sequence[str]) -> tuple[str, ...]:
    """Return the services among the loggers that were asked for, each once.

    Raises
    ------
    RunError
        One is unknown, or its package is not installed.
    """
    names = [asked] if isinstance(asked, str) else list(asked)
    for name in names:
        if name not in (*SERVICES, TENSORBOARD, NONE):
            raise RunError(f"log-to {name}: allowed are mlflow, wandb, tensorboard and none")
        if name in SERVICES and not _installed(name):
            raise RunError(f"log-to {name}: {name} is not installed: {how_to_install(name)}")
    if NONE in names and len(names) > 1:
        raise RunError("log-to none: means no logger at all; leave out the others")
    return tuple(name for name in SERVICES if name in names)


@dataclass(frozen=True)
class LogTo:
    """Which loggers a run is sent to.

    Attributes
    ----------
    services : tuple of str, or None
        Of `SERVICES`. None: those that the run was sent to before, if it goes on.
    group : str or None
        Runs that differ by their seeds alone; by default a run stands alone.
    name : str or None
        Of the group's runs, each with its seed added; by default the run's folder.
    tags : mapping of str to str
    warn : callable
        Gets a line where a logger fails.
    failed : set of str
        Those that had failed at the end of a run: the next one does not wait for them.
    """

    services: tuple[str, ...] | None = None
    group: str | None = None
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    warn: Callable[[str], None] = _log.warning
    failed: set[str] = field(default_factory=set)
    _warned: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, asked: "str | Sequence[str] | LogTo | None") -> "LogTo":
        """Return what was asked for in one of its spellings.

        Raises
        ------
        RunError
            A logger is unknown or not installed.
        """
        if isinstance(asked, LogTo):
            return asked
        return cls(None if asked is None else check_loggers(asked))

    def report(self, service: str, why: str) -> None:
        """Say why a service fails, once for each."""
        if service not in self._warned:
            self._warned.add(service)
            self.warn(f"log-to {service}: {why}; training does not depend on it")


def _installed(name: str) -> bool:
    """Whether there is such a package; a folder of that name, which wandb leaves where it runs, is none."""
    found = find_spec(name)
    return found is not None and found.origin is not None
