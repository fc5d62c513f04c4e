"""Bad data sets: one error with file, line and the way out, or a counted skip; nothing is prepared by halves."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))

from dataset_faults import (
    BASES,
    NAMES,
    ROWS,
    Case,
    bomb,
    content,
    edit,
    encoded,
    link_out,
    pipe,
    remove,
    rename,
    table,
    truncate,
)

MISSING = "the file does not exist"
DEEP = "[" * 200 + "]" * 200
CASES = [
    # Media
    Case("csv", "missing image", (remove("a.png"),), (f"x.csv:2: a.png: {MISSING}", "--media-root"), skipped=1),
    Case("jsonl", "missing image", (remove("b.png"),), (f"x.jsonl:2: b.png: {MISSING}",), skipped=1),
    Case("coco", "missing image", (remove("a.png"),), (f"captions.json:1: a.png: {MISSING}",), skipped=1),
    Case("vqa", "missing image", (remove("2.png"),), ("questions.json:1: 000000000002.jpg: ",), skipped=1),
    Case("llava", "missing image", (remove("a.png"),), (f"talk.json:1: a.png: {MISSING}",), skipped=1),
    Case("mllm-cl", "missing image", (remove("RS/images/a.png"),), ("RS/train.json:1: ", MISSING), skipped=1),
    Case("metadata", "missing image", (remove("a.png"),), (f"metadata.csv:2: a.png: {MISSING}",), skipped=1),
    Case("csv", "other case", (rename("a.png", "A.PNG"),), ("a.png: the file does not exist; there is A.PNG",),
         skipped=1),
    Case("coco", "other case", (rename("b.png", "B.png"),),
         ("b.png: the file does not exist; there is B.png",), skipped=1),
    Case("mllm-cl", "other case", (rename("RS/images/a.png", "RS/images/a.Png"),), ("there is ", "a.Png"), skipped=1),
    Case("csv", "other Unicode form", (edit("x.csv", "a.png", "\u00e9.png"), rename("a.png", "e\u0301.png")),
         ("there is e\u0301.png",), skipped=1),
    Case("csv", "truncated image", (truncate("a.png", 40),), ("x.csv:2: a.png: cannot be read as an image",),
         skipped=1),
    Case("coco", "truncated image", (truncate("a.png", 40),), ("a.png: cannot be read as an image",), skipped=1),
    Case("mllm-cl", "truncated image", (truncate("RS/images/a.png", 40),), ("cannot be read as an image",), skipped=1),
    Case("csv", "empty image", (content("a.png", b""),),
         ("a.png: cannot be read as an image: the file is empty",), skipped=1),
    Case("csv", "image bomb", (content("a.png", bomb()),), ("a.png: ", "pixels"), skipped=1),
    Case("classes", "image bomb", (content("cat/a.png", bomb()),), ("cat/a.png: ", "pixels"), skipped=1),
    Case("llava", "text for an image", (content("a.png", "hello\n"),),
         ("talk.json:1: a.png: ", "it holds text"), skipped=1),
    Case("csv", "wrong suffix", (rename("a.png", "a.jpg"), edit("x.csv", "a.png", "a.jpg")),
         ("its name says JPEG",), skipped=1),
    Case("csv", "link out", (link_out("a.png"),), ("x.csv:2: a.png: a symbolic link leads out",), skipped=1),
    Case("mllm-cl", "link out", (link_out("RS/images/a.png"),), ("a symbolic link leads out",), skipped=1),
    Case("classes", "link out", (link_out("cat/a.png"),), ("cat/a.png: a symbolic link leads out",), skipped=1),
    Case("csv", "pipe for an image", (pipe("a.png"),), ("a.png: it is not a regular file",), skipped=1),
    Case("csv", "folder for an image", (edit("x.csv", "a.png", "."),), ("x.csv:2: ",), skipped=1),
    Case("sounds", "truncated sound", (truncate("low/1.wav", 900),), ("low/1.wav: ", "it is truncated"), skipped=1),
    Case("sounds", "text for a sound", (content("low/1.wav", "hello"),), ("low/1.wav: ", "it holds text"), skipped=1),
    Case("sounds", "no sounds", tuple(remove(f"{kind}/{n}.wav") for kind in ("low", "high") for n in range(3)),
         ("no format reads it",)),
    Case("flickr30k", "missing image", (remove("flickr30k-images/a.png"),), ("a.png: ", MISSING), skipped=1),
    Case("flickr30k", "other case", (rename("flickr30k-images/a.png", "flickr30k-images/A.png"),),
         ("there is ", "A.png"), skipped=1),
    Case("flickr30k", "link out", (link_out("flickr30k-images/a.png"),), ("a symbolic link leads out",), skipped=1),
    Case("flickr30k", "path with ..", (edit("dataset_flickr30k.json", "a.png", "../a.png"),), ("..",), skipped=1),
    Case("flickr30k", "missing key", (edit("dataset_flickr30k.json", '"raw"', '"text"'),),
         ("dataset_flickr30k.json:1: ", "'raw' is missing"), skipped=1),
    Case("flickr30k", "unknown split", (edit("dataset_flickr30k.json", '"train"', '"restvalue"'),),
         ("dataset_flickr30k.json:1: ", "restvalue"), skipped=1),
    Case("flickr30k", "cut off", (truncate("dataset_flickr30k.json", 300),), ("dataset_flickr30k.json:1: not JSON",)),
    Case("flickr30k", "UTF-16", (encoded("dataset_flickr30k.json", "utf-16"),), ("it is UTF-16",)),
    # Paths
    Case("csv", "absolute path", (edit("x.csv", "a.png", "/etc/a.png"),),
         ("x.csv:2: the path '/etc/a.png' is absolute", "--media-root"), skipped=1),
    Case("jsonl", "absolute path", (edit("x.jsonl", "a.png", "/etc/a.png"),),
         ("x.jsonl:1: the path '/etc/a.png' is absolute",), skipped=1),
    Case("coco", "absolute path", (edit("captions.json", "a.png", "/etc/a.png"),), ("is absolute",), skipped=1),
    Case("mllm-cl", "absolute path", (edit("RS/train.json", "images/a.png", "/etc/a.png"),),
         ("RS/train.json:1: ",), skipped=1),
    Case("csv", "drive of Windows", (edit("x.csv", "a.png", "C:\\\\a.png"),), ("is absolute",), skipped=1),
    Case("csv", "path with ..", (edit("x.csv", "a.png", "../a.png"),),
         ("x.csv:2: the path '../a.png' leads out",), skipped=1),
    Case("llava", "path with ..", (edit("talk.json", '"image": "a.png"', '"image": "../a.png"'),),
         ("leads out",), skipped=1),
    Case("mllm-cl", "path with ..", (edit("RS/test.json", "images/d.png", "../../d.png"),),
         ("RS/test.json:1: ", ".."), skipped=1),
    Case("csv", "outside of the media root", (edit("x.csv", "a.png", "/etc/a.png"),), ("is not inside the media root",),
         skipped=1, words=("--media-root", ".")),
    Case("csv", "URL", (edit("x.csv", "a.png", "https://x.org/a.png"),),
         ("x.csv:2: ", "is a URL", "save them"), skipped=1),
    Case("jsonl", "URL", (edit("x.jsonl", "a.png", "s3://x/a.png"),), ("is a URL",), skipped=1),
    Case("csv", "missing path", (edit("x.csv", "a.png", ""),),
         ("x.csv:2: the image is missing (image is empty)",), skipped=1),
    Case("tsv", "broken base64", (edit("x.tsv", "a.png", "data:image/png;base64,AA@A"),),
         ("x.tsv:2: the image is not base64",), skipped=1),
    # What does not fit together
    Case("coco", "caption without image",
         (edit("captions.json", '{"id": 5, "file_name"', '{"id": 9, "file_name"'),),
         ("image 9 (f.png) has no caption", "1 captions of image 5, which is not among the images"), skipped=2),
    Case("vqa", "answers without question",
         (edit("v2_OpenEnded_x_questions.json", '"question_id": 5', '"question_id": 9'),),
         ("question 9 has no answers", "answers to question 5, which is not among"), skipped=2),
    Case("metadata", "image without a row", (edit("metadata.csv", "a.png,A thing.\n", ""),),
         ("a.png: no row of metadata names this file",), skipped=1),
    Case("csv", "duplicate id", (edit("x.csv", "image,", "id,image,"), *(edit("x.csv", f"{name},",
         f"{n // 2},{name},") for n, name in enumerate(NAMES))),
         ("x.csv:3: id '0' is also that of x.csv:2",), skipped=3),
    Case("coco", "duplicate id", (edit("captions.json", '{"id": 5, "file_name"', '{"id": 0, "file_name"'),),
         ("image id 0 occurs twice",), skipped=2),
    Case("vqa", "answers twice", (edit("v2_x_annotations.json", '"question_id": 5', '"question_id": 0'),),
         ("answers to question 0 are also at",)),
    Case("mllm-cl", "duplicate id", (edit("RS/test.json", '"question_id": 1', '"question_id": 0'),),
         ("id '0' is also that of",), skipped=1),
    Case("vqa", "duplicate id", (edit("v2_OpenEnded_x_questions.json", '"question_id": 5', '"question_id": 0'),),
         ("question id 0 occurs twice",), skipped=2),
    # Columns and keys
    Case("csv", "wrong column", (), ("x.csv:2: no column 'picture'", "Its columns: image, question, answer, split"),
         words=("--column", "image=picture")),
    Case("csv", "no answer", (edit("x.csv", "answer", "wrong"),),
         ("the column of the answer is unknown", "--column answer=COLUMN")),
    Case("csv", "no question", (edit("x.csv", "question", "wrong"),),
         ("the column of the question is unknown", "--prompt")),
    Case("csv", "two answers", (edit("x.csv", "question", "caption"),),
         ("'caption' and 'answer' may both be the answer", "--column answer=caption")),
    Case("csv", "unknown role", (), ("unknown role 'anwser'", "Did you mean 'answer'?"), code=2,
         words=("--column", "anwser=answer")),
    Case("csv", "no role", (), ("'answer' is not ROLE=COLUMN",), code=2, words=("--column", "answer")),
    Case("csv", "repeated column", (edit("x.csv", "question", "image"),),
         ("x.csv:1: the column 'image' occurs twice",)),
    Case("csv", "wrong delimiter", (content("x.csv", table(";")),),
         ("x.csv:1: the only column is", "-o delimiter ';'")),
    Case("jsonl", "missing key", (edit("x.jsonl", '"answer": "x0"', '"wrong": "x0"'),),
         ("x.jsonl:1: the answer is missing",), skipped=1),
    Case("jsonl", "answer is an object", (edit("x.jsonl", '"x0"', '{"a": 1}'),),
         ("x.jsonl:1: the answer is not a text, but dict",), skipped=1),
    Case("jsonl", "line is a list", (edit("x.jsonl", "{", "[1]\n{"),), ("x.jsonl:1: it is not an object",), skipped=1),
    Case("coco", "missing key", (edit("captions.json", '"file_name": "a.png"', '"name": "a.png"'),),
         ("captions.json:1: the key 'file_name' is missing",)),
    Case("coco", "no captions", (edit("captions.json", '"annotations"', '"captions"'),),
         ("captions.json:1: it has no key 'annotations'",)),
    Case("llava", "missing key", (edit("talk.json", '"from": "gpt"', '"role": "gpt"'),),
         ("talk.json:1: the key 'from' is missing",), skipped=1),
    Case("llava", "marks without images", (edit("talk.json", "<image>", "<image><image>"),),
         ("the text has 2 marks <image>, and 1 are given",), skipped=1),
    Case("mllm-cl", "missing key", (edit("RS/test.json", '"text"', '"question"'),),
         ("RS/test.json:1: the key 'text' is missing",), skipped=1),
    Case("metadata", "missing key", (edit("metadata.csv", "file_name", "filename"),),
         ("metadata.csv:2: no column 'file_name'",)),
    # Text
    Case("csv", "UTF-16", (encoded("x.csv", "utf-16"),), ("x.csv", "it is UTF-16, not UTF-8: save it as UTF-8")),
    Case("jsonl", "UTF-16", (encoded("x.jsonl", "utf-16"),), ("x.jsonl", "it is UTF-16")),
    Case("coco", "UTF-16", (encoded("captions.json", "utf-16"),), ("captions.json", "it is UTF-16")),
    Case("mllm-cl", "UTF-16", (encoded("RS/train.json", "utf-16"),), ("RS/train.json: it is UTF-16",)),
    Case("csv", "Latin-1", (edit("x.csv", "x0", "\u00e9"), encoded("x.csv", "latin-1")), ("x.csv:2: it is not UTF-8",)),
    Case("csv", "open quotation mark", (edit("x.csv", "x1", '"x1'),), ("x.csv:", "not a table")),
    Case("csv", "stray quotation mark", (edit("x.csv", "x1", '"x1" y'),), ("x.csv:3: not a table",)),
    Case("csv", "too many values", (edit("x.csv", "x1", "x1,y"),),
         ("x.csv:3: 5 values, but the header names 4 columns",)),
    Case("csv", "binary", (content("x.csv", bytes(range(256))),), ("x.csv",)),
    Case("csv", "empty file", (content("x.csv", ""),), ("x.csv:1: it is empty",)),
    Case("csv", "header alone", (content("x.csv", table().split("\n")[0] + "\n"),), ("there are no examples",)),
    Case("json", "cut off", (truncate("x.json", 200),), ("x.json:1: not JSON",)),
    Case("coco", "cut off", (truncate("captions.json", 500),), ("captions.json:1: not JSON",)),
    Case("mllm-cl", "cut off", (truncate("RS/test.json", 100),), ("RS/test.json:1: not JSON",)),
    Case("jsonl", "not JSON", (edit("x.jsonl", '{"image": "b.png"', '{image: "b.png"'),), ("x.jsonl:2: not JSON",)),
    Case("jsonl", "nested too deeply", (edit("x.jsonl", '"x1"', DEEP),), ("x.jsonl:2: not JSON",)),
    Case("json", "one object", (content("x.json", json.dumps(ROWS[0])),), ("x.json: no format reads it",)),
    Case("csv", "list of Python", (edit("x.csv", "x0", "\"['x', 'y']\""),),
         ("x.csv:2: a list is written in Python's notation", "--separator"), skipped=1),
    # Names
    Case("csv", "unknown split", (edit("x.csv", "train", "training set"),),
         ("x.csv:2: unknown split 'training set'",), skipped=1,
         words=("--column", "split=split")),
    Case("csv", "no split", (edit("x.csv", "split", "part"),),
         ("the splits of the examples are unknown", "--split 80/10/10"), code=2),
    Case("csv", "unknown type", (), ("own/x: unknown type 'vqaa'",), words=("--type", "vqaa", "--metric", "accuracy")),
    Case("csv", "unknown metric", (), ("own/x: unknown metric 'acuracy'", "Did you mean 'accuracy'?"),
         words=("--metric", "acuracy")),
    Case("csv", "unknown format", (), ("no format 'exel'",), code=3, words=("--format", "exel")),
    Case("csv", "unknown option", (), ("format csv has no option 'delimeter'", "Did you mean 'delimiter'?"),
         code=2, words=("-o", "delimeter", ";")),
    Case("csv", "shares that are none", (), ("'80' is not a division",), code=2, words=("--split", "80")),
    Case("csv", "name of a task", (), ("is that of registered tasks",), words=("--as", "mini/img_cap")),
    Case("csv", "name with a space", (), ("is not a valid task name",), code=2, words=("--as", "own/my birds")),
    Case("csv", "no name", (), ("--as is missing",), code=2, instead=("--from", "x.csv")),
    Case("csv", "option of a benchmark", (), ("--root is for published benchmarks",), code=2, words=("--root", ".")),
    Case("csv", "choice without choices", (), ("x.csv:2: choices are missing",), words=("--type", "choice")),
    # Places
    Case("csv", "no such file", (rename("x.csv", "y.csv"),), ("no file or folder x.csv", "Did you mean 'y.csv'?")),
    Case("csv", "pipe", (pipe("x.csv"),), ("x.csv", "it is not a regular file")),
    Case("csv", "folder of something else", (), ("no format reads it", "It looks like COCO 2017"),
         instead=("--from", "annotations/..", "--as", "own/x")),
    Case("mllm-cl", "renamed folder", (rename("RS", "remote"),),
         ("has no RS/train.json", "--root is the folder of MLLM-CL")),
    Case("mllm-cl", "other case of a folder", (rename("RS/train.json", "RS/Train.json"),),
         ("has no RS/train.json", "There is", "RS/Train.json")),
    Case("mllm-cl", "another data set", (rename("RS", "old"), content("annotations/instances_train2017.json", "{}")),
         ("It looks like COCO 2017",)),
    Case("mllm-cl", "no folder", (), ("no folder nowhere",), words=("--root", "nowhere")),
    Case("mllm-cl", "variant of prompts", (), ("has no prompts variant 'pubished'", "Did you mean 'published'?"),
         code=2, words=("--prompts", "pubished")),
    Case("mllm-cl", "no test examples", (content("RS/test.json", "[]"),), ("has no test examples",)),
]  # fmt: skip
FINE = [
    Case("csv", "mark and line ends of Windows", (encoded("x.csv", "utf-8-sig", "\r\n"),), ()),
    Case("jsonl", "mark and line ends of Windows", (encoded("x.jsonl", "utf-8-sig", "\r\n"),), ()),
    Case("coco", "byte order mark", (encoded("captions.json", "utf-8-sig"),), ()),
    Case("mllm-cl", "byte order mark", (encoded("RS/train.json", "utf-8-sig"),), ()),
    Case("csv", "quotation marks", (edit("x.csv", "x0", '"an ""x"", and\nmore"'),), ()),
    Case("csv", "spaces around a path", (edit("x.csv", "a.png", " ./a.png "),), ()),
    Case("csv", "no changes", (), ()),
]


def name_of(case: Case) -> str:
    return f"{case.base}: {case.name}"


@pytest.fixture
def prepare(micl: Any, data_folder: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Write the data set of a case, and prepare it."""

    def call(case: Case, *words: str) -> Any:
        base = BASES[case.base]
        if not data_folder.root.exists():
            data_folder.pictures(*base.pictures)
            for name, value in base.files.items():
                data_folder.write(name, value)
            if "annotations/.." in case.instead:
                for name in base.files:
                    (data_folder.root / name).unlink()
                for name in base.pictures:
                    (data_folder.root / name).unlink()
                data_folder.write("annotations/instances_train2017.json", "{}")
            for change in case.changes:
                change(data_folder)
        monkeypatch.chdir(data_folder.root)
        return micl("prepare", *(case.instead or base.words), *case.words, *words)

    return call


