"""Delivery of the events of a run to the hook ``micl_event`` and to the listeners that the user chose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any, cast

from micl_cli.api.events import Event, Notice
from micl_cli.api.listener import Listener, RunInfo
from micl_cli.api.options import options_of, parse_options
from micl_cli.errors import OptionError, PluginError
from micl_cli.registry import FAILURES, Registry, error_line
from micl_cli.settings import LISTEN, Settings

ListenerFactory = Callable[[], Listener]


def configured_listeners(names: Sequence[str], settings: Settings, registry: Registry) -> dict[str, ListenerFactory]:
    """Return a factory for each named listener, with its options from the ``[listen.NAME]`` tables.

    A name may be a list: "tensorboard,mlflow".

    Raises PluginError for an unknown listener or one that lacks a library, OptionError for an unknown, invalid or
    missing option.
    """
    single = [name.strip() for text in names for name in text.split(",") if name.strip()]
    return {name: _configured(name, settings, registry) for name in single}


def _configured(name: str, settings: Settings, registry: Registry) -> ListenerFactory:
    cls: type[Any] = registry.load("listeners", name)
    for module, command in cls.requires.items():
        if find_spec(module) is None:
            raise PluginError(f"listener {name} needs the package {module}, which is not installed", f"Run: {command}")
    table = settings.listener_options(name)
    for option in options_of(cls).values():
        if option.required and option.name not in table:
            raise OptionError(
                f"listener {name} needs the option {option.name!r}",
                f"Set it in [{LISTEN}.{name}] of micl.toml: {option.help}",
            )
    raw = {key: value for key, (value, _) in table.items()}
    options = parse_options(cls, raw, owner=f"listener {name}")
    return lambda: cast(Listener, cls(**options))


class EventDelivery:
    """Delivers the events of a run to plugins and listeners. A listener that raises gets no further events.

    With the first event, listeners are started with ``info()``; what they return is delivered as notices.
    """

    def __init__(
        self,
        run: str,
        registry: Registry,
        factories: Mapping[str, ListenerFactory],
        info: Callable[[], RunInfo] | None = None,
    ) -> None:
        self.run, self.registry, self._info = run, registry, info
        self._warnings: list[str] = []
        self._failed: set[str] = set()
        created = {name: self._guarded(name, "cannot be started", create) for name, create in factories.items()}
        self._listeners: dict[str, Listener] = {name: each for name, each in created.items() if each is not None}

    def deliver(self, event: Event) -> Iterator[Notice]:
        """Deliver an event. Yields a notice about each plugin and listener that failed; notices are delivered too."""
        self._start()
        self._warnings += self.registry.notify("micl_event", run=self.run, event=event)
        for name, listener in self._listeners.items():
            if name not in self._failed:
                self._guarded(name, f"failed on event {event.name!r}", partial(listener.consume, self.run, event))
        for notice in self._notices():
            yield notice
            yield from self.deliver(notice)

    def close(self) -> list[Notice]:
        """Close every listener, including those that failed. Returns notices about those that could not be closed."""
        listeners, self._listeners = self._listeners, {}
        for name, listener in listeners.items():
            self._guarded(name, "could not be closed", listener.close)
        return self._notices()

    def _start(self) -> None:
        """Start the listeners, once."""
        make, self._info = self._info, None
        if make is None or not self._listeners:
            return
        info = make()
        for name, listener in self._listeners.items():
            own = replace(info, folder=info.folder / name)
            if text := self._guarded(name, "cannot be started", partial(listener.start, own)):
                self._warnings.append(text)

    def _notices(self) -> list[Notice]:
        warnings, self._warnings = self._warnings, []
        return [Notice(text=text) for text in warnings]

    def _guarded(self, name: str, problem: str, call: Callable[[], Any]) -> Any:
        """Return the result of ``call``, or None if it raises; the listener then gets no further events."""
        try:
            return call()
        except FAILURES as error:
            if name not in self._failed:  # what failed once can often not be closed either
                self._warnings.append(f"listener {name!r} {problem} and gets no further events: {error_line(error)}")
            self._failed.add(name)
        return None
