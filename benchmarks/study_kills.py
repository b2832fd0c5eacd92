"""Kill a study's whole process tree at random moments, go on, and compare with one never disturbed.

    python benchmarks/study_kills.py studies/quickstart.yaml --kills 10

Every kill is SIGKILL to the process group, some seconds after the study was started or started again. At the end
``verdicts.json`` of both studies must be equal byte for byte.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def command(study: Path, folder: Path) -> list[str]:
    words = ["study", "run", str(study), "--out", str(folder), "--no-report", "--checkpoint-every", "5"]
    return [sys.executable, "-m", "convtrials.cli.main", *words]


def finish(study: Path, folder: Path) -> float:
    """Run a study to its end; return seconds."""
    started = time.perf_counter()
    subprocess.run(command(study, folder), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def killed(study: Path, folder: Path, after: float) -> bool:
    """Start or go on, and kill everything after some seconds; False if it had ended by then."""
    process = subprocess.Popen(
        command(study, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=after)
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--longest", type=float, default=40, help="seconds at most between start and kill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keep both studies here; by default a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        seconds = finish(options.study, folder / "unbroken")
        print(f"never disturbed: {seconds:.0f} s", flush=True)
        (folder / "killed").mkdir(parents=True, exist_ok=True)
        # The same arithmetic, however busy the machine is now.
        execution = (folder / "unbroken" / "execution.json").read_bytes()
        (folder / "killed" / ".lock").touch()
        (folder / "killed" / "execution.json").write_bytes(execution)
        draws = random.Random(options.seed)
        kills = 0
        while kills < options.kills:
            after = draws.uniform(3, options.longest)
            if not killed(options.study, folder / "killed", after):
                break
            kills += 1
            ended = len(list((folder / "killed").glob("runs/*/*/result.json")))
            print(f"kill {kills} after {after:.1f} s: {ended} runs had ended", flush=True)
        finish(options.study, folder / "killed")
        same = [(folder / name / "verdicts.json").read_bytes() for name in ("unbroken", "killed")]
        print(f"{kills} kills; verdicts.json {'equal byte for byte' if same[0] == same[1] else 'DIFFERENT'}")
        sys.exit(same[0] != same[1])


if __name__ == "__main__":
    main()
