"""Files of pseudo targets: the shapes that are read, what is refused, and how MoInCL learns from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api import Example, PlanError
from micl_cli.testing import Course, ToyBackbone, toy_task
from micl_strategies.moincl import MoInCL
from micl_strategies.pseudo_targets import PseudoTargets

IMG_CAP, IMG_QA = toy_task("image", "captioning"), toy_task("image", "qa")


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def captioned(*captions: str) -> Example:
    return Example("1", references=captions)


@pytest.mark.parametrize(
    "content",
    [
        {"A man runs .": {"question": "Who runs?", "answer": "man"}},
        {"A man runs .": ["Who runs?", "man"]},
        [{"caption": "A man runs .", "question": "Who runs?", "answer": "man", "id": 7}],
    ],
    ids=["object of objects", "object of pairs", "list"],
)
def test_each_shape_gives_the_pair_of_a_caption(tmp_path: Path, content: Any) -> None:
    known = PseudoTargets(written(tmp_path / "pairs.json", content))
    assert known.of(captioned("a dog", "a man  runs .")) == [("Who runs?", "man")]
    assert known.of(captioned("A man ran .")) == []


def test_an_example_has_the_pairs_of_all_its_captions_once(tmp_path: Path) -> None:
    pairs = {"a": ["q?", "x"], "b": ["q?", "x"], "c": ["r?", "y"], "d": ["s?", ""]}
    known = PseudoTargets(written(tmp_path / "pairs.json", pairs))
    assert known.of(captioned("a", "b", "c", "d", "e")) == [("q?", "x"), ("r?", "y")]


def test_a_folder_is_all_its_json_files(tmp_path: Path) -> None:
    written(tmp_path / "AudioCaps.json", {"rain": ["What falls?", "rain"]})
    written(tmp_path / "flickr30k.json", {"a dog": ["What is it?", "dog"]})
    (tmp_path / "README").write_text("not JSON")
    known = PseudoTargets(tmp_path)
    assert known.of(captioned("rain", "a dog")) == [("What falls?", "rain"), ("What is it?", "dog")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("3", "neither an object nor a list"),
        ('{"a": "q? x"}', "entry 1 is not a caption with a question and an answer"),
        ('{"a": ["q?", "x"], "b": ["q?"]}', "entry 2 is not"),
        ('{"a": ["q?", 3]}', "entry 1 is not"),
        ('[{"caption": "a", "question": "q?"}]', "entry 1 is not"),
        ('[["a", "q?", "x"]]', "entry 1 is not"),
        ('{"a": ', "cannot read"),
        ('\ufeff{"a": NaN}', "cannot read"),
    ],
)
def test_another_shape_is_refused_and_the_right_ones_are_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "pairs.json").write_text(content, encoding="utf-8")
    with pytest.raises(PlanError, match=message) as refused:
        MoInCL(ToyBackbone(), pseudo_targets=str(tmp_path / "pairs.json"))
    assert '"question": "…"' in refused.value.hint
    assert str(tmp_path / "pairs.json") in refused.value.message


def test_a_folder_without_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="has no JSON files"):
        PseudoTargets(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(JSON)
def test_whatever_json_it_is_there_are_pairs_of_texts_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: Any
) -> None:
    path = written(tmp_path_factory.mktemp("any") / "pairs.json", content)
    try:
        known = PseudoTargets(path)
    except PlanError as error:
        assert "Expected" in error.hint
        return
    captions = content if isinstance(content, dict) else [item["caption"] for item in content]
    assert all(question and answer for question, answer in known.of(captioned(*captions)))


# Learning from them


def course(path: Path, **options: Any) -> Course:
    """A course that has learnt questions about images and has begun to learn their captions."""
    values = {"pseudo_targets": str(path), **options}
    made = Course(MoInCL(ToyBackbone(), **values), [IMG_QA, IMG_CAP], options=values)
    made.learn(1)
    made.begin(2)
    return made


def pairs_for(examples: list[Example]) -> dict[str, list[str]]:
    return {caption: [f"which {caption}?", "this"] for example in examples for caption in example.references}


def pseudo(made: Course) -> list[Example]:
    assert isinstance(made.strategy, MoInCL)
    return made.strategy.pseudo


def samples(made: Course) -> list[tuple[str, str, str]]:
    return [(sample.meta["source"], sample.prompt, sample.target) for sample in pseudo(made)]


def test_its_pairs_are_the_pseudo_samples_and_others_are_written(tmp_path: Path) -> None:
    inputs = list(IMG_CAP.examples("train"))
    first, others = inputs[0], [e for e in inputs if not set(e.references) & set(inputs[0].references)]
    assert others
    made = course(written(tmp_path / "pairs.json", pairs_for([first])))
    found = samples(made)
    given = [(e.id, prompt, answer) for e, prompt, answer in expected(inputs, pairs_for([first]))]
    assert found[: len(given)] == given
    assert {source for source, _, _ in found[len(given) :]} == {e.id for e in inputs} - {id for id, _, _ in given}
    (note,) = (progress.note for progress in made.progress if progress.note)
    sources = {id for id, _, _ in given}
    assert note.startswith(
        f"{len(given)} questions for {len(sources)} of {len(inputs)} training examples of {IMG_CAP.name}"
    )
    assert note.endswith(f"those for the other {len(inputs) - len(sources)} are written")


def expected(inputs: list[Example], pairs: dict[str, list[str]]) -> list[tuple[Example, str, str]]:
    """All pairs of all captions of each example, each once."""
    found = []
    for example in inputs:
        mine = dict.fromkeys(tuple(pairs[c]) for c in example.references if c in pairs)
        found += [(example, question, answer) for question, answer in mine]
    return found


def test_learning_from_them_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.json", pairs_for(list(IMG_CAP.examples("train"))[:3]))
    made = course(path)
    made.step()
    values = {"pseudo_targets": str(path)}
    again = Course(MoInCL(ToyBackbone(), **values), [IMG_QA, IMG_CAP], options=values)
    again.resume(made.checkpoint())
    assert samples(again) == samples(made)
    assert [sample.id for sample in pseudo(again)] == [sample.id for sample in pseudo(made)]
    assert made.strategy.state().data["given"] + len(made.strategy.state().data["pseudo"]) == len(samples(made))
    assert [again.step() for _ in range(3)] == [made.step() for _ in range(3)]


def test_without_a_file_all_are_written() -> None:
    made = Course(MoInCL(ToyBackbone()), [IMG_QA, IMG_CAP])
    made.learn(1)
    made.begin(2)
    assert not [progress.note for progress in made.progress if progress.note]
    assert {source for source, _, _ in samples(made)} == {e.id for e in IMG_CAP.examples("train")}
