"""The page in a real browser: it asks for nothing, complains of nothing, and everything has a size."""

import json
import os
import shutil

import pytest
from sample_report import sample_report
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from ebbing.report import render
from ebbing.report.rows import comparison_rows

pytestmark = pytest.mark.browser
BROWSER, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",  # containers give /dev/shm 64 MB
    "--no-first-run",
)


def find(program):
    found = shutil.which(program)
    if found is None:
        reason = f"{program} is not here: the report was not looked at in a browser"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    browser, driver = find(BROWSER), find(DRIVER)
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chromium = webdriver.Chrome(options=options, service=Service(driver))
    yield chromium
    chromium.quit()


@pytest.fixture
def page(driver, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(render(sample_report()), encoding="utf-8")
    for log in ("browser", "performance"):
        driver.get_log(log)  # what came before is not this page's
    driver.get(path.as_uri())
    return path.as_uri()


def test_it_asks_for_nothing_and_complains_of_nothing(driver, page):
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    requests = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert page in requests
    assert [url for url in requests if url != page and not url.startswith("data:")] == []
    assert [entry for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def test_the_comparison_has_its_rows(driver, page):
    heads = driver.find_elements("css selector", "#comparison tbody th")
    assert [head.text for head in heads] == [row.label for row in comparison_rows(sample_report())]


def test_every_plot_has_a_size(driver, page):
    boxes = [svg.rect for svg in driver.find_elements("css selector", "figure.plot > svg")]
    assert len(boxes) == 5
    assert all(box["width"] > 200 and box["height"] > 100 for box in boxes)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_ink_stands_out_from_paper_in_both_schemes(driver, page, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    paper = luminance(driver.execute_script(script, "body", "backgroundColor"))
    assert (paper > 0.5) == (scheme == "light")
    inks = [
        ("body", "color"),
        (".headline.bad", "color"),
        (".headline.good", "color"),
        (".plot svg text", "fill"),
    ]
    for ink in inks:
        lighter, darker = sorted((paper, luminance(driver.execute_script(script, *ink))), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, ink  # WCAG AA


def luminance(colour):
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_on_a_phone_only_the_tables_scroll(driver, page):
    size = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        width = driver.execute_script("return document.documentElement.scrollWidth")
        inner = driver.execute_script("return document.querySelector('.scroll').scrollWidth")
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 390 < inner
