"""The board in a headless Chromium while a run is learnt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from micl_cli.session import Session
from micl_cli.settings import load_settings

pytestmark = pytest.mark.slow
HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked = 1</script>"


@pytest.fixture
def browser(chromium: Any) -> Iterator[Any]:
    """The browser, whose console must have no errors in the end."""
    yield chromium
    assert [entry for entry in chromium.get_log("browser") if entry["level"] != "INFO"] == []
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.get("about:blank")


def text(browser: Any, run: str, column: str) -> str:
    """The text of a cell as it is on the page now, or an empty text."""
    script = "return document.querySelector(arguments[0])?.innerText.trim() ?? ''"
    return str(browser.execute_script(script, f'#run-table tr[data-id="{run}"] [data-cell="{column}"]'))


def ids(browser: Any) -> Sequence[str]:
    """The listed runs, from top to bottom."""
    script = "return [...document.querySelectorAll('#run-table tbody tr')].map(each => each.dataset.id)"
    return list(browser.execute_script(script))


def wait(condition: Callable[[], Any], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it was not seen in time"
        time.sleep(0.2)


def test_the_page_follows_a_run_and_opens_reports(browser: Any, start_board: Any, start_learning: Any) -> None:
    running = start_board()
    browser.get(running.address)
    assert "micl learn --strategy moincl" in browser.find_element("id", "empty").text
    first = start_learning(HOSTILE)
    first.until("step", position=1, step=2)
    wait(lambda: text(browser, first.run, "progress") == "1/2 img_cap: step 2 of 6")
    assert not browser.find_element("id", "empty").is_displayed()
    assert text(browser, first.run, "state") == "running"
    assert HOSTILE in text(browser, first.run, "run")
    assert browser.execute_script("return window.hacked") is None
    first.until("step", position=2, step=1)
    wait(lambda: text(browser, first.run, "progress") == "2/2 aud_qa: step 1 of 6")
    second = start_learning("b", seed=1)
    second.until("step", position=1, step=1)
    wait(lambda: ids(browser) == [second.run, first.run])

    header = browser.find_element("css selector", '#run-table th[data-column="progress"]')
    header.find_element("tag name", "button").click()
    header.find_element("tag name", "button").click()
    assert (header.get_attribute("aria-sort"), ids(browser)) == ("descending", [first.run, second.run])
    box = browser.find_element("css selector", f'input[value="{first.run}"]')
    box.click()
    first.finish()
    wait(lambda: text(browser, first.run, "state") == "finished")
    assert ids(browser) == [first.run, second.run], "the order that was chosen stays"
    assert box.is_selected(), "what was chosen stays"
    assert f"{first.run} {HOSTILE} is finished" in browser.find_element("id", "news").get_property("textContent")
    second.finish()
    wait(lambda: text(browser, second.run, "state") == "finished")

    browser.find_element("css selector", f'input[value="{second.run}"]').click()
    assert browser.find_element("id", "chosen").text == "2 chosen"
    browser.find_element("css selector", "#listed button:not([type])").click()
    wait(lambda: "Report of 2 runs" in browser.title)
    assert len(browser.find_elements("css selector", "figure svg")) > 0
    browser.get(running.address)
    browser.find_element("partial link text", second.run).click()
    wait(lambda: browser.title.startswith(f"Run {second.run}"))
    assert browser.execute_script("return window.hacked") is None


def test_the_page_is_complete_without_script(browser: Any, start_board: Any, finished: str) -> None:
    running = start_board()
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(running.address)
    assert browser.find_element("link text", "Reload it").is_displayed()
    row = browser.find_element("css selector", f'tr[data-id="{finished}"]')
    assert "finished" in row.text
    row.find_element("tag name", "input").click()
    browser.find_element("css selector", "#listed button").click()
    wait(lambda: browser.title.startswith(f"Run {finished}"))


def test_it_is_legible_and_can_be_operated_by_all(
    browser: Any, start_board: Any, finished: str, serious_findings: Any
) -> None:
    browser.get(start_board().address)
    wait(lambda: ids(browser) == [finished])
    for colours in ("light", "dark"):
        assert serious_findings(browser, colours) == []
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 27)"
    size = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360


def test_the_table_fits_a_window_of_1280_pixels(browser: Any, start_board: Any, finished: str) -> None:
    with Session(load_settings()).store() as store:
        store.rename_run(finished, "a-name-of-some-length")
        store.tag_run(finished, ("paper", "noise"))
    browser.get(start_board().address)
    wait(lambda: ids(browser) == [finished])
    size = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    script = "const box = document.querySelector('#listed .scroll'); return [box.scrollWidth, box.clientWidth]"
    needed, room = browser.execute_script(script)
    assert needed <= room
    assert text(browser, finished, "strategy").split("\n") == ["moincl", "img_cap, aud_qa"]
    assert text(browser, finished, "progress") == ""


def test_it_rests_while_nobody_sees_it_and_says_when_the_board_has_ended(
    chromium: Any, start_board: Any, finished: str
) -> None:
    running = start_board()
    chromium.get(running.address)
    count = "return performance.getEntriesByName(new URL('/board.json', location).href).length"
    wait(lambda: chromium.execute_script(count) >= 2)
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    chromium.execute_script(hide % "true" + "document.dispatchEvent(new Event('visibilitychange'))")
    time.sleep(1)
    before = chromium.execute_script(count)
    time.sleep(5)
    assert chromium.execute_script(count) == before
    running.end()
    chromium.execute_script(hide % "false" + "document.dispatchEvent(new Event('visibilitychange'))")
    wait(lambda: "does not answer" in chromium.find_element("id", "connection").text)
    chromium.get("about:blank")
    chromium.get_log("browser")  # the refused connections
