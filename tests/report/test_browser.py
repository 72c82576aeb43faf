"""The page in a real browser: it asks for nothing, complains of nothing, and everything has a size."""

import base64
import json
import os
import shutil

import pytest
from sample_report import bare_report, lone_report, sample_report, shown_examples
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from ebbing.report.html import render
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


def shown_report():
    return lone_report() | {"examples": shown_examples()}


REPORTS = {"many": sample_report, "lone": lone_report, "bare": bare_report, "shown": shown_report}
PHONE, TABLET, DESK = (390, 844), (820, 1180), (1280, 900)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name, make in REPORTS.items():
        (folder / f"{name}.html").write_text(render(make()), encoding="utf-8")
    return folder


@pytest.fixture
def open_page(driver, pages):
    """Open a page by its name at a size; the size is undone in the end."""

    def open_(name, size=DESK):
        for log in ("browser", "performance"):
            driver.get_log(log)  # what came before is not this page's
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        driver.get((pages / f"{name}.html").as_uri())
        return (pages / f"{name}.html").as_uri()

    yield open_
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


@pytest.fixture
def page(open_page):
    return open_page("many")


@pytest.mark.parametrize("name", REPORTS)
def test_it_asks_for_nothing_and_complains_of_nothing(driver, open_page, name):
    page = open_page(name)
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
    assert len(boxes) == 8
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
        (".headline.open", "color"),
        (".sign h2", "color"),
        (".sign .soft", "color"),
        (".small", "color"),
        (".plot svg text", "fill"),
    ]
    for ink in inks:
        lighter, darker = sorted((paper, luminance(driver.execute_script(script, *ink))), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, ink  # WCAG AA


def luminance(colour):
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("size", [PHONE, TABLET, DESK])
@pytest.mark.parametrize("name", REPORTS)
def test_only_tables_scroll_sideways(driver, open_page, name, size):
    open_page(name, size)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= size[0]
    outside = (
        "return [...document.querySelectorAll('#sign *')].filter(e => e.getBoundingClientRect().right > innerWidth - 8)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert driver.execute_script(outside) == []


def test_on_a_phone_the_comparison_does(driver, open_page):
    open_page("many", PHONE)
    assert driver.execute_script("return document.querySelector('.scroll').scrollWidth") > 390


def test_the_seven_questions_are_one_screen_of_a_desk(driver, open_page):
    open_page("lone", DESK)
    assert driver.execute_script("return document.querySelector('ol.sign').getBoundingClientRect().bottom") <= 900
    columns = (
        "return new Set([...document.querySelectorAll('.sign > li')].map(e => e.getBoundingClientRect().left)).size"
    )
    assert driver.execute_script(columns) > 2


@pytest.mark.parametrize("name", ["lone", "bare"])
def test_the_result_is_on_the_first_screen_of_a_phone(driver, open_page, name):
    open_page(name, PHONE)
    assert driver.execute_script("return document.querySelector('.result').getBoundingClientRect().bottom") <= 844


def test_the_small_table_of_side_effects_is_not_cut(driver, open_page):
    for size in (PHONE, (700, 900), TABLET, DESK):
        open_page("lone", size)
        inside = "const t = document.querySelector('#effects'); return t.scrollWidth <= t.parentElement.clientWidth + 1"
        assert driver.execute_script(inside), size


@pytest.mark.parametrize("name", ["lone", "many"])
def test_it_prints_in_black_on_white_with_everything_unfolded(driver, open_page, name):
    open_page(name)
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    document = base64.b64decode(printed["data"])
    assert document.startswith(b"%PDF")
    assert 3 <= document.count(b"/Type /Page\n") <= 20
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    assert driver.execute_script("return getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    heights = "return [...document.querySelectorAll('details')].map(e => e.getBoundingClientRect().height)"
    assert min(driver.execute_script(heights)) > 60  # a folded one is a line


def test_pictures_of_forgotten_records_are_there_where_they_were_asked_for(driver, open_page):
    open_page("shown")
    drawn = "return [...document.images].map(image => image.complete && image.naturalWidth > 0)"
    assert driver.execute_script(drawn) == [True] * 3
    open_page("lone")
    assert driver.execute_script(drawn) == []


def test_links_of_the_contents_lead_somewhere(driver, open_page):
    open_page("lone")
    lost = "return [...document.links].filter(a => !document.getElementById(a.hash.slice(1))).map(a => a.href)"
    assert driver.execute_script(lost) == []
    assert len(driver.find_elements("css selector", ".contents a")) == 8
