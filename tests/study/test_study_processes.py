"""Real processes: studies that are killed, shared, stopped, and whose workers die."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from convtrials.core.files import write_json
from convtrials.study.directory import StudyDirectory
from convtrials.training.engine.execution import Execution

STUDY = """\
dataset: {name: glyphs, samples_per_class: 20}
baseline: {model: alexnet, width: 0.125, epochs: 2, batch_size: 16, optimizer: {name: adam, lr: 2.0e-3}}
techniques:
  cosine:       {schedule: cosine}
  accumulation: {accumulate: 4}
seeds: 2
"""


def fixed(folder: Path) -> Path:
    """Fix how runs are computed, as a process leaves it that was killed while beginning.

    The probe may choose another memory format when the machine is busy, and with it other last bits.
    """
    folder.mkdir(parents=True)
    (folder / ".lock").touch()
    execution = Execution("cpu", "fp32", channels_last=True, threads=1)
    write_json(folder / "execution.json", {**execution.to_dict(), "workers": 2, "measured": []})
    return folder


def command(verb: str, *arguments: object, workers: int = 2) -> list[str]:
    given = [str(argument) for argument in arguments]
    pinned = ["--workers", str(workers), "--threads", "1", "--precision", "fp32", "--checkpoint-every", "0"]
    more = [*pinned, "--no-report"] if verb == "run" else []
    return [sys.executable, "-m", "convtrials.cli.main", "study", verb, *given, *more]


def begin(*arguments: object, workers: int = 2) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command("run", *arguments, workers=workers),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def finish(*arguments: object, workers: int = 2) -> str:
    """Run a study to its end; return what it printed."""
    process = begin(*arguments, workers=workers)
    output, _ = process.communicate(timeout=250)
    assert process.returncode == 0, output
    return output


def kill_tree(process: "subprocess.Popen[str]") -> None:
    """End the process and all workers at once, without a word."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        for one in (process, *family):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    process.communicate()


def wait_until(true: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.02)


