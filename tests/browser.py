"""Fixtures for tests of pages in a browser, which the conftest.py of their folder imports."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

FLAGS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1280,1400")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium with a profile of its own; tests are skipped where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver_file = shutil.which("chromedriver")
    if not (browser and driver_file):
        pytest.skip("there is no chromium with chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(driver_file))
    driver.set_script_timeout(120)  # axe takes some seconds, and more on a busy machine
    yield driver
    driver.quit()


@pytest.fixture
def serious_findings() -> Callable[[Any, str], list[Any]]:
    """Return what axe finds on the page of a browser in "light" or "dark" colours, and calls serious or critical."""
    axe_module = pytest.importorskip("axe_selenium_python", reason="axe-selenium-python is not installed")

    def find(browser: Any, colours: str) -> list[Any]:
        features = [{"name": "prefers-color-scheme", "value": colours}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        axe = axe_module.Axe(browser)
        axe.inject()
        found = [each for each in axe.run()["violations"] if each["impact"] in ("serious", "critical")]
        return [(each["id"], [node["html"][:200] for node in each["nodes"][:3]]) for each in found]

    return find
