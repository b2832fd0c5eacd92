"""Weighted losses against torch's own and closed forms, in double precision."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from convtrials.core.errors import RecipeError
from convtrials.data.augmentation.config import AugmentConfig
from convtrials.data.batches import cut
from convtrials.training.engine.loss import LOSSES, LossEntry, loss_sum
from convtrials.training.engine.loss_weights import LossWeights
from convtrials.training.engine.weighting import Weighting, augmented_group, class_weights
from convtrials.training.recipe.recipe import Recipe

NAMES = ("a", "b", "c", "d")
LABELS = np.array([0, 0, 0, 0, 0, 1, 1, 2, 3, 3])


def drawn(count: int = 10, classes: int = 4, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, classes, dtype=torch.float64, generator=generator).requires_grad_()


def double(weighting: Weighting, *group: Any) -> LossWeights:
    """Weights of a group as float32 holds them, rounding apart."""
    found = weighting.of_group(*group)
    return LossWeights(*(None if one is None else one.double() for one in found))


def of_classes(*values: float, images: Any = None) -> Weighting:
    own = None if images is None else torch.tensor(images, dtype=torch.float32)
    return Weighting(torch.from_numpy(LABELS), torch.tensor(values) if values else None, own)


def test_balanced_weights_are_scikit_learns() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    expected = compute_class_weight("balanced", classes=np.arange(4), y=LABELS)
    np.testing.assert_allclose(class_weights("balanced", LABELS, NAMES), expected, rtol=1e-15)
    # A class without an image has no part in K, as there, and weighs 1.
    found = class_weights("balanced", LABELS, (*NAMES, "empty"))
    np.testing.assert_allclose(found, [*expected, 1.0], rtol=1e-15)


def test_a_mapping_names_classes() -> None:
    assert class_weights({"c": 3.0, "a": 0.5}, LABELS, NAMES).tolist() == [0.5, 1, 3, 1]
    with pytest.raises(RecipeError, match="there is no class 'seven'; did you mean 'Seven'"):
        class_weights({"seven": 2.0}, LABELS, ("Six", "Seven"))


def test_weighted_cross_entropy_is_torchs() -> None:
    """Value and gradient, with its weighted mean; float32 holds these weights exactly."""
    values, labels = (0.5, 2.0, 4.0, 1.25), torch.from_numpy(LABELS)
    recipe = Recipe(class_weights={"a": 0.5})
    logits, same = drawn(), drawn()
    weights = double(of_classes(*values), torch.arange(10))
    loss = loss_sum(recipe, logits, labels, weights=weights) / 10
    expected = functional.cross_entropy(same, labels, weight=torch.tensor(values, dtype=torch.float64))
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-7)  # the scale is rounded to float32
    torch.testing.assert_close(logits.grad, same.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_smoothing_is_weighted_as_the_image_that_it_is_of(loss: str) -> None:
    """An image's whole loss has the weight of its class, also what smoothing adds of other classes."""
    values, labels, logits = np.array([0.5, 2.0, 4.0, 1.25]), torch.from_numpy(LABELS), drawn().detach()
    recipe = Recipe(loss=loss, label_smoothing=0.1)
    found = loss_sum(recipe, logits, labels, weights=double(of_classes(*values), torch.arange(10))) / 10
    each = np.array([float(loss_sum(recipe, logits[n : n + 1], labels[n : n + 1])) for n in range(10)])
    w = values[LABELS]
    assert float(found) == pytest.approx((w * each).sum() / w.sum(), rel=1e-7)


def test_a_rare_class_does_not_draw_all_images_to_it() -> None:
    """With weights of 50 to 1 and smoothing, an image of the large class is still best named as what it is."""
    logits = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    weights = double(of_classes(1.0, 50.0), torch.arange(1))
    loss_sum(Recipe(label_smoothing=0.1), logits, torch.tensor([0]), weights=weights).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1]  # a step against it makes class 0 more probable


