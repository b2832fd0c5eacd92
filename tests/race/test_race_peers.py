"""The peers' scripts, where their environments have been made: ``python -m benchmarks.race --peers all`` makes them.

CONVTRIALS_BENCH names the folder, for the tests as for the command.
"""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.race.contestant import Contestant
from benchmarks.race.environments import is_made, requirement_file
from benchmarks.race.lineup import PEER_ENVIRONMENTS, peer_contestants
from benchmarks.race.network import parameter_count
from benchmarks.race.prepare import write_data
from benchmarks.race.race import RaceRules, race
from convtrials.core.progress import progress_task
from convtrials.data.dataset import Dataset

ENVIRONMENTS = Path(os.environ.get("CONVTRIALS_BENCH") or "nowhere")


@pytest.mark.parametrize("peer", PEER_ENVIRONMENTS)
def test_a_peer_trains_the_same_network(
    peer: str, make_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    environment = PEER_ENVIRONMENTS[peer]
    if not is_made(ENVIRONMENTS, environment, requirement_file(environment)):
        pytest.skip(f"no environment for {environment} (CONVTRIALS_BENCH names where environments are)")
    data = make_dataset(per_class=130, size=28)
    network = write_data(tmp_path / "data", data, model="vgg11", width=0.05, batch_size=64, files=True)
    found = peer_contestants((peer,), tmp_path / "data", 64, ENVIRONMENTS)
    settings = {
        "keras": {"policy": "mixed_bfloat16", "jit_compile": False, "steps_per_execution": 1},
        "lightning": {
            "precision": "bf16-mixed",
            "channels_last": True,
            "fused": True,
            "workers": 0,
            "compile": False,
            "threads": 1,
        },
    }

    def pinned(one: Contestant) -> Contestant:
        """Leave the trials out: they take minutes."""
        extra = ("--settings", json.dumps(settings[peer])) if "--tuned" in one.command else ()
        return Contestant(**{**vars(one), "command": (*one.command, *extra)})

    rules = RaceRules(2, {"steps": 3}, parameters=parameter_count(network), settle_seconds=0)
    with progress_task("peers", None) as task:
        rows = race([pinned(one) for one in found if one.group == "alone"], rules, tmp_path / "race", task)
    assert rows
    for row in rows:
        assert row.why_not == ""
        assert "python" in row.facts["versions"]
        for one in row.rounds:
            assert one["images"] == 3 * (128 if peer == "notebook" else 64)
            assert 0 < one["loss"] < 2 * math.log(4) + 3
