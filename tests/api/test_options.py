from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli.api.options import ExistingFile, options_of, parse_options
from micl_cli.errors import OptionError, PluginError

if TYPE_CHECKING:
    from nowhere import Unknown


class Base:
    def __init__(
        self, backbone: Unknown, *, rng: random.Random | None = None, depth: Annotated[int, "how deep"] = 2
    ) -> None: ...


class Method(Base):
    def __init__(
        self,
        backbone: Unknown,
        *,
        strength: Annotated[float, "how strong"] = 0.5,
        when: Annotated[Literal["modality", "type"], "when to act"] = "modality",
        name: Annotated[str, "a name"] = "",
        fuse: Annotated[bool, "whether to fuse"] = False,
        limit: Annotated[Optional[int], "at most so many"] = None,  # noqa: UP045
        file: Annotated[Path | None, "a file"] = Path("a/b"),
        helper: Unknown = None,
        **options: Any,
    ) -> None: ...


class Inheriting(Method):
    """Has no constructor of its own."""


class Final(Method):
    def __init__(self, backbone: Unknown, *, strength: Annotated[int, "another strength"] = 1) -> None: ...


class Fixed(Method):
    def __init__(self, backbone: Unknown, strength: float = 1.0, **options: Any) -> None: ...


class Needing(Base):
    def __init__(self, backbone: Unknown, *, size: Annotated[int, "how big"], **options: Any) -> None: ...


OWN = ["strength", "when", "name", "fuse", "limit", "file"]


def test_options_are_those_with_help_own_ones_first() -> None:
    assert list(options_of(Method)) == [*OWN, "depth"]
    assert list(options_of(Inheriting)) == [*OWN, "depth"]


def test_what_is_not_passed_up_is_no_option() -> None:
    found = options_of(Final)
    assert list(found) == ["strength"]
    assert (found["strength"].type, found["strength"].help) == (int, "another strength")


def test_what_a_subclass_decides_is_no_option() -> None:
    assert "strength" not in options_of(Fixed)


def test_an_option_tells_type_default_and_choices() -> None:
    found = options_of(Method)
    assert found["strength"].type_name == "float"
    assert found["when"].type_name == "modality|type"
    assert found["when"].choices == ("modality", "type")
    assert found["limit"].type_name == "int or none"
    assert options_of(Needing)["size"].required
    assert not found["strength"].required


