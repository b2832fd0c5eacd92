"""The data of a run, opened again from what the run says of it."""

from convtrials.core.errors import RunError
from convtrials.data.dataset import Dataset
from convtrials.data.open import reopen_dataset
from convtrials.training.run import Run


def reopen_run_data(run: Run, source: str | None = None, *, silent: bool = False) -> Dataset:
    """Open the dataset that a run was trained on.

    Parameters
    ----------
    run : Run
    source : str, optional
        Where the data is now, if it has moved.
    silent : bool
        Show no progress.

    Raises
    ------
    DataError
        It cannot be found, or has changed since.
    RunError
        The run does not say which data it was.
    """
    described = run.dataset
    try:
        return reopen_dataset(described, source=source, silent=silent)
    except (KeyError, TypeError):
        raise RunError(
            f"{run.folder / 'dataset.json'}: does not say which data the run was trained on"
        ) from None
