"""Optional packages: which extra of convtrials brings them, what is there, and how to install what is not."""

import re
from dataclasses import dataclass
from importlib import metadata

#: For those who work on convtrials itself.
FOR_DEVELOPERS = ("dev", "docs")

_REQUIREMENT = re.compile(r"""(?P<what>[^;]+?)\s*;.*\bextra\s*==\s*["'](?P<extra>[\w.-]+)["']""")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Package:
    """A package of an extra: its name, what pip takes for it, and the version that is installed, if any."""

    name: str
    requirement: str
    version: str | None


def extras() -> dict[str, list[Package]]:
    """Return the packages of each extra, as the installed convtrials names them; nothing where it is not installed."""
    found: dict[str, list[Package]] = {}
    for line in _requirements():
        if match := _REQUIREMENT.fullmatch(line):
            what = match["what"].strip()
            name = _NAME.match(what)
            if name and name[0] != "convtrials" and match["extra"] not in FOR_DEVELOPERS:
                found.setdefault(match["extra"], []).append(
                    Package(name[0], what, installed_version(name[0]))
                )
    return found


def how_to_install(extra: str) -> str:
    """Return a command that installs what an extra brings, from wherever convtrials itself was installed."""
    packages = extras().get(extra)
    if packages:
        return "pip install " + " ".join(f"'{one.requirement}'" for one in packages)
    return f"pip install '.[{extra}]' in a clone of convtrials"


def installed_version(package: str) -> str | None:
    """Return the version of a package, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _requirements() -> list[str]:
    try:
        return metadata.requires("convtrials") or []
    except metadata.PackageNotFoundError:
        return []
