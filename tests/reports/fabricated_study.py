"""A study directory as `convtrials study run` leaves it, made without training.

`write_runs` makes run directories with lifelike predictions, `write_documents` judges whatever runs there are with a
plain two-sample formula (good enough to draw; the real statistics have their own tests) and writes the JSON files.
"""

import json
from math import erf, sqrt
from pathlib import Path

import numpy as np
from synthetic_run import CHARACTERS, lifelike_probabilities

from convtrials.study.plan.plan_log import fingerprint_of

METRICS = ("accuracy", "macro_f1", "macro_auc", "log_loss", "calibration_error")

#: Techniques of the usual study: what they change, and how much they sharpen (or blunt) the network.
TECHNIQUES = {
    "cosine schedule": ({"schedule": "cosine"}, 0.6),
    "gelu": ({"activation": "gelu"}, 0.02),
    "dropout 0.7": ({"dropout": 0.7}, -0.6),
}


def class_names(count):
    return list(CHARACTERS[:count]) if count <= len(CHARACTERS) else [f"class {k}" for k in range(count)]


def write_study(
    folder: Path,
    techniques=None,
    *,
    seeds=3,
    classes=6,
    images=420,
    epochs=4,
    metric="accuracy",
    lost=None,
    **documents,
) -> Path:
    """Write a whole study; `lost` maps (technique, place in its seeds) to diverged, failed or missing."""
    chosen = TECHNIQUES if techniques is None else techniques
    arms = plan_arms({name: changes for name, (changes, _) in chosen.items()})
    gains = [0.0, *(gain for _, gain in chosen.values())]
    lost = lost or {}
    for number, (arm, gain) in enumerate(zip(arms, gains, strict=True)):
        for k in range(seeds):
            state = lost.get((arm["name"], k), "finished")
            place = folder / "runs" / arm["slug"] / f"seed{arm['seed_offset'] + k}"
            if state != "missing":
                write_run(place, k + 50 * number, gain, classes, images, epochs, state)
    names = documents.pop("names", class_names(classes))
    write_documents(folder, arms, seeds=seeds, names=names, metric=metric, lost=lost, **documents)
    return folder


def plan_arms(changes, recipes=None):
    base = {"model": "alexnet", "width": 0.25, "dropout": 0.5, "activation": "relu", "accumulate": 1,
            "optimizer": {"name": "adam", "lr": 0.001}, "schedule": {"name": "constant"}, "epochs": 4.0}  # fmt: skip
    arms = [{"name": "baseline", "slug": "baseline", "changes": {}, "recipe": base, "seed_offset": 0}]
    for number, (name, change) in enumerate(changes.items(), 1):
        recipe = {**base, **change}
        if isinstance(recipe["schedule"], str):
            recipe["schedule"] = {"name": recipe["schedule"]}
        words = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower())
        arms.append({"name": name, "slug": f"{words[:40]}-{number:06x}", "changes": change, "recipe": recipe,
                     "seed_offset": 0})  # fmt: skip
    return arms