def written(home: Path) -> Iterator[str]:
    """Yield what is in the folder of prepared tasks besides locks."""
    return (path.name for path in (home / "tasks").rglob("*") if path.is_file() and not path.name.endswith(".lock"))


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_bad_data_set_is_refused_or_its_bad_examples_are_skipped(case: Case, prepare: Any, isolated: Path) -> None:
    done = prepare(case)
    assert (done.code, done.out) == (case.code, ""), done.err
    error = done.err[done.err.index("error: ") :]
    assert all(text in error for text in case.says), done.err
    assert "\nhint: " in error
    assert "Traceback" not in error
    assert not list(written(isolated))
    skipping = prepare(case, "--on-error", "skip")
    if case.skipped is None:
        assert (skipping.code, skipping.out) == (case.code, ""), skipping.err
        assert not list(written(isolated))
        return
    assert skipping.code == 0, skipping.err
    assert f"{case.skipped} examples skipped" in skipping.err
    assert int(skipping.out.splitlines()[1].split()[6]) == case.skipped


@pytest.mark.parametrize("case", FINE, ids=name_of)
def test_what_programs_write_differently_is_no_fault(case: Case, prepare: Any) -> None:
    done = prepare(case)
    assert done.code == 0, done.err
    assert "skipped\n" not in done.err
