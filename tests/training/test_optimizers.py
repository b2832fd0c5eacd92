import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from convtrials.training.optim.muon import Muon, MuonWithAdamW, orthogonal, product_dtype
from convtrials.training.optim.optimizers import (
    OPTIMIZERS,
    OptimizerConfig,
    build_optimizer,
    parameter_groups,
    set_learning_rate,
)


def small_network() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.PReLU(),
        nn.Flatten(),
        nn.Linear(32, 6),
        nn.Linear(6, 3),
    )
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def give_gradients(network: nn.Module, seed: int) -> None:
    torch.manual_seed(seed)
    loss = network(torch.rand(5, 1, 4, 4))[:, :3].square().sum()
    loss.backward()


REFERENCE: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.02),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.02),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.02),
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=0.02),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.02),
    "radam": lambda p: torch.optim.RAdam(p, lr=0.02),
}


@pytest.mark.parametrize("name", list(REFERENCE))
def test_without_options_each_is_torchs_own(name: str) -> None:
    ours, theirs = small_network(), small_network()
    one = build_optimizer(OptimizerConfig(name=name, lr=0.02), ours)
    other = REFERENCE[name](theirs.parameters())
    for seed in range(4):
        for network, optimizer in ((ours, one), (theirs, other)):
            optimizer.zero_grad()
            give_gradients(network, seed)
            optimizer.step()
    for mine, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-5, atol=1e-6)


def test_options_reach_torch() -> None:
    sgd = build_optimizer(OptimizerConfig(name="sgd", lr=0.1, momentum=0.7, nesterov=True), small_network())
    assert (sgd.param_groups[0]["momentum"], sgd.param_groups[0]["nesterov"]) == (0.7, True)
    adam = build_optimizer(OptimizerConfig(name="adam", betas=(0.5, 0.6), eps=1e-4), small_network())
    assert (adam.param_groups[1]["betas"], adam.param_groups[1]["eps"]) == ((0.5, 0.6), 1e-4)


def test_decay_spares_biases_norms_and_slopes() -> None:
    network = small_network()
    decayed, spared = parameter_groups(network, 0.1)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert {names[id(p)] for p in decayed["params"]} == {"0.weight", "4.weight", "5.weight"}
    assert len(decayed["params"]) + len(spared["params"]) == len(names)


def test_frozen_parameters_are_left_out() -> None:
    network = small_network()
    network[0].weight.requires_grad_(False)
    held = {id(p) for group in parameter_groups(network, 0.1) for p in group["params"]}
    assert id(network[0].weight) not in held


def test_every_optimizer_lowers_a_loss() -> None:
    for name, entry in OPTIMIZERS.items():
        network = small_network()
        optimizer = build_optimizer(OptimizerConfig(name=name, lr=entry.lr), network)
        losses = []
        for _ in range(30):
            optimizer.zero_grad()
            torch.manual_seed(0)
            loss = network(torch.rand(16, 1, 4, 4)).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0], name


class TestMuon:
    def orthogonal(self) -> tuple[torch.Tensor, torch.Tensor]:
        """One step on a convolution; return its change as a matrix, and the gradient's."""
        torch.manual_seed(1)
        conv, last = nn.Conv2d(4, 16, 3), nn.Linear(16, 2)
        optimizer = build_optimizer(OptimizerConfig(name="muon", lr=0.1), nn.Sequential(conv, last))
        before = conv.weight.detach().clone()
        conv.weight.grad = torch.randn_like(conv.weight)
        gradient = conv.weight.grad.flatten(1).clone()
        optimizer.step()
        return (before - conv.weight.detach()).flatten(1), gradient

    def test_the_update_has_the_gradients_directions_and_nearly_equal_lengths(self) -> None:
        update, gradient = self.orthogonal()
        u, _, vt = torch.linalg.svd(gradient.double(), full_matrices=False)
        exact = (u @ vt) * 0.1 * 0.2 * math.sqrt(max(gradient.shape))  # AdamW-sized, arXiv 2502.16982
        cosine = (update.double() * exact).sum() / (update.double().norm() * exact.norm())
        assert cosine > 0.97
        assert 0.7 < float(update.norm() / exact.norm()) < 1.3

    @pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="older versions of torch have none")
    @pytest.mark.parametrize("shape", [(24, 8), (8, 24), (16, 16)])
    def test_on_matrices_in_bf16_it_is_torchs_own(
        self, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("convtrials.training.optim.muon.product_dtype", lambda device: torch.bfloat16)
        torch.manual_seed(3)
        ours = nn.Parameter(torch.randn(shape))
        theirs = nn.Parameter(ours.detach().clone())
        one = Muon([{"params": [ours], "weight_decay": 0.1}], lr=0.03, momentum=0.9, nesterov=True)
        other = torch.optim.Muon(
            [theirs], lr=0.03, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
        )
        for _ in range(4):
            ours.grad = torch.randn(shape)
            theirs.grad = ours.grad.clone()
            one.step()
            other.step()
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_singular_values_end_near_one_in_either_precision(self, dtype: torch.dtype) -> None:
        torch.manual_seed(4)
        matrix = torch.randn(12, 40)
        u, _, vt = torch.linalg.svd(matrix.double(), full_matrices=False)
        found = orthogonal(matrix, dtype).double()
        assert found.shape == matrix.shape
        values = torch.linalg.svdvals(found)
        assert 0.6 < float(values.min()) <= float(values.max()) < 1.3
        # The same singular vectors: between them the result is diagonal.
        inside = u.T @ found @ vt.T
        assert (inside - inside.diag().diag()).abs().max() < (1e-5 if dtype == torch.float32 else 0.05)

    def test_a_processor_without_bf16_products_computes_in_fp32(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        has: dict[str, bool] = {"avx2": True}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
        assert product_dtype.__wrapped__("cpu") == torch.float32
        has["avx512_bf16"] = True
        assert product_dtype.__wrapped__("cpu") == product_dtype.__wrapped__("cuda") == torch.bfloat16

    def test_biases_and_the_last_layer_are_adamws(self) -> None:
        ours, theirs = small_network(), small_network()
        muon = MuonWithAdamW(parameter_groups(ours, 0.0), lr=0.01)
        rest = [
            *theirs[1].parameters(),
            theirs[2].weight,
            theirs[4].bias,
            *theirs[5].parameters(),
        ]
        adamw = torch.optim.AdamW(rest, lr=0.01, weight_decay=0)
        give_gradients(ours, 0)
        give_gradients(theirs, 0)
        muon.step()
        adamw.step()
        torch.testing.assert_close(ours[5].weight, theirs[5].weight)
        torch.testing.assert_close(ours[1].weight, theirs[1].weight)
        assert not torch.equal(ours[0].weight, theirs[0].weight)

    def test_its_state_survives(self) -> None:
        ours, theirs = small_network(), small_network()
        optimizers = [MuonWithAdamW(parameter_groups(network, 0.01), lr=0.01) for network in (ours, theirs)]
        give_gradients(ours, 0)
        optimizers[0].step()
        theirs.load_state_dict(ours.state_dict())
        optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))  # torch's own shares tensors
        for network, optimizer in zip((ours, theirs), optimizers, strict=True):
            set_learning_rate(optimizer, 0.005)
            optimizer.zero_grad()
            give_gradients(network, 1)
            optimizer.step()
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(one, other)
