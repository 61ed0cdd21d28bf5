"""A real browser without a window, for the tests of the web pages.

`from browser import open_page` gives a test module the fixture `open_page`. The browser is
Debian's (`apt-get install chromium`), or the one that the variable CHROMIUM names.
"""

import atexit
import functools
import importlib.util
import os
import shutil

import pytest
from needs import lacking

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@functools.cache
def chromium():
    """One browser for the whole run of the tests: starting it takes a second."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not path:
        lacking("Chromium", "apt install chromium, or name another in the variable CHROMIUM")
    if not importlib.util.find_spec("playwright"):
        lacking("Playwright", "pip install playwright")
    from playwright.sync_api import sync_playwright  # here: it need not be installed

    playwright = sync_playwright().start()
    browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
    atexit.register(playwright.stop)
    atexit.register(browser.close)
    return browser


@pytest.fixture
def open_page():
    """open_page(file, width=1280, height=900, **options of Playwright's new_context) -> Page.

    The page is offline. At the end no page may have had an error or a message on its console.
    """
    contexts, complaints = [], []

    def open_one(file, width=1280, height=900, **options):
        viewport = {"width": width, "height": height}
        context = chromium().new_context(viewport=viewport, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(file.as_uri() if hasattr(file, "as_uri") else file)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


def last_step(page):
    return int(page.locator("#slider").get_attribute("max"))


def small_texts(page, least, part=None):
    """Every text that is seen and is smaller than `least` pixels on the screen, with its size.
    part: the id of an element in which to look."""
    return page.evaluate(
        """([least, part]) => {
          const found = [], root = part ? document.getElementById(part) : document.body;
          const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
          while (walker.nextNode()) {
            const [text, one] = [walker.currentNode.data.trim(), walker.currentNode.parentElement];
            if (!text || !one.getClientRects().length) continue;
            if (one.closest(".skip, script, title")) continue;
            const matrix = one.closest("svg") && one.getScreenCTM && one.getScreenCTM();
            const size = parseFloat(getComputedStyle(one).fontSize) * (matrix ? matrix.a : 1);
            if (size < least - 0.01) found.push(`${text}: ${size}`);
          }
          return found;
        }""",
        [least, part],
    )
