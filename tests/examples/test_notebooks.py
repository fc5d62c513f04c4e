"""The example notebook is executed, and its stored output is that of its cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_comparison.ipynb"
nbformat = pytest.importorskip("nbformat")


def texts(notebook: Any) -> list[str]:
    """Return the text of the outputs of each code cell."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(each.get("text") or each.data.get("text/plain", "") for each in cell.outputs) for cell in cells]


@pytest.mark.slow
def test_the_notebook_runs(home: Path, tmp_path: Path, on_path: Any) -> None:
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    on_path(NOTEBOOK.parents[1], NOTEBOOK.parents[1] / "plugins")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    shown = texts(notebook)
    assert "finetune on mini/img_cap, mini/aud_qa, finished" in shown[0]
    assert "after stage 2: mini/img_cap" in shown[1] and shown[1].rstrip().endswith("16")
    assert "array([[" in shown[2] and "nan" in shown[2]
    assert (tmp_path / "comparison.html").read_text().startswith("<!DOCTYPE html>")
    assert "'comparison.html'" in shown[-1]


def test_the_stored_outputs_are_complete_and_name_no_machine() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in code)
    assert not [each for cell in code for each in cell.outputs if each.output_type == "error"]
    stored = json.dumps(notebook)
    assert "/tmp" not in stored and "/home" not in stored and "/root" not in stored
