from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from micl_cli.errors import PluginError, UsageError
from micl_cli.registry import Registry, command_entry_points, kind_name

METRIC = """
from micl_cli.api import Metric, Score

class Half(Metric):
    name = "half"

    def score(self, answers, references):
        return Score(0.5, ())

text = "no class"

class Other:
    pass
"""


def announcing(*lines: str, hook: str = "micl_register_metrics") -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f"from micl_cli.api import hookimpl\n\n@hookimpl\ndef {hook}(register):\n{body}"


def half(name: str = "half", target: str = "half_parts:Half") -> str:
    return announcing(f"register({name!r}, {target!r}, 'always a half')")


@pytest.fixture
def installed(install: Any) -> Any:
    """A sound plugin micl-half 1.0 that announces the metric half."""
    install(
        "micl-half",
        entry_points="[micl]\nhalf = half_plugin\n",
        files={"half_plugin.py": half(), "half_parts.py": METRIC},
    )
    return install


def broken(registry: Registry) -> dict[str, str]:
    return {part.name: part.error for part in registry.parts("plugin") if part.state == "broken"}


def test_a_part_is_announced_lazily_and_loaded_when_asked_for(installed: Any) -> None:
    import sys

    registry = Registry.discover()
    part = registry.find("metric", "half")
    assert (part.kind, part.name, part.target) == ("metrics", "half", "half_parts:Half")
    assert (part.summary, part.distribution, part.version, part.state) == ("always a half", "micl-half", "1.0", "ok")
    assert "half_parts" not in sys.modules
    assert registry.load("metrics", "half").__name__ == "Half"
    assert registry.find("metrics", "micl_half:half") == part


def test_in_tree_parts_come_in_through_the_same_door() -> None:
    parts = Registry.discover().parts("strategies")
    assert {"finetune", "joint", "moincl"} <= {part.name for part in parts if part.distribution == "micl-cli"}


@pytest.mark.parametrize("word", ["strategy", "strategies", "Strategies"])
def test_kinds_are_accepted_in_both_numbers(word: str) -> None:
    assert kind_name(word) == "strategies"


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'metrics'"):
        kind_name("metricks")


def test_an_unknown_name_names_the_nearest(installed: Any) -> None:
    with pytest.raises(PluginError) as caught:
        Registry.discover().find("metric", "halv")
    assert caught.value.exit_code == 3
    assert caught.value.message == "no metric 'halv'"
    assert caught.value.hint == "Did you mean 'half'? List them with `micl plugins --kind metrics`."


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("raise RuntimeError('no luck\\nat all')", "RuntimeError: no luck at all"),
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("import sys; sys.exit(4)", "SystemExit: 4"),
        ("def f(:", "SyntaxError"),
        (announcing("raise KeyError('x')"), "KeyError: 'x'"),
        (announcing("register('x', 'nowhere')"), "'nowhere' is not a valid target"),
        (announcing("register('a b', 'm:C')"), "'a b' is not a valid name"),
        (announcing("register('x', 'm:C')", "register('x', 'm:D')"), "metric 'x' is registered twice"),
        (announcing("pass", hook="micl_register_metric"), "unknown hook 'micl_register_metric'"),
        (announcing("pass").replace("(register)", "(registry)"), "PluginValidationError"),
    ],
)
def test_a_broken_plugin_is_named_and_costs_only_itself(installed: Any, source: str, error: str) -> None:
    installed("micl-bad", entry_points="[micl]\nbad = bad_plugin\n", files={"bad_plugin.py": source})
    registry = Registry.discover()
    assert error in broken(registry)["bad"]
    assert "\n" not in broken(registry)["bad"]
    assert registry.find("metric", "half").state == "ok"
    with pytest.raises(PluginError, match="Plugin 'bad' of micl-bad is broken: "):
        registry.find("metric", "x")
    assert registry.notify("micl_event", run="r", event=None) == []


def test_an_entry_point_to_nowhere_is_broken(installed: Any) -> None:
    installed("micl-bad", entry_points="[micl]\nbad = bad_plugin:missing\n", files={"bad_plugin.py": ""})
    assert "AttributeError" in broken(Registry.discover())["bad"]


def test_malformed_entry_points_cost_only_their_distribution(installed: Any) -> None:
    installed("micl-bad", entry_points="[micl]\nno equals sign\n")
    registry = Registry.discover()
    assert registry.find("metric", "half").state == "ok"
    assert "half" in [part.name for part in registry.parts("metrics")]


def test_two_distributions_with_one_name_are_to_be_chosen_from(installed: Any) -> None:
    installed(
        "micl-twin",
        entry_points="[micl]\ntwin = twin_plugin\n",
        files={"twin_plugin.py": half(target="half_parts:Other")},
    )
    registry = Registry.discover()
    assert [part.state for part in registry.parts("metrics") if part.name == "half"] == ["ambiguous"] * 2
    with pytest.raises(PluginError) as caught:
        registry.find("metric", "half")
    assert caught.value.exit_code == 3
    assert "micl-half:half or micl-twin:half" in caught.value.hint
    assert registry.find("metric", "micl-twin:half").distribution == "micl-twin"
    assert registry.load("metric", "micl-half:half").__name__ == "Half"


