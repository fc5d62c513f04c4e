"""The documentation site builds, needs nothing from elsewhere, and finds what is searched for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def build(config: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build a site in a process of its own."""
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", config, "--site-dir", target]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    target = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", target)
    assert done.returncode == 0, done.stderr
    return target


def test_every_page_is_built(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    pages = {page.with_name("index.html") if page.stem == "README" else page for page in pages}
    pages |= {Path("reference/json.html"), Path("reference/commands/learn.html"), Path("examples/run.toml")}
    assert not [str(page) for page in sorted(pages) if not (site / page).exists()]


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"<(?:link|script|img|iframe|source)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
    found = [match for path in site.rglob("*.html") for match in loads.findall(path.read_text(encoding="utf-8"))]
    assert not [each for each in found if 'rel="canonical"' not in each]


def test_notes_for_tests_are_not_seen(site: Path) -> None:
    shown = re.sub(r"<!--.*?-->", "", (site / "get-started.html").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert "not run:" not in shown


def test_search_finds_pages_that_are_opened_from_the_folder(site: Path, chromium: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    chromium.get((site / "get-started.html").as_uri())
    field = chromium.find_element("css selector", ".md-search__input")
    chromium.execute_script("document.querySelector('#__search').click()")
    field.send_keys("lambda_ewc")
    wait = WebDriverWait(chromium, 120)
    links = wait.until(lambda driver: driver.find_elements("css selector", ".md-search-result__link"))
    assert any("strategies.html" in str(link.get_attribute("href")) for link in links)


@pytest.mark.parametrize("text", ["[a](missing.md)", "[a](index.md#missing)", "[a](../outside.md)"])
def test_a_broken_link_fails_the_build(tmp_path: Path, text: str) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.md").write_text(f"# A page\n\n{text}\n")
    config = tmp_path / "mkdocs.yml"
    lines = [f"INHERIT: {ROOT / 'mkdocs.yml'}", "docs_dir: pages", "hooks: []", "nav: [index.md]"]
    lines += ["plugins: []", "theme: {name: mkdocs}", "extra: {}"]
    config.write_text("\n".join(lines) + "\n")
    done = build(config, tmp_path / "site")
    assert done.returncode == 1
    assert "strict mode" in done.stdout + done.stderr
