"""``convtrials doctor``: what this machine has, and what that means for a run."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

#: Packages that no extra brings; absent is fine.
_OPTIONAL = {"tensorboard": "shows a run's curves: tensorboard --logdir RUN"}

#: What the extras are for; one that is not named here is listed all the same.
_PURPOSES = {
    "deploy": "convtrials export and benchmark",
    "heif": "photos of phones: HEIC, HEIF",
    "parquet": "tables in Parquet files",
    "mlflow": "--log-to mlflow",
    "wandb": "--log-to wandb",
}


def doctor(
    speed: Annotated[
        bool, typer.Option("--speed/--no-speed", help="Time a few training steps of AlexNet (seconds).")
    ] = True,
) -> None:
    """Say what this machine has: cores, bf16, GPU, packages, extras, folders; and how fast it trains."""
    from rich.console import Console
    from rich.table import Table

    from convtrials.core.files import cache_folder
    from convtrials.core.log import lines_to
    from convtrials.core.process import available_cores
    from convtrials.training.engine.device import devices_here, gpu_name
    from convtrials.training.engine.environment import describe_environment
    from convtrials.training.engine.step_timing import StepProbe, autotune_execution
    from convtrials.training.recipe.recipe import Recipe

    found = describe_environment().to_dict()
    table = Table(show_header=False, box=None, pad_edge=False)
    cores = available_cores()
    table.add_row("convtrials", f"{found['convtrials']}, Python {found['python']}")
    table.add_row("system", found["platform"])
    table.add_row(
        "processor", f"{found['processor']}, {cores} core{'s' if cores != 1 else ''} for this process"
    )
    table.add_row(
        "vector units",
        ", ".join(_vector_units(found["vector_units"])) or "nothing beyond " + str(found["cpu_capability"]),
    )
    devices = [(one, gpu_name(one)) for one in devices_here() if one != "cpu"]
    for device, name in devices or [("", None)]:
        table.add_row("GPU", f"{name} (--device {device})" if device else "none that torch can use")
    table.add_row("threads", _threads())
    for name, version in found["packages"].items():
        table.add_row(name, version or "MISSING")
    for name, purpose in _OPTIONAL.items():
        table.add_row(
            name, ("installed" if find_spec(name) is not None else "not installed") + f" ({purpose})"
        )
    _add_extras(table)
    table.add_row("cache", f"{_folder(cache_folder())}; CONVTRIALS_CACHE moves it")
    table.add_row(
        "runs", f"{_folder(Path(os.environ.get('CONVTRIALS_RUNS', 'runs')))}; CONVTRIALS_RUNS moves it"
    )
    console = Console()
    console.print(table)
    if speed:
        console.print("\nTraining AlexNet (full width, 28x28), a few steps each way:")
        with lines_to(lambda line: console.print("  " + line, highlight=False)):
            best = autotune_execution(StepProbe(Recipe(model="alexnet"), (28, 28, 1), 36))
        console.print(f"A run here would use: [bold]{best.describe()}[/bold]")


def _threads() -> str:
    """Say how many threads torch would use, and what was set by hand."""
    import torch

    given = os.environ.get("OMP_NUM_THREADS")
    return f"{torch.get_num_threads()}" + (f" (OMP_NUM_THREADS={given})" if given else "")


def _add_extras(table: "Table") -> None:
    """Add a row per extra: what is there of it, and how to install what is not."""
    from convtrials.cli.terminal import plain
    from convtrials.core.extras import extras, how_to_install

    found = extras()
    if not found:
        table.add_row("extras", "not known: convtrials runs from its source and was not installed")
    for extra, packages in found.items():
        there = ", ".join(f"{one.name} {one.version or 'MISSING'}" for one in packages)
        missing = any(one.version is None for one in packages)
        purpose = f" ({_PURPOSES[extra]})" if extra in _PURPOSES else ""
        advice = f"\n{how_to_install(extra)}" if missing else ""
        table.add_row(f"extra {extra}", plain(f"{there}{purpose}{advice}"))


def _folder(path: Path) -> str:
    """Say where a folder is, what space is left there, and whether it can be written; nothing is made."""
    there = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    free = shutil.disk_usage(there).free / 2**30
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return f"{path} ({free:.0f} GiB free{'' if writable else f', NOT WRITABLE: {there}'})"


def _vector_units(found: list[str]) -> list[str]:
    """Name the units that decide how fast bf16 is."""
    names = {
        "amx_bf16": "AMX (bf16 matrices: fast)",
        "avx512_bf16": "AVX-512 bf16",
        "avx512_f": "AVX-512",
        "avx2": "AVX2",
    }
    return [text for unit, text in names.items() if unit in found]
