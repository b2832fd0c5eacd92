"""The race, with real processes that train nothing: who misbehaves is out, and the others go on."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.race.contestant import Contestant
from benchmarks.race.race import RaceRules, Row, in_turn, race

FAKE = Path(__file__).parent / "fake_contestant.py"

#: Three steps a round, and little patience.
RULES = RaceRules(rounds=3, round={"steps": 3}, parameters=7, start_limit=10, round_limit=2, settle_seconds=0)


class Log:
    """A task that remembers."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.done = 0.0
        self.stop_at = stop_at

    def advance(self, amount: float = 1) -> None:
        self.done += amount
        if self.done == self.stop_at:
            raise KeyboardInterrupt

    def show(self, text: str) -> None:
        pass


def fake(behaviour: str, folder: Path, **options: object) -> Contestant:
    folder.mkdir(exist_ok=True)
    command = (sys.executable, str(FAKE), behaviour, str(folder))
    return Contestant(behaviour, behaviour, "alone", command, **options)  # type: ignore[arg-type]


def started(folder: Path) -> list[int]:
    """Process ids of all fakes that ran."""
    return [int(path.stem.rpartition("-")[2]) for path in folder.glob("*-*.json")]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_the_end_of(file: Path) -> None:
    """Wait until the process whose id is in a file has ended."""
    deadline = time.monotonic() + 5
    while alive(int(file.read_text())):
        assert time.monotonic() < deadline, "what a contestant has started was left running"
        time.sleep(0.02)


