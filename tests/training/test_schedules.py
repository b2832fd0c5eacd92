import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convtrials.training.optim.schedules import SCHEDULES, Plateau, ScheduleConfig, schedule_factor

STEPS, PER_EPOCH = 60, 10


def torchs(make: object, steps: int = STEPS) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)  # type: ignore[operator]
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return rates


def ours(**options: object) -> list[float]:
    config = ScheduleConfig.model_validate(options)
    return [schedule_factor(config, step, STEPS, PER_EPOCH) for step in range(STEPS)]


lrs = torch.optim.lr_scheduler
CASES = {
    "constant": (dict(name="constant"), lambda o: lrs.LambdaLR(o, lambda step: 1.0)),
    "step": (dict(name="step", every=2, gamma=0.3), lambda o: lrs.StepLR(o, 2 * PER_EPOCH, 0.3)),
    "exponential": (dict(name="exponential", gamma=0.8), lambda o: lrs.StepLR(o, PER_EPOCH, 0.8)),
    "cosine": (dict(name="cosine", final=0.1), lambda o: lrs.CosineAnnealingLR(o, STEPS - 1, 0.1)),
    "polynomial": (dict(name="polynomial", power=2), lambda o: lrs.PolynomialLR(o, STEPS - 1, 2)),
    "one_cycle": (
        dict(name="one_cycle", rise=0.4, start=0.1, final=0.001),
        lambda o: lrs.OneCycleLR(
            o, 1.0, STEPS, pct_start=0.4, div_factor=10, final_div_factor=100, cycle_momentum=False
        ),
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_each_schedule_is_torchs(name: str) -> None:
    options, make = CASES[name]
    assert ours(**options) == pytest.approx(torchs(make), abs=1e-9)


def test_every_schedule_is_held_against_torchs() -> None:
    assert set(CASES) | {"plateau"} == set(SCHEDULES)


def test_warm_up_rises_linearly_then_the_schedule_takes_the_rest() -> None:
    rates = ours(name="cosine", warmup=2)
    assert rates[:20] == pytest.approx([(step + 1) / 21 for step in range(20)])
    rest = torchs(lambda o: lrs.CosineAnnealingLR(o, STEPS - 20 - 1), STEPS - 20)
    assert rates[20:] == pytest.approx(rest, abs=1e-9)


def test_plateau_is_torchs() -> None:
    losses = [1.0, 0.9, 0.9, 0.91, 0.89999, 0.5, 0.5, 0.6, 0.7, 0.8, 0.9]
    plateau = Plateau(ScheduleConfig(name="plateau", gamma=0.5, patience=1, min_delta=0.01, final=0.1))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = lrs.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=1, threshold=0.01, threshold_mode="abs", min_lr=0.1
    )
    for loss in losses:
        plateau.observe({"val_loss": loss})
        reference.step(loss)
        assert plateau.factor == pytest.approx(optimizer.param_groups[0]["lr"])
    assert plateau.factor == pytest.approx(0.125)


def test_plateau_on_accuracy_looks_upwards() -> None:
    plateau = Plateau(ScheduleConfig(name="plateau", metric="val_accuracy", patience=0, gamma=0.5))
    for accuracy in (0.5, 0.6, 0.7):
        plateau.observe({"val_accuracy": accuracy})
    assert plateau.factor == 1.0
    plateau.observe({"val_accuracy": 0.6})
    assert plateau.factor == 0.5


def test_plateau_goes_on_where_it_was() -> None:
    config = ScheduleConfig(name="plateau", patience=1, gamma=0.5)
    whole, first = Plateau(config), Plateau(config)
    losses = [1.0, 1.1, 1.2, 1.3, 0.5, 0.6, 0.7, 0.8]
    for loss in losses[:3]:
        whole.observe({"val_loss": loss})
        first.observe({"val_loss": loss})
    second = Plateau(config)
    second.load_state_dict(first.state_dict())
    for loss in losses[3:]:
        whole.observe({"val_loss": loss})
        second.observe({"val_loss": loss})
        assert second.factor == whole.factor


@given(
    st.sampled_from(list(SCHEDULES)),
    st.integers(1, 200),
    st.integers(1, 50),
    st.floats(0, 3),
    st.integers(0, 400),
)
def test_factors_stay_between_zero_and_one(
    name: str, total: int, per_epoch: int, warmup: float, step: int
) -> None:
    config = ScheduleConfig(name=name, warmup=warmup)  # type: ignore[arg-type]
    assert 0 <= schedule_factor(config, min(step, total - 1), total, per_epoch) <= 1


@pytest.mark.parametrize("spelling", ["one-cycle", "OneCycle", "one cycle"])
def test_spellings(spelling: str) -> None:
    assert ScheduleConfig.model_validate({"name": spelling}).name == "one_cycle"
