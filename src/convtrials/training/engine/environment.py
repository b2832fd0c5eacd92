"""What a run ran on: versions, processor, commit."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from convtrials._version import __version__
from convtrials.training.engine.device import gpu_name
from convtrials.training.run_documents import Environment

#: Packages whose version can change a result.
PACKAGES = (
    "torch",
    "numpy",
    "lightning-fabric",
    "safetensors",
    "pillow",
    "scikit-learn",
    "scipy",
    "matplotlib",
)

#: Units of a processor that decide how fast bf16 and int8 are, and the last bits of a result.
VECTOR_UNITS = (
    "amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni", "avx_vnni", "avx512_f", "avx2",
)  # fmt: skip


def describe_environment(device: str = "cpu") -> Environment:
    """Return versions, processor, cores, the git commit, and the GPU that a device is or that is here."""
    import torch

    return Environment(
        convtrials=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        processor=processor_name(),
        cores=os.cpu_count(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        vector_units=tuple(vector_units()),
        gpu=gpu_name(device),
        packages={name: _version(name) for name in PACKAGES},
        git_commit=git_commit(Path(__file__).parent),
    )


def vector_units() -> list[str]:
    """Return which of `VECTOR_UNITS` the processor has."""
    import torch

    if hasattr(torch.cpu, "get_capabilities"):
        has = torch.cpu.get_capabilities()
    else:  # older versions of torch: what Linux says, which spells one of them in another way
        has = {flag.replace("avx512f", "avx512_f"): True for flag in _linux_flags()}
    return [unit for unit in VECTOR_UNITS if has.get(unit)]


def _linux_flags() -> list[str]:
    """Return what the processor can do in the words of Linux, such as ``avx2``; nothing on other systems."""
    return _cpuinfo("flags").split()


def processor_name() -> str:
    """Return the processor's name as the system gives it."""
    with suppress(OSError, ValueError, ImportError, subprocess.SubprocessError):
        if name := _NAMED_BY.get(sys.platform, _of_linux)().strip():
            return name
    return platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str:
    """Return what Linux says of the first processor under a key; empty where it says nothing."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(key):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""


def _of_linux() -> str:
    return _cpuinfo("model name")


def _of_macos() -> str:
    command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=10, check=True).stdout


def _of_windows() -> str:
    winreg: Any = import_module("winreg")
    place = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
        return str(winreg.QueryValueEx(key, "ProcessorNameString")[0])


#: sys.platform -> who knows the processor's name; elsewhere as on Linux.
_NAMED_BY: dict[str, Callable[[], str]] = {"darwin": _of_macos, "win32": _of_windows}


def git_commit(folder: Path) -> str | None:
    """Return the commit checked out around ``folder``, marked ``+changes`` if the tree differs; None outside git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=10,
        check=True,
    )
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
