"""Tables: columns by guess and by flag, splits, quoting, media as base64."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any


def test_common_columns_are_guessed_and_said(data_folder: Any, rows_of: Any) -> None:
    data_folder.pictures("a.png", "b.png", "c.png")
    text = (
        'image,question,answer,split\na.png,"What, then?","a ""red"" one",train\nb.png,?,x,Validation\nc.png,?,y,test\n'
    )
    rows = rows_of("--from", data_folder.write("qa.csv", text))
    assert rows[0] == {
        "id": "1",
        "split": "train",
        "image": "a.png",
        "prompt": "What, then?",
        "references": ['a "red" one'],
    }
    assert [row["split"] for row in rows] == ["train", "val", "test"]
    assert rows_of.task["notes"] == [
        "columns: image <- image, prompt <- question, answer <- answer, split <- split (change: --column ROLE=COLUMN)",
        "type qa, metric accuracy (change: --type, --metric)",
    ]
    assert (rows_of.task["type"], rows_of.task["metric"]) == ("qa", "accuracy")


def test_marks_of_spreadsheets_and_line_ends_of_windows_do_no_harm(data_folder: Any, rows_of: Any) -> None:
    data_folder.pictures("a.png", "b.png")
    text = '\ufeffimage,caption,split\r\na.png,"two\r\nlines",train\r\n\r\nb.png,été,test\r\n'
    rows = rows_of("--from", data_folder.write("captions.csv", text))
    assert [row["references"] for row in rows] == [["two\nlines"], ["été"]]
    assert rows[0]["prompt"] == "Describe the image."
    assert (rows_of.task["type"], rows_of.task["metric"]) == ("captioning", "cider")


def test_columns_are_named_by_flags(data_folder: Any, rows_of: Any) -> None:
    data_folder.pictures("a.png", "b.png", "c.png")
    text = "k;left;right;frage;gut;auch gut;wo\n1;a.png;b.png;Wie?;x|y;z;train\n2;b.png;c.png;Was?;u;;test\n"
    columns = (
        "id=k",
        "image=left",
        "image=right",
        "prompt=frage",
        "answer=gut",
        "references=auch gut",
        "category=wo",
        "split=wo",
    )
    flags = [word for column in columns for word in ("--column", column)]
    path = data_folder.write("x.csv", text)
    rows = rows_of("--from", path, "-o", "delimiter", ";", *flags, "--separator", "|")
    assert rows == [
        {"id": "1", "split": "train", "content": [{"image": "a.png"}, {"image": "b.png"}, "Wie?"],
         "references": ["x", "y", "z"], "meta": {"category": "train"}},
        {"id": "2", "split": "test", "content": [{"image": "b.png"}, {"image": "c.png"}, "Was?"],
         "references": ["u"], "meta": {"category": "test"}},
    ]  # fmt: skip


def test_files_of_splits_number_their_examples_apart(data_folder: Any, rows_of: Any) -> None:
    data_folder.write("train.csv", "question,answer\nA?,a\nB?,b\n")
    data_folder.write("test.csv", "question,answer\nC?,c\n")
    data_folder.write("more/val.csv", "question,answer\nD?,d\n")
    rows = rows_of("--from", data_folder.root)
    assert [(row["id"], row["split"]) for row in rows] == [("1", "test"), ("train-1", "train"), ("train-2", "train")]
    named = ("--from", f"train={data_folder.root / 'train.csv'}", "--from", f"dev={data_folder.root / 'more/val.csv'}",
             "--from", f"test={data_folder.root / 'test.csv'}")  # fmt: skip
    assert rows_of.task["modalities"] == []
    (data_folder.root.parent / "home/tasks/own/x/prepared.json").unlink()
    rows = rows_of(*named)
    assert [row["id"] for row in rows] == ["train-1", "train-2", "val-1", "1"]


def test_media_of_files_in_other_folders_are_beside_them(data_folder: Any, rows_of: Any) -> None:
    data_folder.pictures("one/a.png", "two/a.png")
    for name in ("one", "two"):
        data_folder.write(f"{name}/list.csv", "image,question,answer\na.png,?,x\n")
    root = data_folder.root
    rows = rows_of("--from", f"train={root / 'one/list.csv'}", "--from", f"test={root / 'two/list.csv'}")
    assert [row["image"] for row in rows] == ["one/a.png", "two/a.png"]


def test_media_may_be_outside_of_the_folder(data_folder: Any, rows_of: Any, tmp_path: Path, micl: Any) -> None:
    data_folder.pictures("pictures/a.png", "pictures/b.png")
    root = data_folder.root
    text = f"image,question,answer,split\n{root}/pictures/a.png,?,x,train\n../pictures/b.png,?,y,test\n"
    path = data_folder.write("lists/x.csv", text)
    rows = rows_of("--from", path, "--media-root", root / "pictures")
    assert [row["image"] for row in rows] == ["a.png", "b.png"]
    path.write_text(text + "a.png,?,z,test\n")
    changed = micl("learn", "--tasks", "own/x", "--strategy", "finetune", "--dry-run")
    command = f"micl prepare --from {path} --as own/x --format csv --media-root {root / 'pictures'}"
    assert changed.code == 4
    assert command in changed.err
    assert micl(*command.split()[1:]).code == 0
    assert micl("prepare", "--from", path, "--as", "own/x").code == 4


def test_base64_becomes_files_of_the_task(data_folder: Any, rows_of: Any, isolated: Path) -> None:
    data_folder.pictures("a.png", "b.png")
    one, two = ((data_folder.root / name).read_bytes() for name in ("a.png", "b.png"))
    encoded = [base64.b64encode(one + b"\0" * 60).decode(), "data:image/png;base64," + base64.b64encode(two).decode()]
    lines = [f"{n}\t{text}\tWhich?\t{n}\n" for n, text in enumerate([*encoded, encoded[0]])]
    path = data_folder.write("x.tsv", "index\timage\tquestion\tanswer\n" + "".join(lines))
    rows = rows_of("--from", path, "--split", "50/50")
    by_id = {row["id"]: row for row in rows}
    folder = isolated / "tasks/own/x"
    assert (folder / by_id["2"]["image"]).read_bytes() == two
    assert by_id["1"]["image"] == by_id["3"]["image"]
    assert by_id["1"]["split"] == by_id["3"]["split"]
    assert len(list((folder / "media").iterdir())) == 2


def test_media_of_examples_that_are_left_out_are_not_kept(data_folder: Any, rows_of: Any, isolated: Path) -> None:
    names = [f"{n}.png" for n in range(10)]
    data_folder.pictures(*names)
    encoded = [base64.b64encode((data_folder.root / name).read_bytes()).decode() for name in names]
    text = "".join(f"data:image/png;base64,{each}\t?\t{n}\n" for n, each in enumerate(encoded))
    path = data_folder.write("x.tsv", "image\tquestion\tanswer\n" + text)
    rows = rows_of("--from", path, "--split", "80/20", "--limit", "2")
    assert len(rows) == 4
    assert len(list((isolated / "tasks/own/x/media").iterdir())) == 4


def test_rows_with_one_reference_each_are_merged(data_folder: Any, rows_of: Any) -> None:
    data_folder.pictures("a.png", "b.png")
    text = "image,caption,split\n" + "".join(
        f"{name}.png,{name} {n},{split}\n" for name, split in (("a", "train"), ("b", "test")) for n in range(3)
    )
    path = data_folder.write("x.csv", text)
    assert len(rows_of("--from", path)) == 6
    note = "4 items have the same media and prompt as another: make them one example with several references: --merge"
    assert note in rows_of.task["notes"]
    rows = rows_of("--from", path, "--merge")
    assert [row["references"] for row in rows] == [["a 0", "a 1", "a 2"], ["b 0", "b 1", "b 2"]]


def test_choices_are_columns_and_the_answer_may_be_a_letter(data_folder: Any, rows_of: Any) -> None:
    text = "question,A,B,C,answer,split\n1?,x,y,z,B,train\n2?,x,y,,A,test\n3?,x,y,z,z,test\n"
    flags = [word for name in "ABC" for word in ("--column", f"choices={name}")]
    rows = rows_of("--from", data_folder.write("x.csv", text), *flags)
    assert [(row["choices"], row["references"]) for row in rows] == [
        (["x", "y", "z"], ["y"]),
        (["x", "y"], ["x"]),
        (["x", "y", "z"], ["z"]),
    ]
    assert rows_of.task["type"] == "choice"


def test_names_of_splits_are_mapped(data_folder: Any, rows_of: Any) -> None:
    text = "question,answer,fold\n1?,a,0\n2?,b,1\n3?,c,2\n4?,d,x\n"
    path = data_folder.write("x.csv", text)
    flags = ("--split", "0=train", "--split", "1=test", "--split", "2=dev", "--split", "x=none")
    rows = rows_of("--from", path, "--column", "split=fold", *flags)
    assert [row["split"] for row in rows] == ["train", "test", "val"]
    assert "1 items belong to none of the splits, and were left out" in rows_of.task["notes"]


def test_an_own_task_is_learnt_and_reported(data_folder: Any, home: Path, learn: Any, micl: Any) -> None:
    data_folder.pictures(*(f"{n}.png" for n in range(12)))
    text = "".join(f"{n}.png,Which?,{'odd' if n % 2 else 'even'}\n" for n in range(12))
    path = data_folder.write("x.csv", "image,question,answer\n" + text)
    assert micl("prepare", "--from", path, "--as", "own/parity", "--split", "60/20/20").code == 0
    assert learn("--tasks", "own/parity,own/aud_qa", "--quiet").code == 0
    report = micl("report", "@last")
    assert report.code == 0
    assert "own/parity" in report.out
