"""The inference benchmark as a table: for a terminal, and as a block of a Markdown file."""

from pathlib import Path
from typing import Any

from convtrials.core.files import check_marks, put_between_marks
from convtrials.deploy.extra import DeployError

#: A Markdown file has these two lines where the table goes.
BEGIN, END = "<!-- inference:begin -->", "<!-- inference:end -->"


def speed_table(document: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return headings, and a row of texts for each engine and batch size that were timed.

    Parameters
    ----------
    document : dict
        From `convtrials.deploy.inference_bench.bench_inference`.
    """
    headings = ["engine", "batch", "p50 ms", "p95 ms", "p99 ms", "images/s", f"x {document['reference']}"]
    rows = []
    for size in map(str, document["settings"]["batch_sizes"]):
        for engine in _available(document):
            one = engine["batches"][size]
            times = [_three_digits(one[key]) for key in ("p50_ms", "p95_ms", "p99_ms")]
            ratio = _ratio(document, engine, size)
            rate = f"{one['images_per_second']:,.0f}"
            rows.append([engine["name"], size, *times, rate, "" if ratio is None else f"{ratio:.2f}"])
    return headings, rows


def accuracy_table(document: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return headings, and a row of texts for each engine that was to be had."""
    headings = ["engine", "test accuracy", "points lost (95%)", "class changed", "MB"]
    return headings, [[engine["name"], *_accuracy_cells(document, engine)] for engine in _available(document)]


def wide_table(document: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return headings and one row an engine; one that is not available has the reason in its second cell."""
    sizes = [str(size) for size in document["settings"]["batch_sizes"]]
    headings = ["engine"]
    for size in sizes:
        headings += [f"batch {size}: p50 / p95 / p99 ms", f"batch {size}: images/s"]
    headings += accuracy_table(document)[0][1:]
    rows = []
    for engine in document["engines"]:
        if not engine["available"]:
            cells = [engine["name"], f"not available: {engine['reason']}"]
            rows.append(cells + [""] * (len(headings) - len(cells)))
            continue
        cells = [engine["name"]]
        for size in sizes:
            one, ratio = engine["batches"][size], _ratio(document, engine, size)
            cells.append(" / ".join(_three_digits(one[key]) for key in ("p50_ms", "p95_ms", "p99_ms")))
            rate = f"{one['images_per_second']:,.0f}"
            cells.append(rate if ratio is None else f"{rate} ({ratio:.1f}x)")
        rows.append(cells + _accuracy_cells(document, engine))
    return headings, rows


def _available(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [engine for engine in document["engines"] if engine["available"]]


def _ratio(document: dict[str, Any], engine: dict[str, Any], size: str) -> float | None:
    """Throughput as a multiple of the reference's; None for the reference and where that was not timed."""
    for one in _available(document):
        if one["name"] == document["reference"] and one is not engine:
            rates = (side["batches"][size]["images_per_second"] for side in (engine, one))
            return float(next(rates) / next(rates))
    return None


def _accuracy_cells(document: dict[str, Any], engine: dict[str, Any]) -> list[str]:
    cells = [f"{engine['accuracy']:.2%}"]
    if engine["name"] == document["reference"]:
        cells += ["reference", ""]
    else:
        lost, low, high = (engine[key] + 0.0 for key in ("lost_points", "lost_low", "lost_high"))
        cells += [f"{lost:.2f} ({low:.2f} to {high:.2f})", f"{engine['changed']:.2%}"]
    return [*cells, f"{engine['bytes'] / 1e6:.1f}"]


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def markdown(document: dict[str, Any]) -> str:
    """Return the table in Markdown, with the command, the machine and the run below it."""
    headings, rows = wide_table(document)
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *rows]
    table = "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)
    return f"{table}\n\n" + "\n".join(explanation(document)) + "\n"


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def explanation(document: dict[str, Any]) -> list[str]:
    """Return the sentences that a table needs: what was run, on what, with which data."""
    run, data, settings, machine = (document[key] for key in ("run", "dataset", "settings", "machine"))
    threads = settings["threads"]
    packages = machine["packages"]
    versions = ", ".join(
        f"{name} {packages[name]}" for name in ("torch", "onnxruntime") if packages.get(name)
    )
    load = machine.get("load_before")
    return [
        f"`{_command(settings)}`: {run['model']}, {run['parameters']:,} parameters, images of "
        f"{' x '.join(map(str, run['image_shape']))}; accuracy on "
        f"{data['test_images']:,} test images of {data['name']}; int8 calibrated on "
        f"{data['calibration']['images']} validation images.",
        f"{machine['processor']}, {threads} thread{'s' if threads != 1 else ''} "
        f"({', '.join(machine['vector_units']) or 'no vector units known'}); {versions}; "
        f"{settings['rounds']} interleaved rounds of {settings['seconds']:g} s"
        + (f"; load {load:.1f} before." if load is not None else "."),
    ]


def _command(settings: dict[str, Any]) -> str:
    flags = {
        "batch-sizes": ",".join(map(str, settings["batch_sizes"])),
        "threads": settings["threads"],
        "rounds": settings["rounds"],
        "seconds": f"{settings['seconds']:g}",
        "images": settings["most_images"],
        "engines": ",".join(settings["engines"]) if settings["engines"] else None,
    }
    given = [f"--{flag} {value}" for flag, value in flags.items() if value is not None]
    return " ".join(["convtrials benchmark RUN", *given])


def replace_block(path: Path, text: str) -> None:
    """Put a text between the two marks of a Markdown file; the rest stays as it is.

    Raises
    ------
    DeployError
        If the file cannot be read, or does not have each mark once, in order.
    """
    put_between_marks(path, BEGIN, END, text, DeployError)


def check_block(path: Path) -> None:
    """Raise `DeployError` if a file has no place for the table: better before measuring than after."""
    check_marks(path, BEGIN, END, DeployError)
