"""Train with Lightning's Trainer: as its first example has it, or tuned as its documentation recommends.

Tuned (``--tuned``): mixed bf16 precision, model and images channels_last, no logger, no checkpoints, no progress bar;
and whatever of half the threads, full precision, a fused optimizer, a loader process and torch.compile proves faster
here in a short trial.
"""

import logging
from collections.abc import Iterator
from typing import Any

import lightning
import torch
from protocol import Rounds, arguments, network_of, threads_said
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torch_network import build, parameters, tensors
from trial import Trial

#: What the documentation recommends, and what is tried against it, one after the other.
RECOMMENDED = {
    "precision": "bf16-mixed",
    "channels_last": True,
    "fused": False,
    "workers": 0,
    "compile": False,
}
ALTERNATIVES = [{"precision": "32-true"}, {"fused": True}, {"workers": 1}, {"compile": True}]

#: An alternative must be so much faster: less may be noise.
NEEDED_GAIN = 1.02

FOREVER = 1_000_000


class Classifier(lightning.LightningModule):
    """The network, its loss and its optimizer."""

    def __init__(self, network: nn.Module, settings: dict[str, Any]) -> None:
        super().__init__()
        self.channels_last = settings.get("channels_last", False)
        self.fused = settings.get("fused")
        self.network = network.to(memory_format=torch.channels_last) if self.channels_last else network
        if settings.get("compile"):
            self.network = torch.compile(self.network)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        """Return the loss of a batch."""
        images, labels = batch
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        loss = nn.functional.cross_entropy(self.network(images), labels)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=3e-4, fused=self.fused)


class Report(lightning.Callback):
    """Tells every step to the benchmark."""

    def __init__(self, rounds: Rounds) -> None:
        self.rounds = rounds

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index) -> None:  # type: ignore[no-untyped-def]
        """Called after each optimizer step."""
        self.rounds.after_step(len(batch[1]), outputs["loss"].detach())


class UntilEnough(lightning.Callback):
    """Stops training when a trial has seen enough."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index) -> None:  # type: ignore[no-untyped-def]
        """Called after each optimizer step."""
        trainer.should_stop = self.trial.after_step()


class Contestant:
    """Everything that trials and the race share."""

    def __init__(self) -> None:
        self.options = arguments(__doc__)
        self.network = network_of(self.options.folder)
        self.data = TensorDataset(*tensors(self.options.folder))

    def loader(self, workers: int) -> DataLoader[tuple[Tensor, ...]]:
        """Serve shuffled batches."""
        return DataLoader(
            self.data,
            batch_size=self.options.batch_size,
            shuffle=True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )

    def train(self, settings: dict[str, Any], watcher: lightning.Callback) -> None:
        """Train until the watcher stops it; without settings as Lightning has it by default."""
        module = Classifier(build(self.network), settings)
        if settings:
            torch.set_num_threads(settings["threads"])
            trainer = lightning.Trainer(
                max_epochs=FOREVER,
                accelerator="cpu",
                precision=settings["precision"],
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                callbacks=[watcher],
            )
        else:
            trainer = lightning.Trainer(max_epochs=FOREVER, accelerator="cpu", callbacks=[watcher])
        trainer.fit(module, self.loader(settings.get("workers", 0)))

    def rate(self, settings: dict[str, Any], best: float = 0.0) -> float:
        """Images a second in a short trial; given up at less than half of the best so far."""
        trial = Trial(hopeless=2 * self.options.batch_size / best if best else float("inf"))
        self.train(settings, UntilEnough(trial))
        return float(self.options.batch_size / trial.step_seconds)

    def best_settings(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Try what is recommended, then each alternative on top of the best so far."""
        threads = torch.get_num_threads()
        best = {**RECOMMENDED, "threads": threads}
        rate = self.rate(best)
        tried = [{"settings": best, "images_per_second": rate}]
        fewer = [{"threads": threads // 2}] if threads > 1 else []
        for change in [*fewer, *ALTERNATIVES]:
            candidate = {**best, **change}
            try:
                candidate_rate = self.rate(candidate, rate)
            except Exception as error:  # no compiler on this machine, for one
                tried.append({"settings": candidate, "failed": str(error)[:200]})
                continue
            tried.append({"settings": candidate, "images_per_second": candidate_rate})
            if candidate_rate > NEEDED_GAIN * rate:
                best, rate = candidate, candidate_rate
        return best, tried


def said(settings: dict[str, Any]) -> Iterator[str]:
    """Say settings in a few words."""
    if settings:
        yield settings["precision"]
        yield "channels_last"
        yield from (name for name in ("fused", "compile") if settings[name])
        if settings["workers"]:
            yield "loader process"
    else:
        yield "fp32"
    yield threads_said(settings.get("threads", torch.get_num_threads()))


def main() -> None:
    """Train for ever."""
    rounds = Rounds()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    contestant = Contestant()
    options = contestant.options
    settings: dict[str, Any] = {}
    tried: list[dict[str, Any]] = []
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.tuned:
        settings = options.settings or {}
        if not settings:
            settings, tried = contestant.best_settings()
    rounds.introduce(
        parameters(build(contestant.network)),
        ", ".join(said(settings)),
        ("lightning", "torch"),
        settings=settings,
        tried=tried,
    )
    contestant.train(settings, Report(rounds))


if __name__ == "__main__":
    main()
