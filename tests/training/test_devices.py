"""Devices by their names: what is decided, with devices that are not here; nothing of it has run on a GPU or a Mac."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from convtrials.cli.main import app
from convtrials.core.errors import RunError
from convtrials.study.execute import autotune
from convtrials.training.engine import device as devices
from convtrials.training.engine import setup, step_timing
from convtrials.training.engine.device import (
    check_device,
    check_supported,
    device_index,
    device_type,
    devices_here,
    gpu_name,
    use_device,
    wait_for,
    worker_environment,
)
from convtrials.training.engine.environment import describe_environment
from convtrials.training.engine.execution import ComputeOptions, Execution, check_execution
from convtrials.training.engine.loop import GPU_STEPS, steps_between_checks
from convtrials.training.engine.setup import make_fabric, seed_layers
from convtrials.training.engine.step_timing import StepProbe, autotune_execution
from convtrials.training.optim.muon import product_dtype
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.replicas.choose import ReplicaChoice

PROBE = StepProbe(Recipe(width=0.05, batch_size=8), (8, 8, 1), 2)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Say that so many GPUs, and MPS or not, are here."""

    def make(gpus: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"card {number}")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setenv(devices.MPS_FALLBACK, "1")

    return make


@pytest.mark.parametrize(
    ("name", "kind", "number"),
    [("cpu", "cpu", None), ("cuda", "cuda", None), ("cuda:3", "cuda", 3), ("mps", "mps", None)],
)
def test_a_name_has_a_kind_and_perhaps_a_number(name: str, kind: str, number: int | None) -> None:
    assert (device_type(name), device_index(name), Execution(name).device_type) == (kind, number, kind)


@pytest.mark.parametrize(
    "name", ["tpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1 ", "mps:0", "CPU", "gpu", "", "cuda:1000"]
)
def test_another_name_is_refused_with_those_that_are_allowed(name: str) -> None:
    with pytest.raises(RunError, match="allowed are cpu, cuda, cuda:N") as refused:
        check_device(name)
    assert "\n" not in str(refused.value)
    answer = CliRunner().invoke(app, ["train", "--device", name])
    assert answer.exit_code == 2
    assert "allowed are cpu, cuda, cuda:N" in " ".join(answer.output.replace("│", "").split())


@pytest.mark.parametrize(
    ("gpus", "mps", "refused", "there"),
    [
        (0, False, "cuda", "cpu"),
        (0, False, "mps", "cpu"),
        (0, True, "cuda", "cpu, mps"),
        (1, False, "cuda:1", "cpu, cuda:0"),
        (2, False, "cuda:2", "cpu, cuda:0, cuda:1"),
    ],
)
def test_a_device_that_is_not_here_is_refused_in_a_line_with_those_that_are(
    machine, gpus: int, mps: bool, refused: str, there: str
) -> None:
    machine(gpus, mps)
    with pytest.raises(RunError) as error:
        check_device(refused)
    assert str(error.value) == f"device {refused}: is not here; torch sees {there}"
    for name in (*there.split(", "), *(["cuda"] if gpus else [])):
        check_device(name)


