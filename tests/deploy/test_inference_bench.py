"""The benchmark on a real run, short: every engine is measured or says why not."""

import json

import numpy as np
import pytest
import torch
from deploy_runs import own_probabilities

from convtrials.core.errors import ConvtrialsError
from convtrials.core.files import write_json
from convtrials.deploy.inference_bench import bench_inference
from convtrials.deploy.inference_engines import ENGINES
from convtrials.deploy.inference_table import markdown

QUICK = {"rounds": 2, "seconds": 0.02}


@pytest.fixture(scope="module")
def document(trained_runs):
    pytest.importorskip("onnxruntime")
    run, dataset = trained_runs["grey"]
    return bench_inference(run, dataset, batch_sizes=[1, 40], threads=1, **QUICK)


def test_every_engine_is_there(document):
    assert [engine["name"] for engine in document["engines"]] == list(ENGINES)
    for engine in document["engines"]:
        if not engine["available"]:
            assert engine["name"] == "onnx-bf16"
            assert "ONNX Runtime" in engine["reason"]
            assert "Conv" in engine["reason"]
            assert "/" not in engine["reason"]  # no path of this machine
            continue
        for timing in engine["batches"].values():
            assert 0 < timing["p50_ms"] <= timing["p95_ms"] <= timing["p99_ms"]
            assert timing["calls"] >= 4
            assert len(timing["p50_ms_by_round"]) == 2
        assert list(engine["batches"]) == ["1", "40"]


def test_accuracy_is_that_of_the_run_and_what_is_lost_is_what_is_measured(document, trained_runs):
    run, _ = trained_runs["grey"]
    expected, labels, _ = own_probabilities(run)
    engines = {engine["name"]: engine for engine in document["engines"]}
    assert document["reference_accuracy"] == run.result.test_accuracy
    for name in ("torch-fp32", "onnx-fp32"):
        assert engines[name]["accuracy"] == (expected.argmax(1) == labels).mean()
        assert engines[name]["changed"] == 0
    for name in ("torch-bf16", "torch-int8", "onnx-int8"):
        lost = 100 * (document["reference_accuracy"] - engines[name]["accuracy"])
        assert engines[name]["lost_points"] == pytest.approx(lost)
        assert abs(lost) < 3
        assert engines[name]["largest_difference"] > 1e-4


def test_it_says_what_was_measured_and_on_what(document, trained_runs, tmp_path):
    run, _ = trained_runs["grey"]
    assert document["dataset"]["test_images"] == 288
    assert document["dataset"]["calibration"] == {"split": "val", "images": 96}
    assert document["run"]["recipe"] == run.recipe.fingerprint()
    assert document["machine"]["packages"]["onnxruntime"]
    write_json(tmp_path / "bench.json", document)
    assert json.loads((tmp_path / "bench.json").read_text()) == document
    assert str(run.folder) not in json.dumps(document)
    assert "288 test images" in markdown(document)


def test_some_engines_some_images(trained_runs):
    run, dataset = trained_runs["colour"]
    before = torch.get_num_threads()
    found = bench_inference(
        run, dataset, engines=["torch-bf16"], batch_sizes=[3], threads=2, most_images=50, **QUICK
    )
    assert (found["settings"]["threads"], torch.get_num_threads()) == (2, before)
    assert [engine["name"] for engine in found["engines"]] == ["torch-bf16"]
    expected, labels, _ = own_probabilities(run)
    spaced = np.arange(50) * 288 // 50
    assert found["reference_accuracy"] == (expected.argmax(1) == labels)[spaced].mean()
    assert "--images 50 --engines torch-bf16`" in markdown(found)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"engines": ["tensorrt"]}, "engine 'tensorrt' does not exist: choose from torch-fp32, "),
        ({"batch_sizes": []}, "batch sizes none: 1 to 8 sizes"),
        ({"batch_sizes": [1, 0]}, "batch sizes 1, 0: 1 to 8 sizes of 1 to 65536 images"),
        ({"batch_sizes": [10**9]}, "1 to 65536"),
    ],
)
def test_bad_input_is_told(trained_runs, wrong, told):
    with pytest.raises(ConvtrialsError, match=told):
        bench_inference(*trained_runs["grey"], **{**QUICK, **wrong})
