"""Run a prepared study, look at one, and write what its runs say."""

from collections.abc import Callable
from pathlib import Path

from convtrials.core.errors import Interrupted
from convtrials.data.dataset import Dataset
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.executor import Executor, RunEnd
from convtrials.study.plan.plan import Plan
from convtrials.study.results.documents import StudyResults, study_results, write_documents
from convtrials.study.results.scores import Outcomes, units_of_test
from convtrials.study.schemas import Verdicts
from convtrials.study.status import StudyState, read_status
from convtrials.training.engine.execution import ComputeOptions
from convtrials.training.loggers.log_to import check_loggers

#: Called about once a second with how a study stands, and which runs have ended since.
Show = Callable[[StudyState, list[RunEnd]], None]


def run_study(
    study: StudyDirectory, plan: Plan, dataset: Dataset, options: ComputeOptions, *, show: Show
) -> Verdicts:
    """Run a prepared study to its end and write its documents, also where it is stopped before its end."""
    from convtrials.study.execute.in_process import (  # torch: not for those who only read
        InProcess,
        ReplicaExecutor,
    )
    from convtrials.study.execute.local_processes import LocalProcesses
    from convtrials.study.execute.run_trainer import RunTrainer
    from convtrials.study.execute.scheduler import run_to_end

    if options.log_to is not None:
        study.write_log_to(check_loggers(options.log_to))
    known = study.execution
    execution, workers = known.execution, options.workers or known.workers
    trainer = RunTrainer(study, plan, dataset, execution, options.checkpoint_seconds)
    executor: Executor
    if known.replicas > 1 or (
        execution.device_type == "cuda" and workers == 1
    ):  # one replica too gains by CUDA graphs
        executor, workers = ReplicaExecutor(trainer, known.replicas, method=known.replica_way), 1
    elif dataset.folder is None:
        executor, workers = InProcess(trainer), 1
    else:
        executor = LocalProcesses(
            study.folder,
            workers,
            execution.threads,
            checkpoint_seconds=options.checkpoint_seconds,
            device=execution.device,
        )
    outcomes = Outcomes(study, plan, units_of_test(dataset))
    try:
        run_to_end(study, plan, outcomes, executor, show, workers=workers)
    except Interrupted:
        write_documents(study, plan, outcomes)  # what is known so far, marked as such
        raise
    return write_documents(study, plan, outcomes)


def status_reader(folder: Path) -> Callable[[], StudyState]:
    """Return a function that reads the status of a study every time it is called."""
    study, plan, outcomes = _readable(folder)
    workers = study.execution.workers
    return lambda: read_status(study, plan, outcomes, workers)


def write_study_documents(folder: Path) -> Verdicts:
    """Write verdicts, costs and the table of runs again, of a study that is finished or not."""
    return write_documents(*_readable(folder))


def judged_now(folder: Path) -> StudyResults:
    """Return what the runs that have ended say, and write nothing."""
    return study_results(*_readable(folder))


def _readable(folder: Path) -> tuple[StudyDirectory, Plan, Outcomes]:
    """Open a study for reading; its directory alone is enough."""
    study = StudyDirectory(folder)
    plan = study.plan
    return study, plan, Outcomes(study, plan, study.units())