def test_options_are_json_ready() -> None:
    text = json.dumps([option.as_json() for option in options_of(Method).values()])
    assert json.loads(text)[5]["default"] == str(Path("a/b"))


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("strength", "0.25", 0.25),
        ("strength", 1, 1.0),
        ("depth", "3", 3),
        ("when", "type", "type"),
        ("fuse", "yes", True),
        ("fuse", False, False),
        ("limit", "none", None),
        ("limit", None, None),
        ("limit", 7, 7),
        ("file", "x/y", Path("x/y")),
        ("name", "", ""),
        ("name", "none", "none"),
    ],
)
def test_text_and_toml_become_the_type(name: str, raw: Any, value: Any) -> None:
    parsed = parse_options(Method, {name: raw}, owner="strategy method")[name]
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("strength", "strong", "a number"),
        ("strength", "nan", "a number"),
        ("strength", "inf", "a number"),
        ("strength", True, "a number"),
        ("depth", "1.5", "a whole number"),
        ("depth", 1.0, "a whole number"),
        ("depth", None, "a whole number"),
        ("fuse", "perhaps", "true or false"),
        ("fuse", 1, "true or false"),
        ("name", 3, "text"),
        ("when", "types", "one of modality, type"),
        ("file", "\0", "a path, or none"),
        ("depth", "9" * 5000, "a whole number"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_expected(name: str, raw: Any, expected: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_options(Method, {name: raw}, owner="strategy method")
    assert f"option '{name}' of strategy method expects {expected}" in caught.value.message


def test_a_wrong_choice_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="Did you mean 'type'"):
        parse_options(Method, {"when": "typ"}, owner="strategy method")


def test_an_unknown_option_names_the_nearest_and_its_owner() -> None:
    with pytest.raises(OptionError) as caught:
        parse_options(Method, {"strenght": "1"}, owner="strategy method")
    assert caught.value.message == "strategy method has no option 'strenght'"
    assert caught.value.hint.startswith("Did you mean 'strength'?")


def test_an_object_without_options_says_so() -> None:
    with pytest.raises(OptionError, match="It has no options"):
        parse_options(object, {"a": 1}, owner="metric x")


def test_a_required_option_is_asked_for_unless_partial() -> None:
    with pytest.raises(OptionError, match="strategy s needs the option 'size'"):
        parse_options(Needing, {}, owner="strategy s")
    assert parse_options(Needing, {}, owner="strategy s", partial=True) == {}
    assert parse_options(Needing, {"size": "4"}, owner="strategy s") == {"size": 4}


def test_an_unsupported_type_is_the_plugins_fault() -> None:
    class Wrong:
        def __init__(self, *, sizes: Annotated[list[int], "sizes"]) -> None: ...

    with pytest.raises(PluginError, match="declares option 'sizes' incorrectly"):
        options_of(Wrong)


def test_an_unreadable_annotation_is_the_plugins_fault() -> None:
    class Wrong:
        def __init__(self, *, size: Annotated[Unknown, "size"] = 1) -> None: ...

    with pytest.raises(PluginError, match="declares option 'size' incorrectly"):
        options_of(Wrong)


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_survives_being_text(value: float) -> None:
    assert parse_options(Method, {"strength": str(value)}, owner="s") == {"strength": value}


@given(value=st.integers())
def test_every_integer_survives_being_text(value: int) -> None:
    assert parse_options(Method, {"depth": str(value)}, owner="s") == {"depth": value}


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@given(raw=st.dictionaries(st.sampled_from([*OWN, "depth", "other"]), ANYTHING))
def test_anything_is_either_typed_or_refused(raw: dict[str, Any]) -> None:
    try:
        parsed = parse_options(Method, raw, owner="s")
    except OptionError:
        return
    assert parsed.keys() == raw.keys()
    assert "other" not in parsed
    known = options_of(Method)
    for name, value in parsed.items():
        assert isinstance(value, known[name].type) or (value is None and known[name].optional)
        json.dumps(str(value) if isinstance(value, Path) else value, allow_nan=False)


def test_a_file_is_the_same_one_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reading:
        def __init__(self, *, texts: Annotated[str, "a file of texts", ExistingFile()] = "") -> None: ...

    (tmp_path / "a.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    parsed = parse_options(Reading, {"texts": "a.txt"}, owner="x")
    assert parsed == {"texts": str(tmp_path / "a.txt")}
    monkeypatch.chdir("/")
    assert parse_options(Reading, parsed, owner="x") == parsed
    for wrong in ("a.txt", "~of_nobody/a.txt"):
        with pytest.raises(OptionError):
            parse_options(Reading, {"texts": wrong}, owner="x")


def test_a_folder_may_stand_for_its_files_where_that_is_said(tmp_path: Path) -> None:
    class Reading:
        def __init__(
            self,
            *,
            texts: Annotated[str, "a file of texts", ExistingFile()] = "",
            pairs: Annotated[str, "a file or folder of pairs", ExistingFile(folder=True)] = "",
        ) -> None: ...

    assert parse_options(Reading, {"pairs": str(tmp_path)}, owner="x") == {"pairs": str(tmp_path)}
    with pytest.raises(OptionError, match="the path of a file that exists"):
        parse_options(Reading, {"texts": str(tmp_path)}, owner="x")
    with pytest.raises(OptionError, match="the path of a file or folder that exists"):
        parse_options(Reading, {"pairs": str(tmp_path / "none")}, owner="x")
