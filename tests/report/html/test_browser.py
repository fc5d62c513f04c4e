"""HTML reports as a person sees them, in a headless Chromium; skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from micl_cli.report.data import RunData
from micl_cli.report.html.answers import ReportDetails
from micl_cli.report.html.render import html_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(routed: RunData, details: ReportDetails, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the report of one run."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(html_report([routed], [], details), encoding="utf-8")
    return file


@pytest.fixture
def browser(chromium: Any, report: Path) -> Iterator[Any]:
    """The browser, with the report of one run."""
    chromium.get(report.as_uri())
    yield chromium
    assert [entry for entry in chromium.get_log("browser") if entry["level"] != "INFO"] == []
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def every(browser: Any, selector: str) -> Sequence[Any]:
    return browser.find_elements("css selector", selector)


def shown_ids(browser: Any, task: int = 1) -> list[str]:
    """The ids of the examples of a task that can be seen, from top to bottom."""
    headers = every(browser, f'.task[data-task="{task}"] tbody th')
    return [header.text for header in headers if header.is_displayed()]


def choose(browser: Any, name: str, text: str) -> None:
    from selenium.webdriver.support.select import Select

    Select(browser.find_element("name", name)).select_by_visible_text(text)


def test_pictures_are_seen(browser: Any) -> None:
    widths = browser.execute_script("return [...document.images].map(each => [each.complete, each.naturalWidth])")
    assert widths == [[True, width] for _, width in widths]
    assert len(widths) == 5
    plots = every(browser, "figure svg")
    assert len(plots) == 6
    assert all(plot.size["width"] > 150 and plot.size["height"] > 40 for plot in plots)
    assert "512.5" in every(browser, "#run-scores figure")[0].get_property("textContent")
    assert "Run 3f2a91c04d1e: demo" in every(browser, "h1")[0].text


def test_answers_are_sorted_by_their_score(browser: Any) -> None:
    (button,) = [each for each in every(browser, '.task[data-task="1"] th button') if "after 2" in each.text]
    header = button.find_element("xpath", "..")
    button.click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert shown_ids(browser) == ["1", "2", "11", "3", "10"]  # the last has no score
    button.send_keys(" ")
    assert header.get_attribute("aria-sort") == "descending"
    assert shown_ids(browser) == ["3", "11", "2", "1", "10"]
    button.click()
    assert header.get_attribute("aria-sort") is None
    assert shown_ids(browser) == ["1", "2", "3", "10", "11"]


def test_tables_are_sorted_by_numbers_and_texts(browser: Any) -> None:
    every(browser, '.task[data-task="1"] th button')[0].click()
    assert shown_ids(browser) == ["1", "2", "3", "10", "11"]
    (memory,) = [each for each in every(browser, "#run-cost th button") if each.text.startswith("peak memory")]
    memory.click()
    names = [each.text for each in every(browser, "#run-cost tbody th")]
    assert names[0] == "1 img_cap"  # 612.0 MB before 1.2 GB


def test_answers_are_filtered(browser: Any) -> None:
    status = browser.find_element("css selector", "output")
    choose(browser, "state", "wrong")
    assert shown_ids(browser) == ["1"]
    assert status.text == "1 of 65 examples shown"
    choose(browser, "stage", "after 1 img_cap")
    assert shown_ids(browser) == ["2"]
    assert not [each for each in every(browser, '[data-stage="2"]') if each.is_displayed()]
    choose(browser, "stage", "all")
    choose(browser, "state", "forgotten")
    assert shown_ids(browser) == ["1"]
    choose(browser, "state", "all answers")
    browser.find_element("name", "words").send_keys("ANSWER 11")
    assert shown_ids(browser) == ["11"]
    browser.find_element("name", "words").clear()
    choose(browser, "task", "aud_qa")
    assert shown_ids(browser, 1) == []
    assert shown_ids(browser, 2) == ["1"]


def test_controls_are_reached_by_keyboard(browser: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.find_element("name", "task").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("name") == "stage"
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert browser.execute_script(outline) != "none"


def test_hostile_text_is_shown_and_does_nothing(browser: Any, hostile: str) -> None:
    assert browser.execute_script("return window.hacked") is None
    assert hostile[:40] in browser.find_element("css selector", '.task[data-task="2"]').text


def test_the_page_is_complete_without_script(browser: Any) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.refresh()
    assert shown_ids(browser) == ["1", "2", "3", "10", "11"]
    assert not every(browser, "th button")
    assert not browser.find_element("css selector", "form").is_displayed()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, serious_findings: Any, colours: str) -> None:
    assert serious_findings(browser, colours) == []


def test_dark_mode_has_light_text_also_in_plots(browser: Any) -> None:
    colour = "return getComputedStyle(document.querySelector('#run-stages svg text')).fill"
    light = browser.execute_script(colour)
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    assert light != browser.execute_script(colour)
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 27)"


def test_a_narrow_page_does_not_scroll_sideways(browser: Any) -> None:
    size = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360


def test_plots_stand_side_by_side_where_there_is_room(browser: Any) -> None:
    tops: dict[int, list[int]] = {}
    for width in (1280, 360):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        tops[width] = [plot.rect["y"] for plot in every(browser, ".columns section:not(.wide) > .flow > figure")]
    assert len(set(tops[1280])) < len(tops[1280]) >= 2
    assert len(set(tops[360])) == len(tops[360])


def test_print_shows_folded_references_and_no_controls(browser: Any) -> None:
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not browser.find_element("css selector", "form").is_displayed()
    assert browser.execute_script("return getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
