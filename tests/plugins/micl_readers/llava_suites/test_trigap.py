"""TriGap's files, and the samples that users draw of its training sets."""

from __future__ import annotations

import json
from typing import Any


def test_documents_have_all_their_answers(build: Any, read: Any, micl: Any) -> None:
    data = build("trigap")
    assert read("trigap/docvqa", data.root, "test")[0].references == ("4 May", "May 4")
    done = micl("prepare", "trigap/docvqa", "trigap/chartqa", "--root", data.root, "--json")
    assert [task["metric"] for task in json.loads(done.out)["tasks"]] == ["anls_star", "exact_upper"]


def test_a_sample_is_learnt_from_only_if_it_is_asked_for(build: Any, micl: Any) -> None:
    root = build("trigap").root
    done = micl("prepare", "trigap/arxivqa", "--root", root)
    assert done.code == 4
    assert "There is train_4w_sub.json: to learn from it, add --prompts sub." in done.err
    done = micl("prepare", "trigap/arxivqa", "--root", root, "--prompts", "sub", "--json")
    task = json.loads(done.out)["tasks"][0]
    assert (task["counts"]["train"], task["prompts"]) == (4, "sub")


def test_tasks_without_a_sample_have_the_same_files_in_both_variants(build: Any, read: Any) -> None:
    root = build("trigap").root
    assert read("trigap/pmcvqa", root, prompts="sub") == read("trigap/pmcvqa", root)
