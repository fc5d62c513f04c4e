"""Conversations and questions in the form of LLaVA: every shape that published files have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api import Fault, ManifestError, Media, Row, Source
from micl_readers.llava import IMAGE, conversation, conversation_rows, question_rows, under, with_images

Read = Callable[..., list[Row | Fault]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read items of a training file, or questions, of a data set "set" with the images a.jpg and b.jpg."""
    root = tmp_path / "set"
    (root / "RS" / "images").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        (root / "RS" / "images" / name).touch()

    def call(*items: Any, questions: bool = False, prompts: str = "published") -> list[Row | Fault]:
        path = root / "file.json"
        path.write_text("[\n" + ",\n".join(map(json.dumps, items)) + "\n]")
        source = Source(root, root, root, prompts)
        rows = (question_rows if questions else conversation_rows)(source, path, under("RS", "RS/images"))
        return [each if isinstance(each, Fault) else each.row for each in rows]

    return call


def talk(*values: str, **keys: Any) -> dict[str, Any]:
    turns = [{"from": ("human", "gpt")[index % 2], "value": value} for index, value in enumerate(values)]
    return {"id": "7", "image": "a.jpg", "conversations": turns, **keys}


def shown(row: Row | Fault) -> tuple[str, ...]:
    assert isinstance(row, Row), row
    return tuple(str(part.path) if isinstance(part, Media) else part for part in row.content)


A, B = "RS/images/a.jpg", "RS/images/b.jpg"


@pytest.mark.parametrize(
    "path",
    ["a.jpg", "./a.jpg", "images/a.jpg", "RS/images/a.jpg", "./RS/images/a.jpg", "set/RS/images/a.jpg", "set/a.jpg"],
)
def test_images_are_found_however_their_path_begins(read: Read, path: str) -> None:
    (row,) = read(talk("<image>\nhow many?", "3", image=path))
    assert shown(row) == (A, "how many?")


def test_a_path_into_another_folder_is_not_taken_for_a_file_of_the_same_name(read: Read) -> None:
    (row,) = read(talk("<image>\nhow many?", "3", image="other/a.jpg"))
    assert shown(row)[0] not in (A, B)


@pytest.mark.parametrize(
    ("value", "published", "as_in_file"),
    [
        ("<image>\nhow many?", (A, "how many?"), (A, "how many?")),
        ("<image> how many?", (A, "how many?"), (A, "how many?")),
        ("how many?\n<image>", (A, "how many?"), ("how many?", A)),
        ("in <image> how many?", (A, "in  how many?"), ("in", A, "how many?")),
        ("how many?", (A, "how many?"), (A, "how many?")),
        ("<image>", (A,), (A,)),
    ],
)
def test_published_training_moves_the_image_to_the_front(
    read: Read, value: str, published: tuple[str, ...], as_in_file: tuple[str, ...]
) -> None:
    assert shown(read(talk(value, "3"))[0]) == published
    assert shown(read(talk(value, "3"), prompts="file")[0]) == as_in_file


def test_each_turn_is_an_example_that_sees_the_turns_before_it(read: Read) -> None:
    rows = read(talk("<image>\nwhat?", "a dog", "which colour?", "brown\n"))
    assert [(row.id, row.references) for row in rows if isinstance(row, Row)] == [
        ("train-7", ("a dog",)),
        ("train-7/2", ("brown\n",)),
    ]
    assert shown(rows[1]) == (A, "what?\na dog\nwhich colour?")


def test_an_image_of_a_later_turn_is_not_shown_before_it(read: Read) -> None:
    first, second = read(talk("hello", "hi", "<image>\nwhat?", "a dog"))
    assert (shown(first), shown(second)) == (("hello",), ("hello\nhi", A, "what?"))


def test_several_images_stand_where_their_marks_are(read: Read) -> None:
    (row,) = read(talk("<image> or <image>?", "the first", image=["a.jpg", "./b.jpg"]))
    assert shown(row) == (A, "or", B, "?")
    (row,) = read(talk("which?", "the first", image=["a.jpg", "b.jpg"]))
    assert shown(row) == (A, B, "which?")


@pytest.mark.parametrize("keys", [{"image": None}, {"image": ""}, {"image": []}])
def test_an_item_without_image_is_text_alone(read: Read, keys: dict[str, Any]) -> None:
    assert shown(read(talk("what is 2 + 2?", "4", **keys))[0]) == ("what is 2 + 2?",)


def test_repeated_ids_get_a_number_that_no_other_id_has(read: Read) -> None:
    rows = read(*(talk("q", "a", id=name) for name in ("7", 7, "7#2", "7")))
    assert [row.id for row in rows] == ["train-7", "train-7#2", "train-7#2#2", "train-7#3"]