def test_a_distribution_that_is_on_the_path_twice_is_one(installed: Any) -> None:
    points, files = "[micl]\nhalf = half_plugin\n", {"half_plugin.py": half()}
    installed("micl-half", entry_points=points, files=files, version="0.9", to="older")
    installed("micl-half", entry_points=points, files=files, version="1.0")
    parts = [part for part in Registry.discover().parts("metrics") if part.name == "half"]
    assert [(part.version, part.state) for part in parts] == [("1.0", "ok")]


def test_one_module_under_two_entry_points_is_one_plugin(installed: Any) -> None:
    installed("micl-half", entry_points="[micl]\nhalf = half_plugin\nagain = half_plugin\n")
    assert Registry.discover().find("metric", "half").state == "ok"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("not_there:Half", "cannot be loaded: ModuleNotFoundError"),
        ("half_parts:Quarter", "cannot be loaded: AttributeError"),
        ("half_parts:Other", "is not a valid metric"),
        ("half_parts:text", "is not a valid metric"),
    ],
)
def test_a_part_that_cannot_be_loaded_tells_the_way_out(install: Any, target: str, why: str) -> None:
    install(
        "micl-half",
        entry_points="[micl]\nhalf = half_plugin\n",
        files={"half_plugin.py": half(target=target), "half_parts.py": METRIC},
    )
    with pytest.raises(PluginError) as caught:
        Registry.discover().load("metric", "half")
    assert caught.value.message.startswith(f"metric 'half' of micl-half 1.0 {why}")
    assert "pip uninstall micl-half" in caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint


HOOKS = """
from micl_cli.api import hookimpl

events = []

@hookimpl
def micl_event(run, event):
    events.append(event)
    {body}

@hookimpl
def micl_metrics(matrix):
    {metrics}
"""


def hooks(install: Any, name: str, body: str = "pass", metrics: str = "return None") -> None:
    source = HOOKS.format(body=body, metrics=metrics)
    install(f"micl-{name}", entry_points=f"[micl]\n{name} = {name}_plugin\n", files={f"{name}_plugin.py": source})


def test_plugins_get_events_and_one_that_raises_is_warned_about_once(install: Any) -> None:
    hooks(install, "good")
    hooks(install, "angry", "raise ValueError('ouch')")
    registry = Registry.discover()
    (warning,) = registry.notify("micl_event", run="r", event=1)
    assert "'angry' of micl-angry 1.0 failed in micl_event" in warning
    assert "ValueError: ouch" in warning
    assert registry.notify("micl_event", run="r", event=2) == []
    import angry_plugin  # type: ignore[import-not-found]
    import good_plugin  # type: ignore[import-not-found]

    assert good_plugin.events == [1, 2]
    assert angry_plugin.events == [1]


def test_results_are_collected_in_a_fixed_order_and_failures_kept_as_warnings(install: Any) -> None:
    hooks(install, "b", metrics="return {'b': 1.0}")
    hooks(install, "a", metrics="return {'a': 1.0}")
    hooks(install, "c", metrics="raise ValueError")
    hooks(install, "d")
    registry = Registry.discover()
    assert registry.collect("micl_metrics", run="r", matrix=[], tasks=[]) == [{"a": 1.0}, {"b": 1.0}]
    assert ["'c' of micl-c" in warning for warning in registry.warnings] == [True]


def test_a_plugin_that_announces_no_part_is_listed_with_its_hooks(install: Any) -> None:
    hooks(install, "good")
    (part,) = [part for part in Registry.discover().parts("plugin") if part.name == "good"]
    assert (part.state, part.summary) == ("ok", "implements micl_event, micl_metrics")


def test_an_interrupt_is_not_taken_for_a_failing_plugin(install: Any) -> None:
    hooks(install, "stopping", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        Registry.discover().notify("micl_event", run="r", event=1)


def test_commands_are_found_without_being_imported(install: Any, tmp_path: Path) -> None:
    install("micl-more", entry_points="[micl.commands]\nmore = more_commands:more\n")
    assert command_entry_points()["more"].value == "more_commands:more"


KINDS_OF_STRANGERS = """
from micl_cli.api import AdapterKind, Encoder, Listener

class Points(Encoder):
    pass

class Scale(AdapterKind):
    pass

class Log(Listener):
    pass
"""


@pytest.mark.parametrize(
    ("kind", "singular", "name"),
    [("encoders", "encoder", "Points"), ("adapters", "adapter", "Scale"), ("listeners", "listener", "Log")],
)
def test_encoders_adapter_kinds_and_listeners_are_parts(install: Any, kind: str, singular: str, name: str) -> None:
    source = announcing(f"register('mine', 'strange_parts:{name}', 'a part')", hook=f"micl_register_{kind}")
    files = {"strange_plugin.py": source, "strange_parts.py": KINDS_OF_STRANGERS}
    install("micl-strange", entry_points="[micl]\nstrange = strange_plugin\n", files=files)
    registry = Registry.discover()
    assert registry.load(singular, "mine").__name__ == name
    assert "mine" in [part.name for part in registry.parts(kind)]
