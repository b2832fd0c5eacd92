"""Weights go to disk and come back; what does not fit is told; a hostile file runs nothing."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from convtrials.models import WeightsError, build_model, load_weights, save_weights

SMALL = {"classes": 6, "channels": 1, "image_size": 12, "width": 0.05}


def model_of(name="alexnet", **changes):
    return build_model(name, **(SMALL | changes))


def with_extra_layer():
    model = model_of()
    model.add_module("extra", nn.Linear(2, 2))
    return model


def equal_layers(one, other):
    a, b = one.state_dict(), other.state_dict()
    return {key for key in a if key in b and a[key].shape == b[key].shape and torch.equal(a[key], b[key])}


@pytest.mark.parametrize("name", ["alexnet", "alexnet-2012", "vgg11", "vgg11-bn"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_round_trip(tmp_path, name, suffix):
    path = tmp_path / "deep" / f"weights{suffix}"
    trained = model_of(name, seed=1).to(memory_format=torch.channels_last)
    if suffix == ".safetensors":
        save_weights(trained, path)
    else:
        path.parent.mkdir()
        torch.save(trained.state_dict(), path)
    fresh = model_of(name, seed=2)
    assert load_weights(fresh, path) == []
    assert equal_layers(trained, fresh) == set(fresh.state_dict())
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_saving_follows_shared_tensors_and_keeps_the_model(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    save_weights(model, tmp_path / "tied.safetensors")
    assert torch.equal(load_file(tmp_path / "tied.safetensors")["1.weight"], model[0].weight)
    assert load_weights(model, tmp_path / "tied.safetensors") == []
    assert model[1].weight is model[0].weight


def test_the_same_weights_give_the_same_file(tmp_path):
    for name in ("a.safetensors", "b.safetensors"):
        save_weights(model_of(), tmp_path / name)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_another_class_count_starts_the_last_layer_anew(tmp_path):
    save_weights(model_of(classes=10, seed=1), tmp_path / "w.safetensors")
    model = model_of(seed=2)
    assert load_weights(model, tmp_path / "w.safetensors") == [
        "classifier.6 starts from scratch: the file is for 10 classes, the model has 6"
    ]
    kept = equal_layers(model, model_of(seed=2))
    assert kept == {"classifier.6.weight", "classifier.6.bias"}


@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
@pytest.mark.parametrize(
    ("stored", "wanted", "line"),
    [
        (
            3,
            1,
            "features.0: weights are summed over the channels: the file is for 3 input channels, the model has 1",
        ),
        (
            1,
            3,
            "features.0: weights are shared out among the channels: the file is for 1 input channels, the model has 3",
        ),
    ],
)
def test_a_grey_image_gives_the_same_in_either_form(tmp_path, name, stored, wanted, line):
    trained = model_of(name, channels=stored, seed=1).double().eval()
    save_weights(trained.float(), tmp_path / "w.safetensors")
    model = model_of(name, channels=wanted, seed=2)
    assert load_weights(model, tmp_path / "w.safetensors") == [line]
    grey = torch.randn(4, 1, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = trained.double()(grey.expand(-1, stored, -1, -1))
    after = model.double().eval()(grey.expand(-1, wanted, -1, -1))
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-8)
    assert not torch.equal(before[0], before[1])


def test_other_channel_counts_start_the_stem_from_scratch(tmp_path):
    save_weights(model_of(channels=3, seed=1), tmp_path / "w.safetensors")
    model = model_of(channels=4, seed=2)
    (change,) = load_weights(model, tmp_path / "w.safetensors")
    assert change == "features.0 starts from scratch: the file is for 3 input channels, the model has 4"
    assert (change.layer, change.fresh) == ("features.0", True)
    assert {"features.0.weight", "features.0.bias"} <= equal_layers(model, model_of(channels=4, seed=2))


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_checkpoint_of_a_training_program_is_unwrapped(tmp_path, key, prefix):
    trained = model_of(seed=1)
    state = {f"{prefix}{name}": tensor for name, tensor in trained.state_dict().items()}
    torch.save({"epoch": 3, key: state, "optimizer": {"state": {}}}, tmp_path / "w.pth")
    model = model_of(seed=2)
    assert load_weights(model, tmp_path / "w.pth") == []
    assert equal_layers(model, trained) == set(trained.state_dict())


def test_both_at_once_give_two_messages(tmp_path):
    save_weights(model_of("vgg11-bn", channels=3, classes=9), tmp_path / "w.safetensors")
    assert len(load_weights(model_of("vgg11-bn"), tmp_path / "w.safetensors")) == 2


def test_old_files_without_batch_counters_load(tmp_path):
    state = {k: v for k, v in model_of("vgg11-bn", seed=1).state_dict().items() if "num_batches" not in k}
    torch.save(state, tmp_path / "w.pth")
    assert load_weights(model_of("vgg11-bn"), tmp_path / "w.pth") == []


@pytest.mark.parametrize(
    ("stored", "match"),
    [
        (
            lambda: model_of(width=0.3),
            r"features.0.weight is \(16, 1, 5, 5\), the model has \(8, 1, 5, 5\).*more",
        ),
        (lambda: model_of(batch_norm=True), "is missing.*more"),
        (lambda: model_of("vgg11"), "is missing"),
        (lambda: nn.Sequential(nn.Linear(2, 2)), "does not fit the model: features.0.weight is missing"),
        (
            lambda: with_extra_layer(),
            "does not fit the model: extra.bias is not in the model; extra.weight is not",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(tmp_path, stored, match):
    save_weights(stored(), tmp_path / "w.safetensors")
    model = model_of(seed=2)
    with pytest.raises(WeightsError, match=match) as caught:
        load_weights(model, tmp_path / "w.safetensors")
    assert "w.safetensors" in str(caught.value)
    assert len(str(caught.value)) < 600
    assert equal_layers(model, model_of(seed=2)) == set(model.state_dict())


def test_whole_numbers_are_no_weights(tmp_path):
    state = {key: tensor.to(torch.int8) for key, tensor in model_of().state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"int8, the model has torch\.float32"):
        load_weights(model_of(), tmp_path / "w.safetensors")


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("writer", ["torch", "torch-legacy", "pickle"])
def test_a_hostile_file_is_refused_and_runs_nothing(tmp_path, suffix, writer):
    marker, path = tmp_path / "marker", tmp_path / f"w{suffix}"
    state = {"features.0.weight": Payload(marker)}
    if writer == "pickle":
        path.write_bytes(pickle.dumps(state, protocol=2))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=writer == "torch")
    with pytest.raises(WeightsError, match=f"w{suffix}"):
        load_weights(model_of(), path)
    assert not marker.exists()
    # The payload is live: an open door would have let it through.
    pickle.loads(pickle.dumps(state))
    assert marker.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\xff" * 64, b"PK\x03\x04 cut"])
def test_broken_files_are_refused(tmp_path, suffix, content):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="not a readable file of weights"):
        load_weights(model_of(), path)


def test_a_cut_file_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(model_of(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="not a readable file of weights"):
        load_weights(model_of(), path)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": {}}])
def test_files_that_hold_something_else_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="state dict"):
        load_weights(model_of(), tmp_path / "w.pth")


def test_missing_and_unknown_kinds_of_files(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        load_weights(model_of(), tmp_path / "none.safetensors")
    (tmp_path / "w.bin").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"allowed: \.safetensors, \.pth, \.pt"):
        load_weights(model_of(), tmp_path / "w.bin")
