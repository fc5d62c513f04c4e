from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest

from micl_cli.api import Range, Search, options_of
from micl_cli.errors import PluginError


class Method:
    def __init__(
        self,
        *,
        weight: Annotated[float, "the weight", Range(0), Search(0.1, 10.0, log=True)] = 1.0,
        count: Annotated[int, "how many", Search(2, 16)] = 4,
        form: Annotated[Literal["sum", "online"], "which", Search(choices=("sum", "online"))] = "sum",
        rate: Annotated[float, "the rate", Search(0.2, 5.0, relative=True)] = 0.1,
        plain: Annotated[float, "not tuned"] = 0.0,
    ) -> None: ...


def test_an_option_declares_its_space() -> None:
    options = options_of(Method)
    assert options["weight"].search == Search(0.1, 10.0, log=True)
    assert {name: option.as_json()["search"] for name, option in options.items()} == {
        "weight": "0.1..10, log",
        "count": "2..16",
        "form": "sum|online",
        "rate": "0.2..5 times the default",
        "plain": None,
    }


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (Annotated[float, "x", Search()], "needs both ends"),
        (Annotated[float, "x", Search(2.0, 1.0)], "is not an interval"),
        (Annotated[float, "x", Search(0.0, 1.0, log=True)], "must begin above 0"),
        (Annotated[float, "x", Search(0.0, 1.0, choices=(1.0, 2.0))], "exclude each other"),
        (Annotated[float, "x", Search(choices=(1.0,))], "a single choice"),
        (Annotated[float, "x", Range(0, 1), Search(0.5, 2.0)], "includes 2.0, which is not a number, at least 0"),
        (Annotated[str, "x", Search(0.0, 1.0)], "is an interval, but the option is not a number"),
        (Annotated[bool, "x", Search(0.0, 1.0)], "is an interval, but the option is not a number"),
        (Annotated[Literal["a", "b"], "x", Search(choices=("a", "c"))], "includes c"),
    ],
)
def test_a_space_that_cannot_be_is_a_defect_of_the_plugin(annotation: Any, message: str) -> None:
    def construct(self: Any, *, x: Any = 1.0) -> None: ...

    construct.__annotations__["x"] = annotation
    cls = type("Wrong", (), {"__init__": construct})
    with pytest.raises(PluginError, match=message):
        options_of(cls)
