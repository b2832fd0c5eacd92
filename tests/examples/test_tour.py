"""The tour runs from its first cell to its last in a folder that has nothing but the installed package."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

TOUR = Path(__file__).parents[2] / "examples" / "tour.ipynb"


def test_the_tour_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    notebook = nbformat.read(TOUR, as_version=4)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    client = NotebookClient(
        notebook, timeout=250, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"})
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    verdicts, prediction = cells[6], cells[-1]
    assert "far too slow" in shown(verdicts)
    assert "worse" in shown(verdicts)
    for name in "8BS":
        assert f"really-{name}.png" in shown(prediction)
    assert (folder / "runs" / "tour" / "report.html").stat().st_size > 100_000
    assert {path.name for path in folder.iterdir()} == {"new", "photos", "runs"}


def test_the_tour_is_committed_without_outputs() -> None:
    notebook = nbformat.read(TOUR, as_version=4)
    nbformat.validate(notebook)
    assert [cell for cell in notebook.cells if cell.get("outputs")] == []
    assert [cell for cell in notebook.cells if cell.get("execution_count")] == []


def shown(cell: nbformat.NotebookNode) -> str:
    return "".join(str(output.get("data", output.get("text", ""))) for output in cell.outputs)
