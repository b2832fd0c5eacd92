"""All loggers of a run as one: TensorBoard files always, the services that were asked for in the background."""

from collections.abc import Callable
from types import TracebackType

from convtrials.training.loggers.background import Background, Service
from convtrials.training.loggers.log_to import SERVICES, LogTo
from convtrials.training.loggers.tensorboard import CurveWriter
from convtrials.training.run_directory import Run
from convtrials.training.run_documents import HistoryEntry


class RunLoggers:
    """What a run is logged to while it trains.

    Parameters
    ----------
    run : Run
        Begun: its recipe, data and execution are written.
    history : list of HistoryEntry
        Up to the checkpoint that the run goes on from.
    """

    def __init__(self, run: Run, history: list[HistoryEntry], log_to: LogTo) -> None:
        self._run = run
        self._curves = CurveWriter(run.folder, history)
        self._services = [Background(_make(name)(run, log_to), log_to) for name in services_of(run, log_to)]
        for service in self._services:
            for entry in history:
                service.add(entry)

    def add(self, entry: HistoryEntry) -> None:
        """Send an epoch."""
        self._curves.add(entry)
        for service in self._services:
            service.add(entry)

    def __enter__(self) -> "RunLoggers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the run there: with its result, where it has one."""
        self._curves.close()
        result = self._run.result if self._run.finished else None
        for service in self._services:
            service.end(result)
        for service in self._services:
            service.wait()


def services_of(run: Run, log_to: LogTo) -> tuple[str, ...]:
    """Return the services that a run is sent to: those asked for, else those that it was sent to before."""
    if log_to.services is not None:
        return log_to.services
    return tuple(name for name in run.services if name in SERVICES)


def _make(name: str) -> Callable[[Run, LogTo], Service]:
    """Return what makes a service; its package is imported later, in its own thread."""
    if name == "mlflow":
        from convtrials.training.loggers.mlflow_service import MlflowService

        return MlflowService
    from convtrials.training.loggers.wandb_service import WandbService

    return WandbService
