"""The end of a run: weights, predictions of the test split, and last the result."""

from typing import Any

from convtrials.data.batches import Batches
from convtrials.data.dataset import Dataset
from convtrials.models.weights import save_weights
from convtrials.training.engine.checkpoint import TrainingState
from convtrials.training.engine.loop import Outcome
from convtrials.training.engine.predict import predict_probabilities
from convtrials.training.run_directory import Run
from convtrials.training.run_documents import RunResult

#: What a person can try when the loss is no longer a number.
DIVERGED_ADVICE = "try a lower optimizer.lr, clip_norm=1, schedule.warmup, or precision fp32"


def finish_run(
    run: Run,
    dataset: Dataset,
    seed: int,
    state: TrainingState,
    outcome: Outcome,
    val: Batches,
    seconds: float,
) -> None:
    """Write weights, predictions and, last, the result."""
    run.write_history(state.history)
    result: dict[str, Any] = {
        "status": "finished" if outcome.diverged_at is None else "diverged",
        "seed": seed,
        "epochs": len(state.history),
        "steps": state.step,
        "stopped_early": outcome.stopped_early,
        "parameters": sum(parameter.numel() for parameter in state.model.parameters()),
        "train_seconds": state.train_seconds,
        "cpu_seconds": state.cpu_seconds,
        "seconds_since_start_or_resume": seconds,
    }
    if outcome.diverged_at is not None:
        result |= {
            "diverged_at": outcome.diverged_at,
            "diverged_in": outcome.diverged_in,
            "advice": DIVERGED_ADVICE,
        }
    else:
        weights, kept = state.kept_weights()
        best_epoch = state.stopper.best_epoch if kept == "best" and state.stopper else len(state.history)
        state.judged.load_state_dict(weights)
        save_weights(state.judged, run.weights_path)
        result |= {"kept": kept, "best_epoch": best_epoch}
        # The kept weights were validated at the end of that epoch.
        validated = state.history[best_epoch - 1].to_dict()
        result |= {key: value for key, value in validated.items() if key.startswith("val_")}
        if len(dataset.indices("test")):
            result["test_accuracy"] = _write_predictions(run, dataset, state, val)
    run.end(RunResult(**result))


def _write_predictions(run: Run, dataset: Dataset, state: TrainingState, val: Batches) -> float:
    """Classify the test split, this once, computed as validation was; return the accuracy."""
    test = Batches(dataset, "test", val.device, channels_last=val.channels_last)
    probabilities, labels = predict_probabilities(state.judged, test)
    run.write_predictions(probabilities, labels, dataset.indices("test"))
    return float((probabilities.argmax(axis=1) == labels).mean())
