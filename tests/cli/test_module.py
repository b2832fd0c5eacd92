"""``python -m convtrials`` is the command line."""

import subprocess
import sys
from pathlib import Path

from convtrials import __version__


def test_python_m_convtrials_is_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "convtrials"]
    shown = subprocess.run([*command, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stdout == f"convtrials {__version__}\n"
    wrong = subprocess.run([*command, "tarin"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