def write_run(place, draw, gain, classes, images, epochs, state="finished"):
    place.mkdir(parents=True)
    history = [
        {"epoch": n, "step": 8 * n, "val_accuracy": 0.9 + 0.02 * gain - 0.5 * 2.0 ** -n + 0.002 * ((draw * 7 + n) % 5),
         "val_loss": 0.3 - 0.05 * gain + 2.0 ** -n + 0.004 * ((draw * 3 + n) % 5), "train_loss": 2.0 ** -n,
         "learning_rate": 1e-3, "images_per_second": 4000.0, "seconds": 18.0 * n, "cpu_seconds": 17.5 * n}
        for n in range(1, epochs + 1)
    ]  # fmt: skip
    (place / "history.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in history))
    if state == "failed":
        return
    result = {"status": state, "seed": draw, "epochs": epochs, "steps": 8 * epochs, "train_seconds": 18.0 * epochs,
              "cpu_seconds": 17.5 * epochs}  # fmt: skip
    if state == "diverged":
        result["diverged_at"] = 13
    else:
        result["val_accuracy"] = history[-1]["val_accuracy"]
        labels = np.arange(images) % classes
        probabilities = lifelike_probabilities(labels, classes, seed=draw, sharpness=2.5)
        probabilities = _sharpened(probabilities, labels, gain, draw)
        np.savez(place / "predictions-test.npz", probabilities=probabilities, labels=labels,
                 indices=np.arange(images) + 1000)  # fmt: skip
    (place / "result.json").write_text(json.dumps(result))


def _sharpened(probabilities, labels, gain, draw):
    """Move some images to (or away from) the right class."""
    hit = np.random.default_rng(draw + 999).random(len(labels)) < abs(gain) / 4
    rows = np.flatnonzero(hit)
    moved = probabilities.copy()
    best = labels if gain > 0 else (labels + 2) % probabilities.shape[1]
    moved[rows] = 0.1 / (probabilities.shape[1] - 1)
    moved[rows, best[rows]] = 0.9
    return (moved / moved.sum(axis=1, keepdims=True)).astype(np.float32)


def write_documents(
    folder, arms, *, seeds, names, metric="accuracy", lost=None, complete=True, margin=None, looks=None, plan_log=None,
    costs=True, unit="image", dataset_name="characters", execution=None, environment=None, settled=lambda name: True,
):  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    margin = margin or {"accuracy": 0.01, "log_loss": 0.02}[metric]
    judged = [_judge_arm(folder, arm, seeds, metric, lost or {}) for arm in arms]
    reference, images = (
        judged[0],
        max([0, *(len(one["images"]) for one in judged if one["images"] is not None)]),
    )
    plan = {
        "format": 1, "metric": metric, "margin": margin, "alpha": 0.05,
        "looks": looks or [seeds], "seeds": {"min": (looks or [seeds])[0], "max": (looks or [seeds])[-1]},
        "dataset": {"name": dataset_name}, "dataset_fingerprint": "ab" * 16, "arms": arms,
    }  # fmt: skip
    plan["fingerprint"] = fingerprint_of(plan)
    techniques = [
        _technique(one, reference, margin, len(arms) - 1, metric, complete or settled(one["name"]))
        for one in judged[1:]
    ]
    verdicts = {
        "format": 1, "plan": plan["fingerprint"], "complete": complete, "metric": metric, "margin": margin,
        "alpha": 0.05, "looks": plan["looks"], "unit": unit, "test_images": images,
        "test_units": images if unit == "image" else images // 30,
        "single_runs": "With one run of each, some comparisons would have misled.",
        "baseline": {"name": "baseline", "slug": "baseline", "seeds": reference["run_seeds"],
                     **{key: reference[key] for key in ("scores", "status", "mean", "also")}},
        "techniques": techniques,
    }  # fmt: skip
    dataset = {
        "name": dataset_name, "source": "some folder/of images", "options": {"split_seed": 0},
        "fingerprint": "ab" * 16, "counts": {"train": 5000, "val": 900, "test": images}, "class_names": list(names),
        "image_shape": [28, 28, 1], "mean": [0.2], "std": [0.3], "pack": None,
    }  # fmt: skip
    write = {
        "plan": plan, "verdicts": verdicts, "dataset": dataset,
        "execution": execution or {"device": "cpu", "precision": "bf16", "channels_last": True, "threads": 1,
                                   "workers": 2, "measured": [{"workers": 1, "threads": 2, "images_per_second": 3200.5},
                                                              {"workers": 2, "threads": 1, "images_per_second": 4120}]},
        "environment": environment or {"convtrials": "0.1.0", "python": "3.11.7", "cores": 2, "git_commit": None,
                                       "packages": {"torch": "2.13.0"}},
    }  # fmt: skip
    if costs:
        write["costs"] = _costs(folder, judged)
    for name, document in write.items():
        (folder / f"{name}.json").write_text(json.dumps(document, ensure_ascii=False))
    log = plan_log or [{"time": "2026-03-01T09:30:00+00:00", "finished_runs": 0, "changes": []}]
    log = [{"fingerprint": plan["fingerprint"], **line} for line in log]
    (folder / "plan-log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    (folder / "study.yaml").write_text("dataset: {name: characters}\n")


def _judge_arm(folder, arm, seeds, metric, lost):
    run_seeds, scores, status, per_image, also = [], [], [], [], []
    for k in range(seeds):
        seed = arm["seed_offset"] + k
        place = folder / "runs" / arm["slug"] / f"seed{seed}"
        state = lost.get((arm["name"], k), "finished")
        if state == "missing" or (state == "finished" and not (place / "result.json").is_file()):
            break
        run_seeds.append(seed)
        status.append(state)
        found = np.load(place / "predictions-test.npz") if state == "finished" else None
        scores.append(None)
        if found is not None:
            outcome = _outcomes(found["probabilities"].astype(float), found["labels"], metric)
            per_image.append(outcome)
            scores[-1] = abs(float(outcome.mean()))
            also.append(_also(found["probabilities"].astype(float), found["labels"]))
    known = [score for score in scores if score is not None]
    return {
        "name": arm["name"], "slug": arm["slug"], "run_seeds": run_seeds, "scores": scores, "status": status,
        "mean": float(np.mean(known)) if known else None, "images": np.mean(per_image, axis=0) if per_image else None,
        "runs": np.array([image.mean() for image in per_image]),
        "also": {key: float(np.mean([one[key] for one in also])) for key in METRICS} if also else {},
    }  # fmt: skip


def _outcomes(probabilities, labels, metric):
    """Higher is better."""
    if metric == "accuracy":
        return (probabilities.argmax(axis=1) == labels).astype(float)
    return np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1))


