from __future__ import annotations

import os
import signal
import threading

import pytest

from micl_cli.session.signals import stop_on_signal

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals between processes")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_to_stop_and_the_second_ends_at_once(number: int) -> None:
    notified: list[bool] = []
    with stop_on_signal(lambda: notified.append(True)) as stop:
        assert not stop()
        signal.raise_signal(number)
        assert stop()
        assert notified == [True]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert notified == [True]


def test_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signal():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_leave_the_handlers_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with stop_on_signal() as stop:
            seen.extend([stop(), signal.getsignal(signal.SIGINT)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, before]
