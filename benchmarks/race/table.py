"""Results as a Markdown table, and the place in a document where it belongs."""

import re
from pathlib import Path
from typing import Any

from benchmarks.race.errors import BenchError
from convtrials.core.files import can_be_made, read_bounded_text, write_text

_GROUPS = {"alone": "one run", "together": "runs side by side, one thread each"}


def markdown_table(result: dict[str, Any]) -> str:
    """Render a benchmark's result.

    Parameters
    ----------
    result : dict
        From `run_benchmark`, or the JSON file that the command line writes.

    Returns
    -------
    str
        What was measured, a table, and the command; without a newline at the end.
    """
    lines = [_heading(result), "", _machine(result), ""]
    lines += [
        "| | images/s, median (range) | convtrials / this (range) | how |",
        "| --- | ---: | ---: | --- |",
    ]
    for group, title in _GROUPS.items():
        entries = [entry for entry in result["contestants"] if entry["group"] == group]
        if entries:
            lines.append(f"| *{title}* | | | |")
            lines += [_row(entry) for entry in entries]
    lines += ["", _remarks(result)]
    if result["command"]:
        lines += ["", f"```\n{result['command']}\n```"]
    return "\n".join(lines)


def _heading(result: dict[str, Any]) -> str:
    setting = result["setting"]
    height, width, channels = setting["image"]
    length = setting["round"]
    each = f"{length['seconds']:g} s" if "seconds" in length else f"{length['steps']:g} steps"
    return (
        f"**{setting['model']}**, width {setting['width']:g}, {setting['parameters']:,} parameters, "
        f"{setting['forward_flops'] / 1e6:,.0f} MFLOP forward per image; {setting['data']}, "
        f"{height} x {width} x {channels}, {setting['classes']} classes; batch {setting['batch_size']}, Adam; "
        f"{setting['rounds']} round(s) of {each}."
    )


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    peaks = result["matmul"]
    cores = machine["usable_cores"]
    text = f"{machine['processor']}, {cores} cores, Python {machine['python']}; {result['date'][:10]}."
    if peaks:
        text += (
            f" Matrix product of {peaks['n']:.0f} x {peaks['n']:.0f} on {peaks['threads']:.0f} threads: "
            f"{peaks['bf16'] / 1e12:.2f} TFLOP/s in bf16, {peaks['fp32'] / 1e12:.2f} in fp32."
        )
    return text


def _row(entry: dict[str, Any]) -> str:
    if entry["status"] != "measured":
        return f"| {_cell(entry['label'])} | not measured | | {_cell(entry['why'])} |"
    rate, ratio = entry["images_per_second"], entry.get("ours_over_this")
    times = (
        ""
        if ratio is None or entry["reference"]
        else f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"
    )
    how = entry["choice"] or ""
    if not entry["same_network"]:
        how = f"another network, {entry['parameters']:,} parameters; {how}"
    return f"| {_cell(entry['label'])} | {images(rate)} | {times} | {_cell(how)} |"


def images(rate: dict[str, float]) -> str:
    """Write images a second: the median and the range."""
    digits = 0 if rate["median"] >= 100 else 1
    return f"{rate['median']:,.{digits}f} ({rate['min']:,.{digits}f} to {rate['max']:,.{digits}f})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _remarks(result: dict[str, Any]) -> str:
    """Say what share of the peak ours reaches, and with which packages peers were measured."""
    said = []
    for entry in result["contestants"]:
        if entry["reference"] and entry.get("share_of_peak") is not None:
            said.append(
                f"{entry['label']}: {result['setting']['training_flops'] / 1e9:.2f} GFLOP per image, at "
                f"{entry['share_of_peak']:.0%} of the speed of the faster matrix product."
            )
    versions: dict[str, str] = {}
    for entry in result["contestants"]:
        versions |= {key: value for key, value in (entry["versions"] or {}).items() if key != "python"}
    if versions:
        packages = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        said.append(f"Packages: {packages}.")
    return " ".join(said)


def check_place(path: Path, model: str) -> None:
    """Refuse a document that has no place for the table of a model; one that is not there yet can be made.

    Raises
    ------
    BenchError
    """
    if not can_be_made(path, BenchError):
        _place(path, read_bounded_text(path, BenchError), model)


def put_into(path: Path, result: dict[str, Any]) -> None:
    """Replace the table in a Markdown file.

    It stands between ``<!-- bench:begin MODEL -->`` and ``<!-- bench:end MODEL -->``; without a model's name the place
    is AlexNet's. A file that is not there is made, with these marks.

    Parameters
    ----------
    result : dict
        From `run_benchmark`.

    Raises
    ------
    BenchError
        The file cannot be read or made, or has no such place.
    """
    model = result["setting"]["model"]
    if can_be_made(path, BenchError):
        text = f"<!-- bench:begin {model} --><!-- bench:end {model} -->\n"
    else:
        text = read_bounded_text(path, BenchError)
    start, end = _place(path, text, model)
    write_text(path, f"{text[:start]}\n{markdown_table(result)}\n{text[end:]}")


def _place(path: Path, text: str, model: str) -> tuple[int, int]:
    """Return where the table begins and ends: after the first mark, before the second."""
    names = (f" {model}", "") if model == "alexnet" else (f" {model}",)
    for name in names:
        found = re.search(rf"<!-- bench:begin{name} -->(.*?)<!-- bench:end{name} -->", text, flags=re.DOTALL)
        if found:
            return found.start(1), found.end(1)
    raise BenchError(
        f"{path}: no place for the table: put <!-- bench:begin {model} --> and <!-- bench:end {model} --> into it"
    )
