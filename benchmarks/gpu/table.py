"""Gather what `benchmarks/gpu/gpu.sh` measured: one table on standard output, and everything as JSON.

    python -m benchmarks.gpu.table FOLDER OUT.json

FOLDER holds a file of rows and a file of errors for each part (`PART.jsonl`, `PART.err`), and `PART.code`.
"""

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

#: Exit code of `timeout`.
TIMED_OUT = 124


def gathered(folder: Path) -> list[dict[str, Any]]:
    """Read the rows of all parts, and one that says why for each part that did not come to its end."""
    rows = []
    for code in sorted(folder.glob("*.code"), key=lambda path: path.stat().st_mtime):
        lines = code.with_suffix(".jsonl").read_text().splitlines()
        rows += [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        if ended := int(code.read_text() or 1):
            said = code.with_suffix(".err").read_text().strip().splitlines() or ["no reason given"]
            reason = "out of time" if ended == TIMED_OUT else said[-1][:200]
            rows.append({"part": code.stem, "what": code.stem, "failed": reason})
    return rows


def with_shares(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to every training rate its share of the bf16 peak, 0 to 1."""
    peaks = [one["value"] for one in rows if one.get("peak") == "bf16"]
    for one in rows:
        if peaks and one.get("flop"):
            one["share_of_bf16_peak"] = one["value"] * one["flop"] / (peaks[0] * 1e12)
    return rows


def machine() -> dict[str, Any]:
    """Say what was measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "gpu": gpu,
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if gpu else None,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Write all rows as one Markdown table."""
    lines = ["| what | figure | unit | of bf16 peak | note |", "| --- | ---: | --- | ---: | --- |"]
    for one in rows:
        if "failed" in one:
            lines.append(f"| {one['what']} | | | | failed: {one['failed'].replace('|', '/')} |")
            continue
        share = one.get("share_of_bf16_peak")
        figure = f"{one['value']:,.0f}" if one["value"] >= 1000 else f"{one['value']:,.4g}"
        note = one.get("note", "").replace("|", "/")
        lines.append(
            f"| {one['what']} | {figure} | {one['unit']} | {'' if share is None else f'{share:.1%}'} | {note} |"
        )
    return "\n".join(lines)


def main() -> None:
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    rows, known = with_shares(gathered(folder)), machine()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": known, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(
        f"{known['gpu'] or 'no GPU'}, {known['cores']} cores, torch {known['torch']}, CUDA {known['cuda']}\n"
    )
    print(table(rows))


if __name__ == "__main__":
    main()
