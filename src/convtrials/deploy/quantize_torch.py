"""A network with 8-bit integer arithmetic in torch, its scales set on given images.

Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, CVPR 2018.
torch announces the end of `torch.ao.quantization`; where it is gone, this engine is reported as not available.
"""

import copy
import platform
import warnings
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from convtrials.deploy.extra import DeployError, first_line
from convtrials.training.engine.environment import vector_units

#: Images that pass through the network at once while ranges are taken.
_PIECE = 64


def quantize_network(network: nn.Module, images: Tensor) -> nn.Module:
    """Return a copy of a network whose convolutions and linear layers compute in int8.

    Parameters
    ----------
    network : nn.Module
        fp32, in evaluation mode; left as it is.
    images : Tensor of float32, shape (n, C, H, W)
        Normalised; ranges of all layers are those that these images give. Validation images, never test images.

    Raises
    ------
    DeployError
        If this torch cannot quantise, or not this network.
    """
    try:
        tools: Any = import_module("torch.ao.quantization")
        graphs: Any = import_module("torch.ao.quantization.quantize_fx")
        custom: Any = import_module("torch.ao.quantization.fx.custom_config")
    except ImportError:
        raise DeployError(f"torch {torch.__version__} has no torch.ao.quantization") from None
    settings = custom.PrepareCustomConfig().set_non_traceable_module_classes(_opaque_classes(network))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its deprecation
        try:
            prepared = graphs.prepare_fx(
                without_idle_layers(network, images[:2]),
                _scheme(tools),
                (images[:2],),
                prepare_custom_config=settings,
            )
            for start in range(0, len(images), _PIECE):
                prepared(images[start : start + _PIECE])
            quantized: nn.Module = graphs.convert_fx(prepared)
            quantized(images[:2])
        except Exception as error:
            raise DeployError(f"torch cannot quantise this network: {first_line(error)}") from error
    return quantized


def without_idle_layers(network: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy without the layers that hand their input through untouched at this image size.

    Padding that pads nothing and pooling to the size that is there would otherwise cost a way back to float32.
    """
    network = copy.deepcopy(network)
    idle, busy, versions = set[str](), set[str](), dict[str, int]()

    def watch(name: str, module: nn.Module) -> list[Any]:
        def before(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            versions[name] = inputs[0]._version

        def after(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            # A layer that works in place returns its input too, but the tensor counts its changes.
            same = output is inputs[0] and output._version == versions[name]
            (idle if same else busy).add(name)

        return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]

    leaves = [(name, module) for name, module in network.named_modules() if name and not [*module.children()]]
    hooks = [hook for name, module in leaves for hook in watch(name, module)]
    with torch.no_grad():
        network(example)
    for hook in hooks:
        hook.remove()
    for name in idle - busy:
        network.set_submodule(name, nn.Identity())
    return network


def _opaque_classes(network: nn.Module) -> list[type[nn.Module]]:
    """Layers that are not torch's own may look at shapes, which tracing cannot follow: they stay in float32."""
    return list(
        {
            type(module)
            for module in network.modules()
            if module is not network
            and not [*module.children()]
            and not type(module).__module__.startswith("torch.nn")
        }
    )


def _scheme(tools: Any) -> Any:
    """Return how torch is to use the ranges on this processor.

    Without instructions that add 8-bit products in 32 bits, an x86 processor adds pairs of them in 16 bits, which
    overflow. torch's own scheme then leaves one bit of the activations unused; weights, which have a scale for each
    channel, can spare it better, as in the ONNX file.
    """
    engine: str = torch.backends.quantized.engine
    if engine != "x86" or platform.machine() not in ("x86_64", "AMD64"):
        return tools.get_default_qconfig_mapping(engine)
    if {"avx512_vnni", "avx_vnni", "amx_int8"}.intersection(vector_units()):
        return tools.get_default_qconfig_mapping("onednn")
    weights = tools.PerChannelMinMaxObserver.with_args(
        dtype=torch.qint8, qscheme=torch.per_channel_symmetric, quant_min=-64, quant_max=63
    )
    ranges = tools.QConfig(activation=tools.HistogramObserver.with_args(reduce_range=False), weight=weights)
    return tools.get_default_qconfig_mapping(engine).set_global(ranges)