def test_an_item_without_id_has_that_of_its_line(read: Read) -> None:
    item = {"image": "a.jpg", "conversations": talk("q", "a")["conversations"]}
    assert [row.id for row in read(item, item)] == ["train-2", "train-3"]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (3, "it is not an object"),
        ({"id": "7"}, "the key 'conversations' is missing (its keys: id)"),
        (talk("q", "a", conversations="q"), "conversations is not a list"),
        (talk("q", "a", conversations=None), "conversations is not a list"),
        (talk("q", "a", conversations=[]), "the turns are missing, not human, gpt, ..."),
        (talk("q", "a", conversations=["q", "a"]), "it is not an object"),
        (talk("q"), "the turns are human, not human, gpt, ..."),
        (talk("q", "a", "q2"), "the turns are human, gpt, human, not human, gpt, ..."),
        (talk("q", "a", conversations=[{"from": "gpt", "value": "a"}] * 2), "the turns are gpt, gpt, not human, gpt"),
        (talk("q", "a", conversations=[{"from": "human"}, {"from": "gpt"}]), "the key 'value' is missing"),
        (talk("q", "a", id=None), "id is not a string"),
        (talk("<image>q", "a", image=None), "the text refers to an image, but the key 'image' is missing"),
        (talk("<image><image>q", "a"), "the text refers to 2 images, and 1 are given"),
        (talk("<image>q", "a", image=["a.jpg", "b.jpg"]), "the text refers to 1 images, and 2 are given"),
        (talk("q", "a", image=3), "image is neither a path nor a list of paths"),
        (talk("q", "a", image={"path": "a.jpg"}), "image is neither a path nor a list of paths"),
        (talk("q", "a", image=["a.jpg", None]), "image is neither a path nor a list of paths"),
    ],
)
def test_a_damaged_conversation_is_one_fault_with_its_line(read: Read, item: Any, reason: str) -> None:
    good, fault = read(talk("q", "a"), item)
    assert isinstance(good, Row)
    assert isinstance(fault, Fault)
    assert fault.where == "file.json:3"
    assert reason in fault.reason


def ask(**keys: Any) -> dict[str, Any]:
    return {"question_id": "12", "image": "a.jpg", "text": "how many?", "answer": "3", **keys}


@pytest.mark.parametrize(
    ("answer", "references"), [("3", ("3",)), (3, ("3",)), (2.5, ("2.5",)), (["three", 3], ("three", "3"))]
)
def test_questions_keep_their_ids_and_all_answers(read: Read, answer: Any, references: tuple[str, ...]) -> None:
    (row,) = read(ask(answer=answer), questions=True)
    assert row == Row("12", "test", (Media("image", Path(A)), "how many?"), references)


def test_the_published_form_of_an_id_is_kept(read: Read) -> None:
    (row,) = read(ask(question_id=12), questions=True)
    assert isinstance(row, Row)
    assert (row.id, row.meta) == ("12", {"question_id": 12})


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ([], "it is not an object"),
        ({"question_id": 1, "text": "q"}, "the key 'answer' is missing"),
        (ask(text=None), "text is not a string"),
        (ask(text=" "), "the question is empty"),
        (ask(answer=None), "answer is not a string"),
        (ask(answer=True), "answer is not a string"),
        (ask(answer=[["3"]]), "answer is not a string"),
        (ask(answer={"a": 1}), "answer is not a string"),
        (ask(question_id=["1"]), "question_id is not a string"),
    ],
)
def test_a_damaged_question_is_a_fault_with_its_line(read: Read, item: Any, reason: str) -> None:
    (fault,) = read(item, questions=True)
    assert isinstance(fault, Fault)
    assert fault.where == "file.json:2"
    assert reason in fault.reason


@pytest.mark.parametrize("text", ['{"a": []}', "[{]", "[{}", "", "[] []", "[NaN]"])
def test_a_file_that_is_no_list_is_an_error_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "train.json"
    path.write_text(text)
    with pytest.raises(ManifestError, match=r"^train\.json:1: "):
        list(conversation_rows(Source(tmp_path, tmp_path, tmp_path), path, under("RS")))


texts = st.text(st.sampled_from("ab \n<>"), max_size=6)


@given(st.lists(texts, min_size=1, max_size=5), st.booleans())
def test_no_text_is_lost_between_images(pieces: list[str], first: bool) -> None:
    images = [f"{number}.jpg" for number in range(len(pieces) - 1)]
    content = with_images(IMAGE.join(pieces), images, "x:1", first=first)
    assert [str(part.path) for part in content if isinstance(part, Media)] == images
    letters = "".join(part for part in content if isinstance(part, str))
    assert "".join(letters.split()) == "".join("".join(pieces).split())


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda each: st.lists(each)
    | st.dictionaries(st.sampled_from(["id", "from", "value", "conversations"]), each), max_leaves=8))  # fmt: skip
def test_any_value_is_a_conversation_or_an_error(item: Any) -> None:
    try:
        rows = conversation(item, "x:1", ())
    except ManifestError as error:
        assert error.message.startswith("x:1: ")
    else:
        assert rows