def test_a_run_on_a_device_that_is_not_here_ends_with_one_line(tmp_path: Path) -> None:
    if devices_here() != ["cpu"]:
        pytest.skip("there is a GPU")
    done = subprocess.run(
        [sys.executable, "-m", "convtrials", "train", "--device", "cuda:1", "--out", str(tmp_path / "r")],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == "error: device cuda:1: is not here; torch sees cpu"
    assert "Traceback" not in done.stderr


def test_mps_computes_in_fp32_and_contiguous_whatever_is_not_asked_for(
    machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(mps=True)
    timed: list[Execution] = []

    def rate(probe: StepProbe, tried: Execution, best: float) -> float:
        timed.append(tried)
        return 1.0

    monkeypatch.setattr(step_timing, "_short_rate", rate)
    found = autotune_execution(PROBE, device="mps", threads=2)
    assert found == Execution("mps", "fp32", channels_last=False, threads=2)
    assert timed == [found]
    for asked in ({"precision": "bf16"}, {"channels_last": True}):
        with pytest.raises(RunError, match=r"device mps: .*leave out"):
            autotune_execution(PROBE, device="mps", threads=2, **asked)
    with pytest.raises(RunError, match="fp32 alone"):
        check_execution(Execution("mps", "bf16", channels_last=False))
    check_supported("cuda:0", "bf16", True)
    assert product_dtype("mps") is torch.float32


def test_a_mac_is_asked_for_its_gpu_and_another_machines_gpu_is_the_default(
    machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_timing, "_short_rate", lambda *_: 1.0)
    machine(mps=True)
    assert autotune_execution(PROBE, threads=1).device == "cpu"
    machine(gpus=2)
    assert autotune_execution(PROBE, threads=1).device == "cuda"
    assert autotune_execution(PROBE, threads=1, device="cuda:1").device == "cuda:1"


def test_fabric_gets_the_kind_and_the_number(machine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    current: list[int] = []
    monkeypatch.setattr(setup, "Fabric", lambda **options: asked.append(options))
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    threads = torch.get_num_threads()
    for device in ("cpu", "cuda", "cuda:1", "mps"):
        make_fabric(Execution(device, threads=threads))
    assert [(one["accelerator"], one["devices"]) for one in asked] == [
        ("cpu", 1),
        ("cuda", 1),
        ("cuda", [1]),
        ("mps", 1),
    ]
    assert current == [1]  # where none is named torch's own choice stays


def test_each_kind_of_device_is_seeded_waited_for_and_named_by_its_own_calls(
    machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(gpus=2, mps=True)
    calls: list[str] = []
    for module, kind in ((torch.cuda, "cuda"), (torch.mps, "mps")):
        monkeypatch.setattr(module, "synchronize", lambda kind=kind: calls.append(f"{kind} waited"))
        monkeypatch.setattr(module, "manual_seed", lambda seed, kind=kind: calls.append(f"{kind} {seed}"))
    for name in ("cpu", "cuda:1", "mps"):
        wait_for(name)
        seed_layers(7, torch.device(name))
    assert calls == ["cuda waited", "cuda 7", "mps waited", "mps 7"]
    assert (gpu_name("cuda"), gpu_name("cuda:1"), gpu_name("mps")) == ("card 0", "card 1", "Apple GPU (mps)")
    assert describe_environment("cuda:1").gpu == "card 1"
    assert [steps_between_checks(torch.device(name)) for name in ("cpu", "cuda:1", "mps")] == [
        1,
        GPU_STEPS,
        GPU_STEPS,
    ]


def test_a_timed_step_uses_the_kind_for_autocast_and_the_name_for_tensors(
    machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[str] = []
    autocast = torch.autocast

    def noted(kind: str, *rest: object, **options: object) -> object:
        kinds.append(kind)
        return autocast("cpu", *rest, **options)

    monkeypatch.setattr(torch, "autocast", noted)
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: kinds.append(f"set {number}"))
    monkeypatch.setattr(
        StepProbe,
        "network",
        lambda self, execution: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2)),
    )
    monkeypatch.setattr(
        StepProbe, "images", lambda self, execution, count: (torch.rand(2, 1, 8, 8), torch.tensor([0, 1]))
    )
    step, _ = step_timing.training_step(PROBE, Execution("cuda:1", threads=torch.get_num_threads()))
    step()
    assert kinds == ["set 1", "cuda"]
    use_device("cuda")
    assert kinds == ["set 1", "cuda"]


def test_workers_on_cuda_share_the_gpus_and_one_named_by_its_number_is_everyones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [worker_environment("cuda", place, 2) for place in range(3)] == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "1"},
        {"CUDA_VISIBLE_DEVICES": "0"},
    ]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-8932f937")
    assert worker_environment("cuda", 1, 2) == {"CUDA_VISIBLE_DEVICES": "GPU-8932f937"}
    for device, gpus in (("cuda", 1), ("cuda:1", 2), ("cpu", 0), ("mps", 0)):
        assert worker_environment(device, 1, gpus) == {}


def test_a_study_on_another_gpu_is_timed_like_one_on_the_first(
    machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(gpus=2)
    tried: list[str] = []

    def chosen(probe: StepProbe, execution: Execution) -> object:
        tried.append(execution.device)
        return ReplicaChoice(4)

    monkeypatch.setattr(step_timing, "_short_rate", lambda *_: 1.0)
    monkeypatch.setattr(autotune, "choose_replicas", chosen)
    found = autotune.autotune_study(PROBE, ComputeOptions(device="cuda:1"))
    assert (found.device, found.workers, found.replicas, tried) == ("cuda:1", 1, 4, ["cuda:1"])


def test_mps_without_its_fallback_is_warned_of(machine, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    machine(mps=True)
    check_device("mps")
    assert not caplog.messages
    monkeypatch.delenv(devices.MPS_FALLBACK)
    check_device("mps")
    assert "import convtrials first" in caplog.text


@pytest.mark.parametrize(
    ("before", "given", "seen"),
    [("", {}, "1"), ("import torch; ", {}, "None"), ("", {"PYTORCH_ENABLE_MPS_FALLBACK": "0"}, "0")],
)
def test_on_a_mac_the_fallback_is_set_before_torch_is_imported(
    before: str, given: dict[str, str], seen: str
) -> None:
    script = (
        f"import sys, os; {before}sys.platform = 'darwin'; import convtrials; "
        f"print(os.environ.get({devices.MPS_FALLBACK!r}))"
    )
    environment = {key: value for key, value in os.environ.items() if key != devices.MPS_FALLBACK}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment | given
    )
    assert done.stdout.strip() == seen