@pytest.mark.parametrize("size", [1, 3, 4, 7, 10])
@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_micro_batches_add_up_to_the_weighted_mean_of_the_step(size: int, name: str) -> None:
    """However the step is cut, also where the last piece is smaller: the mean is over the whole step."""
    values, own = np.array([0.5, 2.0, 4.0, 1.25]), np.array([1, 0, 2, 1, 0.25, 1, 3, 1, 0.5, 1])
    labels, logits = torch.from_numpy(LABELS), drawn().detach()
    weights = double(of_classes(*values, images=own), torch.arange(10))
    recipe = Recipe(loss=name, label_smoothing=0.1)
    found = sum(
        float(loss_sum(recipe, logits[where], labels[where], weights=weights.part(where))) / 10
        for where in cut(10, size)
    )
    each = LOSSES[name].each
    assert each is not None
    losses = values[LABELS] * each(logits, labels, 0.1).numpy()
    assert found == pytest.approx((own * losses).sum() / (own * values[LABELS]).sum(), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_mixed_images_share_both_weights(smoothing: float) -> None:
    values, own = np.array([0.5, 2.0, 4.0, 1.0]), np.arange(1.0, 11.0)
    labels, logits, share = torch.from_numpy(LABELS), drawn().detach(), 0.3
    partner = np.roll(np.arange(10), 3)
    weights = double(of_classes(*values, images=own), torch.arange(10), torch.from_numpy(partner), share)
    recipe = Recipe(label_smoothing=smoothing)
    found = float(loss_sum(recipe, logits, labels, labels[partner], share, weights)) / 10
    log_p = torch.log_softmax(logits, dim=1).numpy()

    def losses(which: np.ndarray) -> np.ndarray:
        target = (1 - smoothing) * np.eye(4)[which] + smoothing / 4
        return -values[which] * (target * log_p).sum(axis=1)

    whole = own * values[LABELS]
    above = share * own * losses(LABELS) + (1 - share) * own[partner] * losses(LABELS[partner])
    below = share * whole + (1 - share) * whole[partner]
    assert found == pytest.approx(above.sum() / below.sum(), rel=1e-6)


def test_a_step_of_images_without_weight_has_no_loss() -> None:
    weights = of_classes(images=[0, 0, 1, 1, 1, 1, 1, 1, 1, 1]).of_group(torch.arange(2))
    assert weights.own.tolist() == [0, 0]
    logits = drawn(2)
    loss = loss_sum(Recipe(), logits, torch.zeros(2, dtype=torch.int64), weights=weights)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_mixup_keeps_images_and_weights_together() -> None:
    """The weight laid over an image is that of the image that was laid over it."""
    pixels = torch.arange(10.0).view(10, 1, 1, 1).expand(10, 1, 2, 2) / 10
    own = np.arange(1.0, 11.0)
    where = np.array([7, 2, 9, 4, 0])
    images, labels = pixels[where], torch.from_numpy(LABELS)[where]
    group, weights = augmented_group(
        images, labels, where, AugmentConfig(mixup=1.0), seed=3, step=5, weighting=of_classes(images=own)
    )
    assert weights is not None
    assert weights.mixed is not None
    assert group.mixed_labels is not None
    assert torch.equal(group.labels, labels)
    laid = (group.images[:, 0, 0, 0] - group.lam * images[:, 0, 0, 0]) / (1 - group.lam)
    places = (laid * 10).round().long()
    assert torch.equal(group.mixed_labels, torch.from_numpy(LABELS)[places])
    ratio = weights.mixed / weights.own
    torch.testing.assert_close(
        ratio.double(), torch.from_numpy(own[places.numpy()] / own[where]), rtol=1e-6, atol=0
    )


# --- focal loss


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_loss_is_the_closed_form(gamma: float, smoothing: float) -> None:
    logits, labels, share = drawn().detach(), torch.from_numpy(LABELS), 0.4
    mixed = labels.flip(0)
    p = torch.softmax(logits, dim=1).numpy()
    target = share * np.eye(4)[LABELS] + (1 - share) * np.eye(4)[LABELS[::-1]]
    target = (1 - smoothing) * target + smoothing / 4
    expected = -(target * (1 - p) ** gamma * np.log(p)).sum()
    recipe = Recipe(loss={"name": "focal", "gamma": gamma}, label_smoothing=smoothing)
    assert float(loss_sum(recipe, logits, labels, mixed, share)) == pytest.approx(expected, rel=1e-12)


def test_focal_loss_without_focus_is_cross_entropy() -> None:
    logits, labels = drawn(), torch.from_numpy(LABELS)
    same = drawn()
    ours = loss_sum(Recipe(loss={"name": "focal", "gamma": 0}, label_smoothing=0.1), logits, labels)
    ours.backward()
    torch_s = functional.cross_entropy(same, labels, reduction="sum", label_smoothing=0.1)
    torch_s.backward()
    torch.testing.assert_close(ours, torch_s, rtol=1e-13, atol=0)
    torch.testing.assert_close(logits.grad, same.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("gamma", [0.01, 0.5, 1.0, 2.0])
def test_focal_loss_has_a_slope_everywhere(gamma: float) -> None:
    """Also where an image is right beyond what floating point can tell from certain, and where it is all wrong."""
    torch.autograd.gradcheck(
        lambda logits: LOSSES["focal"].summed(logits, torch.from_numpy(LABELS), 0.1, gamma=gamma), drawn()
    )
    sure = torch.tensor([[200.0, 0.0, 0.0], [-200.0, 0.0, 1.0]], requires_grad=True)
    recipe = Recipe(loss={"name": "focal", "gamma": gamma}, label_smoothing=0.1)
    loss = loss_sum(recipe, sure, torch.tensor([0, 0]))
    loss.backward()
    assert torch.isfinite(loss)
    assert sure.grad is not None
    assert torch.isfinite(sure.grad).all()


def test_the_papers_numbers() -> None:
    """Section 3.2: with gamma 2 an image at p = 0.9 counts 100 times less, and 1000 times less at about 0.968."""
    for p, less in ((0.9, 100.0), (0.968, 976.5625)):
        logits = torch.tensor([[np.log(p), np.log(1 - p)]], dtype=torch.float64)
        label = torch.tensor([0])
        plain, focal = (
            float(loss_sum(Recipe(loss=name), logits, label)) for name in ("cross_entropy", "focal")
        )
        assert plain / focal == pytest.approx(less, rel=1e-9)


# --- the recipe


def test_recipes_of_before_stay_as_they_are() -> None:
    saved = Recipe().to_yaml()
    assert not any(key in saved for key in ("class_weights", "sampler:", "loss:"))
    assert "gamma" not in Recipe(loss="own:loss").model_dump(mode="json")["loss"]
    assert Recipe(class_weights=None, sampler=None).fingerprint() == Recipe().fingerprint()
    different = [
        {"class_weights": "balanced"},
        {"class_weights": {"a": 2}},
        {"sampler": "balanced"},
        {"loss": "focal"},
    ]
    made = [Recipe(**one) for one in different] + [Recipe(loss={"name": "focal", "gamma": 1})]
    assert len({one.fingerprint() for one in [*made, Recipe()]}) == 6
    for one in made:
        assert Recipe.make(dict(one.model_dump(mode="json"))) == one
    assert Recipe(loss="focal").loss.gamma == 2.0
    assert Recipe(loss="focal").changed({"loss": "cross_entropy"}) == Recipe()


def test_names_that_yaml_reads_as_numbers_are_names() -> None:
    assert Recipe(class_weights={7: 2, "8": 1}).class_weights == {"7": 2.0, "8": 1.0}
    assert Recipe().changed({"class_weights.a.b": 3}).class_weights == {"a.b": 3.0}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"class_weights": "balance"}, "must be balanced, or weights by class"),
        ({"class_weights": {}}, "must be balanced, or weights by class"),
        ({"class_weights": 3}, "must be balanced, or weights by class"),
        ({"class_weights": {"a": 0}}, "the weight of a is 0; must be a number above 0"),
        ({"class_weights": {"a": -1}}, "must be a number above 0"),
        ({"class_weights": {"a": float("nan")}}, "the weight of a is nan"),
        ({"class_weights": {"a": 1e7}}, "at most 1,000,000"),
        ({"class_weights": {"a": True}}, "the weight of a is True"),
        ({"class_weights": {"a": "2"}}, "the weight of a is 2; must be a number"),
        ({"class_weights": {True: 2}}, "is not read as text; write its name in quotes"),
        ({"class_weights": {1: 2, "1": 3}}, "the class 1 is named twice"),
        ({"sampler": "weighted"}, "sampler = 'weighted': must be 'balanced'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe(**changes)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_loss_that_cannot_be_weighted_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES, "summed", LossEntry("a sum alone", lambda logits, labels: logits.sum()))
    with pytest.raises(RecipeError, match="class_weights: the loss summed takes none"):
        Recipe(loss="summed", class_weights="balanced")
