"""The site of docs/: it builds without a warning, describes every public name, and needs nothing from anywhere."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

import ebbing

ROOT = Path(__file__).parents[1]
ROOMS = ("curves", "rankings", "rates", "methods", "attacks", "measures", "units", "data", "testing")
# What a page loads by itself: not the links that a reader may follow.
LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?\b(?:src|data|srcset)=[\"']?([^\"'\s>]+)"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|prefetch|preconnect|icon|modulepreload))[^>]*?\bhref=[\"']?([^\"'\s>]+)"
    r"|url\(\s*[\"']?([^\"')\s]+)|@import\s+[\"']([^\"']+)",
    re.IGNORECASE,
)


def loaded(text: str) -> list[str]:
    """Every address that a page or a style sheet loads, in order."""
    return [next(address for address in found if address) for found in LOADED.findall(text)]


def elsewhere(address: str) -> bool:
    return re.match(r"(?:[a-z]+:)?//", address) is not None


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.mark.parametrize(
    ("page", "addresses"),
    [
        ('<script src="https://a.example/x.js"></script>', ["https://a.example/x.js"]),
        ('<link href="//a.example/x.css" rel="stylesheet">', ["//a.example/x.css"]),
        ("<style>@font-face { src: url(https://a.example/x.woff) }</style>", ["https://a.example/x.woff"]),
        ('<img alt="" src="memory.svg"><a href="https://a.example">to read</a>', ["memory.svg"]),
    ],
)
def test_what_a_page_loads_is_seen(page, addresses):
    assert loaded(page) == addresses


def test_no_page_loads_anything_from_elsewhere(site):
    texts = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(texts) > 20
    found = {path: [a for a in loaded(path.read_text(encoding="utf-8")) if elsewhere(a)] for path in texts}
    assert {str(path.relative_to(site)): wrong for path, wrong in found.items() if wrong} == {}


def test_what_a_page_loads_is_there(site):
    for page in site.rglob("*.html"):
        if page.name == "404.html":  # served from any folder, so that its addresses begin at the root
            continue
        for address in loaded(page.read_text(encoding="utf-8")):
            if not address.startswith("data:"):
                assert (page.parent / address.partition("?")[0]).exists(), f"{page}: {address}"


def described(site: Path, page: str) -> set[str]:
    """The full names that a page of the reference describes."""
    text = (site / "reference" / f"{page}.html").read_text(encoding="utf-8")
    return set(re.findall(r'<h[2-6] id="(ebbing[\w.]*)"', text))


def test_every_public_name_is_described_and_listed(site):
    names = described(site, "index") | {f"ebbing.{n.rpartition('.')[2]}" for n in described(site, "methods")}
    assert [name for name in ebbing.__all__ if f"ebbing.{name}" not in names] == []
    table = (ROOT / "docs" / "reference" / "index.md").read_text(encoding="utf-8")
    assert [name for name in ebbing.__all__ if f"[`{name}`](" not in table] == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_room_is_described(site, room):
    module = importlib.import_module(f"ebbing.{room}")
    pieces = [name for name in module.__all__ if callable(getattr(module, name)) and name.isidentifier()]
    pieces = [name for name in pieces if getattr(getattr(module, name), "__module__", "").startswith("ebbing.")]
    written = {name.rpartition(".")[2] for name in described(site, room)}
    assert pieces
    assert [name for name in pieces if name not in written] == []


# ---------------------------------------------------------------- links that leave docs/


@pytest.fixture(scope="module")
def outside():
    """docs/outside.py, which no package holds."""
    spec = importlib.util.spec_from_file_location("outside", ROOT / "docs" / "outside.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("lies", "here", "link", "turned"),
    [
        ("docs/engineer.md", "engineer.md", "../examples/own_method.py", "examples/own_method.md"),
        ("docs/reference/index.md", "reference/index.md", "../../CHANGELOG.md#added", "../changes.md#added"),
        ("docs/index.md", "index.md", "../README.md", "index.md"),
        ("CONTRIBUTING.md", "contributing.md", "docs/verdict.md#bands", "verdict.md#bands"),
        ("CONTRIBUTING.md", "contributing.md", "LICENSE", "LICENSE"),  # nothing instead: the strict build says so
        ("docs/reference/curves.md", "reference/curves.md", "../researcher.md#x", "../researcher.md#x"),
        ("docs/index.md", "index.md", "https://a.example/b.md", "https://a.example/b.md"),
        ("docs/index.md", "index.md", "#below", "#below"),
    ],
)
def test_a_link_leads_to_the_page_that_stands_for_its_file(outside, lies, here, link, turned):
    assert outside.turned(f"a [word]({link}) b", lies=lies, here=here) == f"a [word]({turned}) b"


def test_every_example_is_a_page_in_the_navigation(site):
    start = (site / "index.html").read_text(encoding="utf-8")
    for example in (ROOT / "examples").glob("*.py"):
        assert (site / "examples" / f"{example.stem}.html").is_file()
        assert f'href="examples/{example.stem}.html"' in start


# ---------------------------------------------------------------- in a browser, from the file system


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    programs = [shutil.which(f"/usr/bin/{name}") for name in ("chromium", "chromedriver")]
    if None in programs:
        reason = "Chromium and its driver are not here: the site was not looked at in a browser"
        pytest.fail(reason) if os.environ.get("CI", "").lower() == "true" else pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    profile = f"--user-data-dir={tmp_path_factory.mktemp('profile')}"
    for option in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--window-size=1280,900",  # on a narrow one the search hides behind its sign
        profile,
    ):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chromium = webdriver.Chrome(options=options, service=Service(programs[1]))
    yield chromium
    chromium.quit()


@pytest.mark.browser
def test_a_page_opened_from_a_file_asks_the_network_for_nothing_and_can_be_searched(site, driver):
    driver.get((site / "engineer.html").as_uri())
    driver.find_element("css selector", "input.md-search__input").send_keys("fingerprint")

    # the list is drawn while it slides in, and drawn again as the index loads: read until it says so
    def found(browser):
        results = browser.find_elements("css selector", "li.md-search-result__item")
        return results and "fingerprint" in results[0].get_attribute("textContent").lower()

    WebDriverWait(driver, 60, ignored_exceptions=[StaleElementReferenceException]).until(found)
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    requests = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert requests
    assert [url for url in requests if re.match(r"(?:https?|wss?):", url)] == []
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
