"""Reports as CSV."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from micl_cli.records import StageRecord
from micl_cli.report.data import RunData
from micl_cli.report.render import render

ONE = r"""
run,name,strategy,backbone,seed,status,group,stage,task,quantity,value,n,split
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,matrix,0,mini/img_cap,cider,2.5,64,test
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,matrix,1,mini/img_cap,cider,512.5,64,test
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,matrix,2,mini/img_cap,cider,480.0,64,test
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,matrix,2,mini/aud_qa,accuracy,88.25,60,test
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,score,1,mini/img_cap,bleu4,71.5,64,test
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,score,2,mini/img_cap,bleu4,60.25,64,test
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,score,2,mini/aud_qa,accuracy,91.0,30,val
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,figure,,,mft,300.375,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,figure,,,mfn,284.125,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,figure,,,maa,398.3125,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,figure,,,bwt,-32.5,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,figure,,,forgetting,32.5,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,figure,,,peak_forgetting,32.5,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,cost,1,mini/img_cap,steps,300,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,cost,1,mini/img_cap,examples,480,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,cost,1,mini/img_cap,seconds,12.25,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,cost,1,mini/img_cap,peak_bytes,612000000,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,cost,1,mini/img_cap,trainable_parameters,41472,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,cost,1,mini/img_cap,stored_bytes,402000,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,cost,2,mini/aud_qa,steps,300,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,cost,2,mini/aud_qa,examples,480,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,cost,2,mini/aud_qa,seconds,15.5,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,cost,2,mini/aud_qa,peak_bytes,1240000000,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,cost,2,mini/aud_qa,trainable_parameters,41472,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,cost,2,mini/aud_qa,stored_bytes,803000,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,cost,,,seconds,27.75,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,cost,,,peak_bytes,1240000000,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,cost,,,trainable_parameters,41472,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,cost,,,stored_bytes,803000,,
3f2a91c04d1e,demo,moincl,composed:tiny,0,finished,extra,,,routing accuracy,99.5,,
""".strip("\n")


def rows(*runs: RunData) -> list[dict[str, str]]:
    return list(csv.DictReader(render(runs, "csv").splitlines()))


def test_one_run(learnt: RunData) -> None:
    assert render([learnt], "csv") == ONE


def test_no_runs_leave_the_header() -> None:
    assert render([], "csv").startswith("run,name,strategy,backbone,seed,status,group,stage,task,quantity,value")
    assert rows() == []


def test_several_runs_stand_below_each_other(learnt: RunData, plain: RunData) -> None:
    found = [row["value"] for row in rows(learnt, plain) if row["quantity"] == "bwt"]
    assert found == ["-32.5", "-380.0"]


def test_joint_learning_has_its_scores_once(plain: RunData, learnt: RunData) -> None:
    stage: StageRecord = replace(learnt.stages[0], tasks=tuple(plain.tasks))
    scores = [replace(score, after=1) for score in (learnt.scores[1], learnt.scores[5])]
    run = replace(plain, matrix=[[], [512.5, 88.25]], stages=[stage], scores=scores)
    assert [
        (row["stage"], row["quantity"], row["value"]) for row in rows(run) if row["group"] in ("matrix", "score")
    ] == [
        ("2", "cider", "512.5"),
        ("2", "accuracy", "88.25"),
    ]


@pytest.mark.parametrize("name", ["=cmd()", "+1", "-1", "@x", " =1", "\uff1dcmd()"])
def test_text_is_no_formula(plain: RunData, name: str) -> None:
    assert {row["name"] for row in rows(replace(plain, name=name))} == {f"'{name}"}


def test_names_stay_in_their_cell(plain: RunData) -> None:
    found = rows(replace(plain, name='a,"b"\nc\x1b'))
    assert {row["name"] for row in found} == {r'a,"b"\nc\x1b'}


def test_numbers_that_are_not_finite_are_left_out(plain: RunData) -> None:
    found = rows(replace(plain, extra={"a": float("nan"), "b": 1.0}))
    assert [row["quantity"] for row in found if row["group"] == "extra"] == ["b"]


def test_the_split_of_the_matrix_is_named(plain: RunData) -> None:
    found = rows(replace(plain, split="val"))
    assert {row["split"] for row in found if row["group"] == "matrix"} == {"val"}


def test_the_seconds_of_passes_stand_where_they_were_measured(learnt: RunData) -> None:
    stages = [replace(learnt.stages[0], before_seconds=4.5), learnt.stages[1]]
    costs = [row for row in rows(replace(learnt, stages=stages)) if row["quantity"].endswith("seconds")]
    assert [(row["stage"], row["quantity"], row["value"]) for row in costs] == [
        ("1", "before_seconds", "4.5"),
        ("1", "seconds", "12.25"),
        ("2", "before_seconds", "0.0"),
        ("2", "seconds", "15.5"),
        ("", "before_seconds", "4.5"),
        ("", "seconds", "27.75"),
    ]