@pytest.fixture
def fakes(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "fakes"
    for pid in started(tmp_path / "fakes"):
        assert not alive(pid), "a contestant was left running"


def test_who_misbehaves_is_out_and_says_why(
    fakes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = {
        "good": "",
        "crash": "ended with code 1: RuntimeError: no such kernel",
        "crash-later": "ended with code 1: RuntimeError: out of memory",
        "hang-later": "hung: no answer within 2.",
        "garbage": "its answer cannot be read: b'hello",
        "other-network": "trains another network: 8 parameters instead of 7",
        "missing": "not installed",
        "no-program": "cannot be started: [Errno 2]",
    }
    contestants = [fake(name, fakes) for name in expected if name not in ("missing", "no-program")]
    contestants.append(fake("missing", fakes, missing="not installed"))
    contestants.append(Contestant("no-program", "no program", "alone", (str(tmp_path / "none"),)))
    log = Log()
    rows = race(contestants, RULES, tmp_path / "race", log)
    told = {row.contestant.name: row.why_not for row in rows}
    assert list(told) == [contestant.name for contestant in contestants]
    for name, why in expected.items():
        assert told[name].startswith(why), told[name]
        assert (told[name] == "") == (why == "")
    assert log.done == len(contestants) * (1 + RULES.rounds)
    assert sum("out of memory" in line for line in caplog.messages) == 1
    assert told["hang-later"].endswith(" s in round 2")


@pytest.mark.parametrize("behaviour", ["hang", "hang-in-warm-up"])
def test_a_start_that_hangs_is_given_up(
    behaviour: str, fakes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    impatient = RaceRules(rounds=1, round={"steps": 1}, start_limit=3, settle_seconds=0)
    log = Log()
    hung, good = race([fake(behaviour, fakes), fake("good", fakes)], impatient, tmp_path / "race", log)
    assert hung.why_not == "hung: no answer within 3 s while starting"
    assert caplog.messages[0] == f"{behaviour}: {hung.why_not}"
    assert (good.why_not, len(good.rounds)) == ("", 1)


def test_who_hangs_is_ended_with_all_that_it_has_started(fakes: Path, tmp_path: Path) -> None:
    rules = RaceRules(rounds=3, round={"steps": 3}, round_limit=0.5, settle_seconds=0)
    (row,) = race([fake("stubborn", fakes)], rules, tmp_path / "race", Log())
    assert row.why_not.startswith("hung: no answer within ")
    assert len(row.rounds) == 1
    wait_for_the_end_of(fakes / "child-of-stubborn")


def test_a_process_can_be_forked_while_the_listener_waits(fakes: Path, tmp_path: Path) -> None:
    (row,) = race([fake("forks", fakes)], RULES, tmp_path / "race", Log())
    assert row.why_not == ""
    assert [one["loss"] for one in row.rounds] == [5, 8, 11]


def test_patience_follows_the_speed_of_the_first_steps() -> None:
    in_steps = RaceRules(1, {"steps": 6}, round_limit=100)
    in_seconds = RaceRules(1, {"seconds": 4.0}, round_limit=100)
    assert in_steps.patience(0) == 100
    assert in_steps.patience(2.0) == 100 + 10 * 6 * 2
    assert in_seconds.patience(0.5) == 100 + 4 + 10 * 2 * 0.5  # two steps at least


@pytest.mark.parametrize("said", ["null", '"soon"', "-1", "NaN", "Infinity"])
def test_a_speed_that_makes_no_sense_buys_no_time(said: str, tmp_path: Path) -> None:
    code = (
        f'import sys; print(\'{{"parameters": 7, "step_seconds": {said}}}\', flush=True); '
        "sys.stdin.readline(); sys.stdin.readline()"
    )
    rules = RaceRules(rounds=1, round={"steps": 1}, round_limit=0.3, settle_seconds=0)
    contestant = Contestant("odd", "odd", "alone", (sys.executable, "-c", code))
    (row,) = race([contestant], rules, tmp_path / "race", Log())
    assert row.why_not == "hung: no answer within 0.3 s in round 1"


def test_every_step_after_the_warm_ones_is_in_a_round(fakes: Path, tmp_path: Path) -> None:
    (row,) = race([fake("good", fakes)], RULES, tmp_path / "race", Log())
    assert row.facts["choice"] == "good"
    assert [one["loss"] for one in row.rounds] == [5, 8, 11]  # two warm steps, then three a round
    for one in row.rounds:
        assert one["images"] == 30
        assert one["seconds"] >= 0.03
        assert one["images_per_second"] == pytest.approx(30 / one["seconds"])
        assert one["cpu_seconds"] >= 0


def test_a_round_in_seconds(fakes: Path, tmp_path: Path) -> None:
    rules = RaceRules(rounds=1, round={"seconds": 0.2}, settle_seconds=0)
    (row,) = race([fake("good", fakes)], rules, tmp_path / "race", Log())
    (one,) = row.rounds
    assert 0.2 <= one["seconds"] < 1
    assert one["images"] == 10 * (one["loss"] - 2)


def test_two_processes_train_at_the_same_time_and_share_settings(fakes: Path, tmp_path: Path) -> None:
    pair = fake("good", fakes, processes=2)
    rules = RaceRules(rounds=1, round={"steps": 40}, settle_seconds=0)
    began = time.perf_counter()
    (row,) = race([pair], rules, tmp_path / "race", Log())
    (one,) = row.rounds
    assert one["images"] == 800
    assert one["images_per_second"] > 1.5 * 400 / one["seconds"]
    assert time.perf_counter() - began < 10
    commands = [json.loads(path.read_text()) for path in fakes.glob("*.json")]
    assert sorted(command[3:] for command in commands) == [[], ["--settings", '{"answer": 42}']]


def test_a_stop_ends_everything(fakes: Path, tmp_path: Path) -> None:
    contestants = [fake("good", fakes), fake("with-child", fakes)]
    with pytest.raises(KeyboardInterrupt):
        race(contestants, RULES, tmp_path / "race", Log(stop_at=3))
    assert len(started(fakes)) == 2
    wait_for_the_end_of(fakes / "child-of-with-child")


def test_a_contestant_leaves_when_nobody_asks_any_more(tmp_path: Path) -> None:
    import subprocess

    process = subprocess.Popen(
        [sys.executable, str(FAKE), "good", str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["ready"] is True
    process.stdin.close()
    assert process.wait(timeout=10) == 0
    process.stdout.close()


def test_everybody_begins_a_round_and_follows_different_neighbours() -> None:
    rows = [Row(Contestant(name, name, "alone", ())) for name in "abcd"]
    orders = ["".join(row.contestant.name for row in in_turn(rows, number)) for number in range(4)]
    assert orders == ["abcd", "badc", "cdab", "dcba"]
    assert in_turn([], 3) == []


def test_settings_of_this_process_do_not_reach_a_contestant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code = (
        "import json, os, sys; names = ('OMP_NUM_THREADS', 'PYTHONPATH'); "
        "print(json.dumps({'parameters': 7, 'choice': str([os.environ.get(name) for name in names])}), flush=True); "
        "sys.stdin.readline()"
    )
    given = [Contestant(str(n), "", "alone", (sys.executable, "-c", code), threads=n) for n in (None, 3)]
    rules = RaceRules(rounds=0, round={"steps": 1})
    rows = race(given, rules, tmp_path / "race", Log())
    assert [row.facts["choice"] for row in rows] == ["[None, None]", "['3', None]"]
    assert os.environ["OMP_NUM_THREADS"] == "1"
