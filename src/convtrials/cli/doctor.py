"""``convtrials doctor``: what this machine has, and what that means for a run."""

from typing import Annotated

import typer

#: Modules that an extra brings; absent is fine.
_OPTIONAL = {"tensorboard": "shows a run's curves: tensorboard --logdir RUN"}


def doctor(
    speed: Annotated[
        bool, typer.Option("--speed/--no-speed", help="Time a few training steps of AlexNet (seconds).")
    ] = True,
) -> None:
    """Say what this machine has: cores, bf16, GPU, packages, cache; and how fast it trains."""
    import importlib.util
    import shutil

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
    for name, version in found["packages"].items():
        table.add_row(name, version or "MISSING")
    for name, purpose in _OPTIONAL.items():
        there = importlib.util.find_spec(name) is not None
        table.add_row(name, ("installed" if there else "not installed") + f" ({purpose})")
    cache = cache_folder()
    free = shutil.disk_usage(next(path for path in (cache, *cache.parents) if path.exists())).free
    table.add_row("cache", f"{cache} ({free / 2**30:.0f} GiB free; CONVTRIALS_CACHE moves it)")
    console = Console()
    console.print(table)
    if speed:
        console.print("\nTraining AlexNet (full width, 28x28), a few steps each way:")
        with lines_to(lambda line: console.print("  " + line, highlight=False)):
            best = autotune_execution(StepProbe(Recipe(model="alexnet"), (28, 28, 1), 36))
        console.print(f"A run here would use: [bold]{best.describe()}[/bold]")


def _vector_units(found: list[str]) -> list[str]:
    """Name the units that decide how fast bf16 is."""
    names = {
        "amx_bf16": "AMX (bf16 matrices: fast)",
        "avx512_bf16": "AVX-512 bf16",
        "avx512_f": "AVX-512",
        "avx2": "AVX2",
    }
    return [text for unit, text in names.items() if unit in found]