def _also(probabilities, labels):
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    return {"accuracy": accuracy, "macro_f1": accuracy - 0.003, "macro_auc": 0.99 + accuracy / 200,
            "log_loss": -float(_outcomes(probabilities, labels, "log_loss").mean()),
            "calibration_error": float(abs(probabilities.max(axis=1).mean() - accuracy))}  # fmt: skip


def _technique(one, reference, margin, count, metric, final):
    result = {
        "name": one["name"], "verdict": "inconclusive", "final": final, "look": None, "seeds": len(one["run_seeds"]),
        **dict.fromkeys(("difference", "low", "high", "standard_error", "degrees_of_freedom", "p_value", "p_adjusted",
                         "fixed_low", "fixed_high", "fixed_verdict", "beyond_margin", "reason", "more_seeds",
                         "resolvable", "images_needed", "seed_sd", "image_se")),
        "own_variance": False, "run_seeds": one["run_seeds"], "scores": one["scores"], "status": one["status"],
        "mean": one["mean"], "also": one["also"],
        "also_difference": {key: one["also"][key] - reference["also"][key] for key in one["also"]},
        "probability_better": None, "images_to_baseline": None, "sentence": "",
        "single_runs": _single_runs(one, reference),
    }  # fmt: skip
    lost = next((state for state in ("failed", "diverged") if state in one["status"]), None)
    if lost:
        result |= {"verdict": {"failed": "failed", "diverged": "unstable"}[lost], "reason": lost}
    if one["images"] is None or reference["images"] is None:
        return {**result, "final": bool(lost and final)}
    gaps = one["images"] - reference["images"]
    theta, runs = float(gaps.mean()), (one["runs"], reference["runs"])
    seed_part = sum(values.var(ddof=1) / len(values) for values in runs) if min(map(len, runs)) > 1 else 1e-4
    image_part = gaps.var(ddof=1) / len(gaps)
    wide, narrow = sqrt(seed_part + image_part), sqrt(seed_part)
    reach = 2 + 0.25 * np.log(max(count, 1))  # wider for more techniques, as simultaneous intervals are
    result |= {
        "look": 0, "difference": theta, "low": theta - reach * wide, "high": theta + reach * wide,
        "fixed_low": theta - reach * narrow, "fixed_high": theta + reach * narrow, "standard_error": wide,
        "p_value": 1 - erf(abs(theta) / wide / sqrt(2)), "resolvable": reach * sqrt(image_part),
        "p_adjusted": min(1.0, count * (1 - erf(abs(theta) / wide / sqrt(2)))), "degrees_of_freedom": 8.0,
        "probability_better": float(np.mean(np.subtract.outer(*runs) > 0)), "images_to_baseline": 15000,
        "seed_sd": sqrt(seed_part), "image_se": sqrt(image_part),
    }  # fmt: skip
    result["fixed_verdict"] = _verdict(result["fixed_low"], result["fixed_high"], margin)
    if not lost:
        result["verdict"] = _verdict(result["low"], result["high"], margin)
    if result["verdict"] == "inconclusive" and not lost:
        enough = image_part > seed_part
        result |= (
            {"reason": "test set", "images_needed": 61000}
            if enough
            else {"reason": "more seeds", "more_seeds": 4}
        )
    if result["single_runs"] and final and not lost:
        pairs = result["single_runs"]
        pairs["beyond_margin"] = _beyond(one, reference, margin)
        wrong = {"better": pairs["worse"], "worse": pairs["better"], "equivalent": pairs["beyond_margin"]}
        pairs["wrong"] = wrong.get(result["verdict"])
    if result["verdict"] in ("better", "worse"):
        near = min(abs(result["low"]), abs(result["high"]))
        far = max(abs(result["low"]), abs(result["high"]))
        result["beyond_margin"] = "all" if near > margin else "part" if far > margin else "none"
    return result


