"""Integer arithmetic that is integer, and costs little accuracy."""

import numpy as np
import pytest
import torch
from deploy_runs import own_probabilities
from torch import nn

from convtrials.deploy.extra import DeployError
from convtrials.deploy.images import calibration_images
from convtrials.deploy.inference_engines import EngineBuilder
from convtrials.deploy.predictor import load_finished_run
from convtrials.deploy.quantize_torch import quantize_network, without_idle_layers
from convtrials.models.layers import AveragePoolTo, PadToAtLeast
from convtrials.models.registry import build_model


@pytest.fixture(scope="module")
def builders(trained_runs, tmp_path_factory):
    return {
        name: EngineBuilder(
            load_finished_run(run), calibration_images(data), 1, tmp_path_factory.mktemp(name)
        )
        for name, (run, data) in trained_runs.items()
    }


@pytest.mark.parametrize("name", ["grey", "colour"])
@pytest.mark.parametrize("engine", ["torch-int8", "onnx-int8", "torch-bf16"])
def test_little_accuracy_is_lost_and_the_arithmetic_is_another(builders, trained_runs, name, engine):
    if engine.startswith("onnx"):
        pytest.importorskip("onnxruntime")
    run, dataset = trained_runs[name]
    expected, labels, positions = own_probabilities(run)
    made = builders[name].make(engine)
    got = made.classify(dataset.images[positions])
    assert abs((got.argmax(1) == labels).mean() - (expected.argmax(1) == labels).mean()) < 0.03
    assert (got.argmax(1) == expected.argmax(1)).mean() > 0.93
    assert 1e-4 < np.abs(got - expected).max() < 0.35
    assert np.abs(got.sum(axis=1) - 1).max() < 1e-5
    share = {"torch-int8": 0.3, "onnx-int8": 0.5, "torch-bf16": 0.51}[engine]
    assert made.bytes < share * run.weights_path.stat().st_size


def test_the_onnx_file_has_integer_weights_with_a_scale_a_channel_and_fine_probabilities(builders):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    builder = builders["grey"]
    builder.make("onnx-int8")
    graph = onnx.load(builder.folder / "int8.onnx").graph
    tensors = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == 8
    for node in layers:
        assert [makers[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
        weights, scales = (tensors[name] for name in makers[node.input[1]].input[:2])
        assert weights.dtype == np.int8
        assert np.abs(weights.astype(int)).max() <= 64  # seven bits, so that sums of pairs fit 16 bits
        assert scales.size == max(weights.shape[0], 1) or scales.size == weights.shape[1]
    softmax = next(node for node in graph.node if node.op_type == "Softmax")
    assert list(softmax.output) == [graph.output[0].name]  # nothing rounds the probabilities


@pytest.mark.skipif(
    torch.backends.quantized.engine != "x86", reason="pairs of products overflow on x86 alone"
)
@pytest.mark.parametrize(("units", "bits"), [(["avx2"], 7), (["avx512_vnni", "avx2"], 8)])
def test_weights_leave_room_for_pairs_of_products_where_the_processor_needs_it(units, bits, monkeypatch):
    monkeypatch.setattr("convtrials.deploy.quantize_torch.vector_units", lambda: units)
    network = build_model("alexnet", classes=4, channels=1, image_size=28, width=0.125, seed=1).eval()
    quantized = quantize_network(network, torch.randn(96, 1, 28, 28))
    layers = [module for module in quantized.modules() if isinstance(getattr(module, "scale", None), float)]
    largest = [int(module.weight().int_repr().int().abs().max()) for module in layers]
    assert len(largest) == 8
    assert all(2 ** (bits - 1) - 2 <= one <= 2 ** (bits - 1) for one in largest)


def test_layers_without_an_effect_are_left_out_and_others_stay():
    network = build_model("alexnet", classes=4, channels=1, image_size=28, width=0.125).eval()
    images = torch.randn(2, 1, 28, 28)
    lean = without_idle_layers(network, images)
    left = [type(module) for module in lean.modules()]
    assert not {AveragePoolTo, PadToAtLeast, nn.Dropout} & set(left)
    assert left.count(nn.ReLU) == 7  # they work in place and return their input, changed
    with torch.no_grad():
        assert torch.equal(lean(images), network(images))
    assert any(isinstance(module, AveragePoolTo) for module in network.modules())
    small = torch.randn(2, 1, 6, 6)
    kept = [type(module) for module in without_idle_layers(network, small).modules()]
    assert PadToAtLeast in kept
    assert AveragePoolTo in kept


@pytest.mark.parametrize("model", ["vgg11-bn", "alexnet-2012"])
def test_torch_quantises_networks_that_pad_or_normalise_responses(model):
    network = build_model(model, classes=4, channels=1, image_size=28, width=0.125, seed=1).eval()
    images = torch.randn(96, 1, 28, 28)
    with torch.no_grad():
        expected, got = network(images), quantize_network(network, images)(images)
    # Untrained: the images hardly move the logits, so the whole vector is compared.
    assert (got - expected).norm() < 0.1 * expected.norm()


class _LooksAtValues(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, images):
        flat = images.mean(dim=(2, 3))
        return self.linear(flat if flat.sum() > 0 else -flat)


def test_a_network_that_cannot_be_traced_is_told_in_a_line():
    with pytest.raises(DeployError, match="torch cannot quantise this network") as told:
        quantize_network(_LooksAtValues().eval(), torch.randn(8, 4, 3, 3))
    assert "\n" not in str(told.value)
