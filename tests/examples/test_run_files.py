"""The annotated run files in examples/ work as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_sample_of_a_run_plans_what_it_says(micl: Any, little_mini: Any) -> None:
    done = micl("learn", EXAMPLES / "run.toml", "--dry-run", "--json")
    assert done.code == 0, done.err
    plan = json.loads(done.out)["plan"]
    assert (plan["strategy"], plan["tasks"]) == ("moincl", ["mini/img_cap", "mini/aud_qa"])
    assert plan["stage_options"] == {"2": {"alpha": 0.3, "pseudo_num": 2}}
    assert (plan["training"]["max_steps"], plan["evaluation"]["examples"]) == (200, 100)


def test_the_sample_of_a_grid_lists_its_cells(micl: Any, little_mini: Any) -> None:
    done = micl("sweep", EXAMPLES / "grid.toml", "--dry-run", "--json")
    assert done.code == 0, done.err
    cells = json.loads(done.out)["cells"]
    assert len(cells) == 18
    assert {cell["strategy"] for cell in cells} == {"finetune", "ewc[lambda_ewc=10]", "moincl"}
    assert {cell["order"] for cell in cells} == {"img_cap,aud_qa", "aud_qa,img_cap"}