def verdicts(folder: Path) -> str:
    return (folder / "verdicts.json").read_text()


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="module")
def unbroken(study_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same study, never disturbed."""
    folder = fixed(tmp_path_factory.mktemp("unbroken") / "study")
    finish(study_file, "--out", folder)
    return folder


def test_killed_at_random_moments_it_says_the_same(study_file: Path, unbroken: Path, tmp_path: Path) -> None:
    folder, draws = fixed(tmp_path / "study"), random.Random(3)
    for _ in range(4):
        process = begin(study_file, "--out", folder)
        time.sleep(draws.uniform(2.0, 7.0))
        kill_tree(process)
    finish(study_file, "--out", folder)
    assert verdicts(folder) == verdicts(unbroken)
    assert not list(folder.glob("live/*.json"))


def test_killed_in_training_it_goes_on_from_the_checkpoint(
    study_file: Path, unbroken: Path, tmp_path: Path
) -> None:
    folder = fixed(tmp_path / "study")
    process = begin(study_file, "--out", folder)
    wait_until(lambda: any(folder.glob("runs/*/*/checkpoint.safetensors")))
    kill_tree(process)
    begun = list(folder.glob("runs/*/*/checkpoint.safetensors"))
    assert begun
    before = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/*/run.json")}
    output = finish(folder)  # the directory alone is enough
    assert verdicts(folder) == verdicts(unbroken)
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())  # begun once
    assert "complete" in output


def test_finished_runs_are_never_run_again(study_file: Path, unbroken: Path) -> None:
    results = {path: path.stat().st_mtime_ns for path in unbroken.glob("runs/*/*/result.json")}
    assert len(results) == 6
    finish(study_file, "--out", unbroken)
    assert results == {path: path.stat().st_mtime_ns for path in unbroken.glob("runs/*/*/result.json")}
    assert len(list(unbroken.glob("logs/*"))) == 2  # no worker was started for nothing


def test_two_processes_share_the_work(study_file: Path, unbroken: Path, tmp_path: Path) -> None:
    folder = fixed(tmp_path / "study")
    both = [begin(study_file, "--out", folder, workers=1) for _ in range(2)]
    outputs = [process.communicate(timeout=250)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert verdicts(folder) == verdicts(unbroken)
    ended = [re.findall(r"^(.+, seed \d): finished", output, re.MULTILINE) for output in outputs]
    assert sorted(ended[0] + ended[1]) == sorted({*ended[0], *ended[1]})  # no run twice
    assert len(ended[0] + ended[1]) == 6


def test_a_dead_owner_leaves_its_runs_to_others(study_file: Path, unbroken: Path, tmp_path: Path) -> None:
    folder = fixed(tmp_path / "study")
    first = begin(study_file, "--out", folder, workers=1)
    wait_until(lambda: any(folder.glob("live/*.json")))
    second = begin(study_file, "--out", folder, workers=1)
    kill_tree(first)
    output, _ = second.communicate(timeout=250)
    assert second.returncode == 0, output
    assert verdicts(folder) == verdicts(unbroken)


def test_a_worker_that_is_killed_is_replaced(study_file: Path, unbroken: Path, tmp_path: Path) -> None:
    folder = fixed(tmp_path / "study")
    process = begin(study_file, "--out", folder)
    wait_until(lambda: any(folder.glob("live/*.json")))
    note = next(folder.glob("live/*.json"))
    psutil.Process(json.loads(note.read_text())["pid"]).kill()
    output, _ = process.communicate(timeout=250)
    assert process.returncode == 0, output
    how = "was ended by SIGKILL" if os.name == "posix" else "ended with code"
    assert f"failed: its process {how}" in output
    assert verdicts(folder) == verdicts(unbroken)


def test_a_parent_that_dies_alone_takes_its_workers_with_it(
    study_file: Path, unbroken: Path, tmp_path: Path
) -> None:
    folder = fixed(tmp_path / "study")
    process = begin(study_file, "--out", folder)
    wait_until(lambda: any(folder.glob("live/*.json")))
    pids = [json.loads(note.read_text())["pid"] for note in folder.glob("live/*.json")]
    process.kill()
    process.wait()
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), seconds=30)
    assert any(folder.glob("runs/*/*/checkpoint.safetensors"))  # they wrote one before they left
    finish(folder)
    assert verdicts(folder) == verdicts(unbroken)


@pytest.mark.posix
def test_ctrl_c_stops_with_checkpoints_and_says_how_to_go_on(
    study_file: Path, unbroken: Path, tmp_path: Path
) -> None:
    folder = fixed(tmp_path / "study")
    process = begin(study_file, "--out", folder)
    wait_until(lambda: any(folder.glob("live/*.json")))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "the same command goes on" in output
    assert "Traceback" not in output
    state = subprocess.run(command("status", folder), capture_output=True, text=True, check=True).stdout
    assert "of 6 runs" in state
    assert "baseline" in state
    finish(study_file, "--out", folder)
    assert verdicts(folder) == verdicts(unbroken)


def test_a_run_that_cannot_be_done_is_reported_and_the_others_finish(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n\n\n"
        "def small(classes, channels, width=1.0, **rest):\n"
        "    if width > 1:\n"
        "        raise ValueError('too wide for me')\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * channels, classes))\n"
    )
    (tmp_path / "study.yaml").write_text(
        "dataset: {name: glyphs, samples_per_class: 20}\n"
        "baseline: {model: 'mine:small', epochs: 1}\n"
        "techniques: {wide: {width: 2}, slow: {optimizer.lr: 1.0e-4}}\n"
        "seeds: 2\n"
    )
    done = subprocess.run(
        command("run", "study.yaml", "--out", "study"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 3, done.stderr
    assert "wide, seed 0: failed: " in done.stderr
    assert "too wide for me" in done.stderr
    assert "wide is failed: of 2 runs, some could not be run" in done.stdout.replace("\n", " ")
    study = StudyDirectory(tmp_path / "study")
    document = json.loads(verdicts(study.folder))
    assert document["techniques"][0]["verdict"] == "failed"
    assert document["techniques"][1]["status"] == ["finished", "finished"]
    assert len(study.failures(study.run(study.plan.arms[1], 0)).errors) == 2


def test_workers_find_an_optimizer_of_ones_own_and_a_wrong_one_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "own_optimizers.py").write_text("from torch.optim import SGD\nclass Own(SGD): ...\n")
    text = """\
dataset: {name: glyphs, samples_per_class: 10}
baseline: {model: alexnet-lite, width: 0.125, epochs: 1, batch_size: 16}
techniques: {own: {optimizer: {name: "own_optimizers:Own", lr: 0.01}}}
seeds: 2
"""
    (tmp_path / "own" / "study.yaml").write_text(text)
    (tmp_path / "own" / "wrong.yaml").write_text(text.replace("lr: 0.01", "lr: 0.01, options: {rho: 1}"))
    wrong = subprocess.run(
        command("run", "wrong.yaml"), cwd=tmp_path / "own", capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    told = "error: own: optimizer: own_optimizers:Own cannot be called as (params, lr=..., rho=...)"
    assert wrong.stderr.splitlines()[-1].startswith(told)
    out = tmp_path / "study"
    done = subprocess.run(
        command("run", "study.yaml", "--out", out),
        cwd=tmp_path / "own",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    study = StudyDirectory(out)
    runs = [study.run(study.plan.arm("own"), position) for position in range(2)]
    assert all(run.result.status == "finished" for run in runs)
    assert all(run.identity.to_dict()["optimizer source"] for run in runs)
    shutil.rmtree(runs[1].folder)  # to be trained again, from another folder
    done = subprocess.run(command("run", out), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert runs[1].result.status == "finished"


def test_the_report_and_its_files_come_from_the_directory_alone(unbroken: Path, tmp_path: Path) -> None:
    for name in ("report.html", "runs.csv", "costs.json", "verdicts.json"):
        (unbroken / name).unlink(missing_ok=True)
    done = subprocess.run(command("report", unbroken), capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    page = (unbroken / "report.html").read_text(encoding="utf-8")
    assert "accumulation" in page
    assert "<script" not in page
    assert len((unbroken / "runs.csv").read_text().splitlines()) == 7
    assert (unbroken / "figures" / "forest.png").is_file()
    assert json.loads((unbroken / "costs.json").read_text())["total"]["runs"] == 6
    again = tmp_path / "again"
    finish(unbroken / "plan.json", "--out", again)
    assert verdicts(again) == verdicts(unbroken)


def test_a_plan_changed_by_hand_ends_with_two_lines_and_code_2_until_it_is_on_record(
    unbroken: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(unbroken, tmp_path / "study"))
    text = (folder / "plan.json").read_text()
    (folder / "plan.json").write_text(text.replace('"margin": 0.005', '"margin": 0.49'))
    for verb, *arguments in (
        ("status", folder),
        ("report", folder),
        ("run", folder / "plan.json", "--out", tmp_path / "again"),
    ):
        done = subprocess.run(command(verb, *arguments), capture_output=True, text=True, timeout=250)
        assert done.returncode == 2
        assert f"{folder}/plan.json: is not the plan that plan-log.jsonl ends with" in done.stderr
        assert "margin 0.005 -> 0.49" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 2
    assert not (tmp_path / "again").exists()
    assert verdicts(folder) == verdicts(unbroken)
    assert "margin: 0.005 -> 0.49" in finish(folder)
    assert json.loads((folder / "plan-log.jsonl").read_text().splitlines()[-1])["finished_runs"] == 6
    done = subprocess.run(command("status", folder), capture_output=True, text=True, timeout=250)
    told = " ".join(done.stdout.split())
    assert "note: On record of the plan, after 6 ended runs: margin: 0.005 -> 0.49" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing.yaml"], "nothing.yaml: cannot be read"),
        (["."], "no plan.json here: not a study directory"),
    ],
)
def test_bad_input_ends_with_a_line_and_code_2(tmp_path: Path, arguments: list[str], told: str) -> None:
    done = subprocess.run(command("run", *arguments), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
