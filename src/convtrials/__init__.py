"""Controlled trials for convolutional image classifiers.

Examples
--------
>>> import convtrials as ct
>>> data = ct.load_dataset("glyphs", classes=["0", "1", "2", "3"], samples_per_class=500)
>>> adam = {"name": "adam", "lr": 2e-3}
>>> baseline = ct.Recipe(model="alexnet-lite", width=0.35, batch_norm=True, epochs=8, optimizer=adam)
>>> study = ct.Study(baseline, {"cosine": {"schedule": "cosine"}}, seeds=4)
>>> print(study.run(data, "runs/cosine").verdicts()["cosine"])  # doctest: +ELLIPSIS
cosine: ...
"""

import os
import sys
from typing import TYPE_CHECKING

from convtrials._version import __version__
from convtrials.core.lazy import lazy_names

if TYPE_CHECKING:
    from convtrials.core.errors import ConvtrialsError
    from convtrials.core.log import quiet
    from convtrials.data.dataset import Dataset
    from convtrials.data.open import load_dataset
    from convtrials.deploy.predict import predict
    from convtrials.evaluation.evaluate import evaluate_predictions
    from convtrials.models.registry import build_model
    from convtrials.reports.run.report import build_report
    from convtrials.reports.study.report import build_study_report
    from convtrials.study.merge import merge_studies
    from convtrials.study.result import StudyResult, load_study
    from convtrials.study.study import Study
    from convtrials.training.engine.train import resume, train
    from convtrials.training.recipe.recipe import Recipe
    from convtrials.training.run_directory import Run, load_run

__all__ = [
    "ConvtrialsError",
    "Dataset",
    "Recipe",
    "Run",
    "Study",
    "StudyResult",
    "__version__",
    "build_model",
    "build_report",
    "build_study_report",
    "evaluate_predictions",
    "load_dataset",
    "load_run",
    "load_study",
    "merge_studies",
    "predict",
    "quiet",
    "resume",
    "train",
]

#: Where each public name lives: imported when first used, so that ``import convtrials`` does not wait for torch.
_HOMES = {
    "ConvtrialsError": "convtrials.core.errors",
    "Dataset": "convtrials.data.dataset",
    "Recipe": "convtrials.training.recipe.recipe",
    "Run": "convtrials.training.run_directory",
    "Study": "convtrials.study.study",
    "StudyResult": "convtrials.study.result",
    "build_model": "convtrials.models.registry",
    "build_report": "convtrials.reports.run.report",
    "build_study_report": "convtrials.reports.study.report",
    "evaluate_predictions": "convtrials.evaluation.evaluate",
    "load_dataset": "convtrials.data.open",
    "load_run": "convtrials.training.run_directory",
    "load_study": "convtrials.study.result",
    "predict": "convtrials.deploy.predict",
    "quiet": "convtrials.core.log",
    "merge_studies": "convtrials.study.merge",
    "resume": "convtrials.training.engine.train",
    "train": "convtrials.training.engine.train",
}

if sys.platform == "darwin" and "torch" not in sys.modules:
    # torch reads it when it is imported: what Apple's GPU cannot compute is computed on the CPU.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

__getattr__, __dir__ = lazy_names(__name__, _HOMES, others=("__version__",))