def _pairs(one, reference):
    return [ours - theirs for ours in one["runs"] for theirs in reference["runs"][: len(one["run_seeds"])]]


def _single_runs(one, reference):
    gaps = _pairs(one, reference)
    if not gaps:
        return None
    better, worse = sum(bool(gap > 0) for gap in gaps), sum(bool(gap < 0) for gap in gaps)
    return {"pairs": len(gaps), "better": better, "worse": worse, "equal": len(gaps) - better - worse,
            "beyond_margin": 0, "largest": float(max(map(abs, gaps))), "wrong": None}  # fmt: skip


def _beyond(one, reference, margin):
    return sum(bool(abs(gap) > margin + 1e-12) for gap in _pairs(one, reference))


def _verdict(low, high, margin):
    if low > 0 or high < 0:
        return "better" if low > 0 else "worse"
    return "equivalent" if -margin < low and high < margin else "inconclusive"


def _costs(folder, judged):
    arms = []
    for number, one in enumerate(judged):
        results = [folder / "runs" / one["slug"] / f"seed{seed}" / "result.json" for seed in one["run_seeds"]]
        read = [json.loads(path.read_text()) for path in results if path.is_file()]
        cpu = (
            float(np.mean([one["cpu_seconds"] for one in read])) * (1 + 0.03 * (number % 7)) if read else None
        )
        arms.append({"name": one["name"], "seconds": cpu, "cpu_seconds": cpu, "images": 20000.0, "runs": len(read),
                     "seconds_to_baseline": cpu and 0.8 * cpu})  # fmt: skip
    for arm in arms[1:]:
        both = arm["cpu_seconds"] and arms[0]["cpu_seconds"]
        arm["cost_ratio"] = arm["cpu_seconds"] / arms[0]["cpu_seconds"] if both else None
    total = sum((arm["cpu_seconds"] or 0) * arm["runs"] for arm in arms)
    return {"format": 1, "unit": "cpu_seconds", "baseline": arms[0], "techniques": arms[1:],
            "total": {"runs": sum(arm["runs"] for arm in arms), "seconds": total, "cpu_seconds": total,
                      "wall_seconds": total / 2}}  # fmt: skip
