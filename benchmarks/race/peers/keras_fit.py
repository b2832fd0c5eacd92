"""Train with Keras on TensorFlow: `fit` as its first example has it, or tuned as its documentation recommends.

Tuned (``--tuned``): a cached, prefetched tf.data pipeline of full batches, no metrics, no progress bar; and whatever of
mixed bfloat16 or float32, with or without XLA, one or four steps an execution, proves fastest here in a short trial.
"""

import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from protocol import Rounds, arguments, network_of
from trial import Trial

#: Precision and compilation are tried in all combinations; they decide about each other's worth.
FIRST_TRIED = [
    {"policy": policy, "jit_compile": jit_compile, "steps_per_execution": 1}
    for jit_compile in (False, True)
    for policy in ("mixed_bfloat16", "float32")
]
STEPS_PER_EXECUTION = 4

#: A later alternative must be so much faster: less may be noise.
NEEDED_GAIN = 1.02

FOREVER = 1_000_000


def build(network: dict[str, Any]) -> keras.Model:
    """Build what network.json describes; the logits are float32, as the guide to mixed precision wants them."""
    layers = [keras.Input(network["image"])]
    if network["padding"]:
        layers.append(keras.layers.ZeroPadding2D(network["padding"]))
    for feature in network["features"]:
        if feature == "pool":
            layers.append(keras.layers.MaxPooling2D(2))
        else:
            channels, kernel = feature
            layers.append(keras.layers.Conv2D(channels, kernel, padding="same", activation="relu"))
    layers.append(keras.layers.Flatten())
    for units in network["classifier"]:
        if units == "dropout":
            layers.append(keras.layers.Dropout(network["dropout"]))
        else:
            layers.append(keras.layers.Dense(units, activation="relu"))
    layers.append(keras.layers.Dense(network["classes"], dtype="float32"))
    return keras.Sequential(layers)


class Report(keras.callbacks.Callback):
    """Tells every step to the benchmark."""

    def __init__(self, rounds: Rounds, batch_size: int) -> None:
        super().__init__()
        self.rounds, self.batch_size, self.first = rounds, batch_size, 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Called before one or several steps, with the number of the first."""
        self.first = batch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Called after one or several steps, with the number of the last."""
        steps = batch - self.first + 1
        self.rounds.after_step(steps * self.batch_size, logs["loss"], steps)


class UntilEnough(keras.callbacks.Callback):
    """Stops training when a trial has seen enough."""

    def __init__(self, trial: Trial) -> None:
        super().__init__()
        self.trial = trial

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Called after one or several steps."""
        self.model.stop_training = self.trial.after_step()


class Contestant:
    """Everything that trials and the race share."""

    def __init__(self) -> None:
        self.options = arguments(__doc__)
        self.network = network_of(self.options.folder)
        self.images = np.load(self.options.folder / "images.npy").astype("float32") / 255
        self.labels = np.load(self.options.folder / "labels.npy")

    def train(self, settings: dict[str, Any], watcher: keras.callbacks.Callback) -> None:
        """Train until the watcher stops it; without settings as Keras has it by default."""
        model = build(self.network)
        optimizer = keras.optimizers.Adam(3e-4)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        if not settings:
            model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
            size = self.options.batch_size
            model.fit(self.images, self.labels, batch_size=size, epochs=FOREVER, callbacks=[watcher])
            return
        model.compile(
            optimizer=optimizer,
            loss=loss,
            jit_compile=settings["jit_compile"],
            steps_per_execution=settings["steps_per_execution"],
        )
        model.fit(self.pipeline(), epochs=FOREVER, verbose=0, callbacks=[watcher])

    def pipeline(self) -> tf.data.Dataset:
        """Serve batches as the guide to tf.data performance has it."""
        data = tf.data.Dataset.from_tensor_slices((self.images, self.labels)).cache()
        data = data.shuffle(len(self.labels)).batch(self.options.batch_size, drop_remainder=True)
        return data.prefetch(tf.data.AUTOTUNE)

    def rate(self, settings: dict[str, Any], best: float) -> float:
        """Images a second in a short trial; given up at less than half of the best so far."""
        keras.mixed_precision.set_global_policy(settings["policy"])
        hopeless = 2 * self.options.batch_size / best if best else np.inf
        trial = Trial(settings["steps_per_execution"], hopeless)
        self.train(settings, UntilEnough(trial))
        keras.backend.clear_session()
        return float(self.options.batch_size / trial.step_seconds)

    def best_settings(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Try what is recommended, and more steps an execution on top of the best."""
        tried: list[dict[str, Any]] = []
        best: dict[str, Any] = {}
        rate = 0.0
        for settings in FIRST_TRIED:
            tried.append({"settings": settings, "images_per_second": self.rate(settings, rate)})
            if tried[-1]["images_per_second"] > rate:
                best, rate = settings, tried[-1]["images_per_second"]
        steps = len(self.labels) // self.options.batch_size
        if steps % STEPS_PER_EXECUTION == 0:
            more = {**best, "steps_per_execution": STEPS_PER_EXECUTION}
            tried.append({"settings": more, "images_per_second": self.rate(more, rate)})
            if tried[-1]["images_per_second"] > NEEDED_GAIN * rate:
                best = more
        return best, tried


def said(settings: dict[str, Any]) -> str:
    """Say settings in a few words."""
    if not settings:
        return "float32, XLA"
    xla = "XLA" if settings["jit_compile"] else "no XLA"
    several = settings["steps_per_execution"]
    return f"{settings['policy']}, {xla}" + (f", {several} steps an execution" if several > 1 else "")


def main() -> None:
    """Train for ever."""
    rounds = Rounds()
    contestant = Contestant()
    options = contestant.options
    if options.threads:
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    settings: dict[str, Any] = {}
    tried: list[dict[str, Any]] = []
    if options.tuned:
        settings = options.settings or {}
        if not settings:
            settings, tried = contestant.best_settings()
        keras.mixed_precision.set_global_policy(settings["policy"])
    rounds.introduce(
        build(contestant.network).count_params(),
        said(settings),
        ("tensorflow", "keras"),
        settings=settings,
        tried=tried,
    )
    contestant.train(settings, Report(rounds, options.batch_size))


if __name__ == "__main__":
    main()
