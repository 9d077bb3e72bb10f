"""The built site in a browser: `make docs` builds it and runs this. Skipped without it, or Chromium."""

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SITE = Path(__file__).parents[2] / "dist" / "docs"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PAGES = [
    "index",
    "install",
    "coming-from",
    "analyses",
    "effects",
    "mixed",
    "tutorials/index",
    "tutorials/plot_1_castle",
    "tutorials/plot_3_school",
    "reference/index",
    "reference/names/rfpcore.MixedRegressor",
    "reports/clusters",
]
DESKTOP, PHONE = (1280, 900), (390, 844)
PIXELS = 12  # of a scroll bar

if not (SITE / "index.html").exists():
    pytest.skip("the site is not built: make docs", allow_module_level=True)
if CHROMIUM is None or DRIVER is None:
    pytest.skip("there is no Chromium with its driver", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: the group docs")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    # Nothing beside this machine is to be asked for: a name that is looked up is an error in the console.
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def resize(browser: Any, size: tuple[int, int]) -> None:
    """The window as the page sees it: Chromium's own has a least width."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_without_an_error_and_fits_the_window(browser, address, page, size):
    resize(browser, size)
    browser.get(f"{address}/{page}.html")
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert browser.find_element("tag name", "h1").is_displayed()
    width = browser.execute_script("return document.documentElement.scrollWidth")
    assert width <= size[0] + PIXELS
    broken = browser.execute_script(
        "return [...document.images].filter(image => image.complete && !image.naturalWidth).map(i => i.src)"
    )
    assert broken == []


def test_a_figure_is_there(browser, address):
    resize(browser, DESKTOP)
    browser.get(f"{address}/tutorials/plot_1_castle.html")
    figure = browser.find_element("css selector", "img.sphx-glr-single-img")
    assert int(figure.get_attribute("naturalWidth")) > 300
    outputs = browser.find_elements(
        "css selector", ".sphx-glr-script-out, .sphx-glr-horizontal, .output_html"
    )
    assert any("Average effect on the treated" in output.text for output in outputs)


def test_the_search_finds_a_public_name(browser, address):
    resize(browser, DESKTOP)
    browser.get(f"{address}/search.html?q=StaggeredEffect")
    wait = pytest.importorskip("selenium.webdriver.support.wait").WebDriverWait(browser, 20)
    found = wait.until(lambda driver: driver.find_elements("css selector", "#search-results li a"))
    assert any("rfpcore.causal.StaggeredEffect" in link.get_attribute("href") for link in found)
