from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convtrials.core.errors import RunError
from convtrials.training.engine.tensor_tree import load_tree, save_tree

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers(0, 9) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(trees)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_plain_values_come_back_equal(tmp_path: Path, tree: Any) -> None:
    save_tree(tmp_path / "t", tree)
    assert repr(load_tree(tmp_path / "t")) == repr(tree)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.bool])
def test_tensors_keep_bits_type_and_strides(tmp_path: Path, dtype: torch.dtype) -> None:
    plain = (torch.rand(3, 4, 5, 6) * 9).to(dtype)
    tensors = [plain, plain.to(memory_format=torch.channels_last), torch.tensor(7, dtype=dtype), plain[:0]]
    save_tree(tmp_path / "t", {"tensors": tensors})
    for old, new in zip(tensors, load_tree(tmp_path / "t")["tensors"], strict=True):
        assert (old.dtype, old.stride(), old.shape) == (new.dtype, new.stride(), new.shape)
        assert torch.equal(old, new)


def test_tensors_that_share_memory_are_stored_apart(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    save_tree(tmp_path / "t", [whole, whole, whole[2:4]])
    assert [tensor.tolist() for tensor in load_tree(tmp_path / "t")] == [[0, 1, 2, 3, 4, 5]] * 2 + [[2, 3]]


def test_an_optimizers_state_survives_in_channels_last(tmp_path: Path) -> None:
    # a fused optimizer walks weight and moments side by side in memory: wrong strides would mix them up
    def network() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        torch.manual_seed(seed)
        optimizer.zero_grad()
        images = torch.rand(2, 3, 6, 6).to(memory_format=torch.channels_last)
        model(images).square().sum().backward()
        optimizer.step()

    one, other = network(), network()
    first = torch.optim.Adam(one.parameters(), lr=0.01, fused=True)
    second = torch.optim.Adam(other.parameters(), lr=0.01, fused=True)
    step(one, first, 0)
    save_tree(tmp_path / "t", {"model": dict(one.state_dict()), "optimizer": first.state_dict()})
    tree = load_tree(tmp_path / "t")
    other.load_state_dict(tree["model"])
    second.load_state_dict(tree["optimizer"])
    step(one, first, 1)
    step(other, second, 1)
    assert torch.equal(one.weight, other.weight)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\x10\0\0\0\0\0\0\0{}              "])
def test_other_files_are_refused_in_a_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(RunError, match="not a checkpoint"):
        load_tree(tmp_path / "c")


def test_only_plain_values_are_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="plain values"):
        save_tree(tmp_path / "t", {"x": object()})
    assert list(tmp_path.iterdir()) == []
