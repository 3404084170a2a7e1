"""The documentation site as `make docs` built it: every page opened in a browser, as from a disk without a network."""

import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs minixfmr[docs]")
ROOT = Path(__file__).parent.parent
SITE = ROOT / "build" / "site"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

pytestmark = [
    pytest.mark.docs,
    pytest.mark.skipif(not (SITE / "index.html").exists(), reason="make docs builds the site"),
]
in_a_browser = pytest.mark.skipif(not CHROMIUM, reason="no chromium here: apt-get install chromium")
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts)

LOOK = """async () => {
    if (window.MathJax) await MathJax.startup.promise;
    const all = (query) => [...document.querySelectorAll(query)];
    return {
        plain: all(".math").filter((e) => !e.querySelector("mjx-container svg")).map((e) => e.textContent),
        wrong: all("[data-mml-node=merror], mjx-merror").map((e) => e.textContent),
        formulas: all("mjx-container svg").length,
        pictures: all("img").filter((e) => !e.complete || !e.naturalWidth).map((e) => e.src),
        width: document.documentElement.scrollWidth,
    };
}"""


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def seen(browser):
    """{page: what a telephone's browser said of it}"""
    page = browser.new_page(viewport={"width": 400, "height": 800})
    said, asked = [], []
    page.on("console", lambda message: message.type == "error" and said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(f"{request.url}: {request.failure}"))
    page.on("request", lambda request: asked.append(request.url))
    seen = {}
    for name in PAGES:
        page.goto((SITE / name).as_uri())
        seen[name] = page.evaluate(LOOK) | {"said": [*said], "asked": [*asked]}
        said.clear()
        asked.clear()
    page.close()
    return seen


def of_all(seen, key):
    return {name: page[key] for name, page in seen.items() if page[key]}


@in_a_browser
def test_every_page_opens_without_an_error(seen):
    assert len(seen) > 150 and not of_all(seen, "said")
    assert not of_all(seen, "pictures"), "pictures that are not there"


@in_a_browser
def test_nothing_comes_from_outside(seen):
    assert not {
        url for page in seen.values() for url in page["asked"] if not url.startswith(("file:", "data:", "blob:"))
    }


@in_a_browser
def test_formulas_are_drawn(seen):
    assert not of_all(seen, "plain") and not of_all(seen, "wrong")
    derived = seen["tutorials/11_every_gradient_derived.html"]
    assert derived["formulas"] > 100 and seen["index.html"]["formulas"] == 0


@in_a_browser
def test_no_page_is_wider_than_a_telephone(seen):
    assert not {name: page["width"] for name, page in seen.items() if page["width"] > 400}


@in_a_browser
@pytest.mark.parametrize("word", ["layer_norm_backward", "sacrebleu"])
def test_the_search_finds_words_of_the_source_and_of_the_tutorials(browser, word):
    page = browser.new_page()
    page.goto(f"{(SITE / 'search.html').as_uri()}?q={word}")
    page.wait_for_selector("#search-results ul.search li a")


class Links(HTMLParser):
    """The links of a page and the places in it that can be linked to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places = set(), {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.places |= {found[key] for key in ("id", "name") if found.get(key)}
        self.links |= {found[key] for key in ("href", "src") if found.get(key)}


def test_no_link_is_dead():
    told = {(SITE / name).resolve(): Links(SITE / name) for name in PAGES}
    dead = set()
    for path, page in told.items():
        for link in page.links:
            address, place = urldefrag(link)
            if urlparse(link).scheme:
                continue  # to the world
            other = (path.parent / unquote(urlparse(address).path)).resolve() if address else path
            known = told.get(other)
            if not other.is_file() or (known and unquote(place) not in known.places):
                dead.add((path.relative_to(SITE).as_posix(), link))
    assert not dead


def test_what_readers_come_for_is_there():
    pages = set(PAGES)
    scripts = {f"tutorials/{path.stem}.html" for path in (ROOT / "tutorials").glob("[0-9][0-9]_*.ipynb")}
    files = {"source/layers/normalization.html", "source/models/blocks.html", "source/backend/blocks.html"}
    others = {"docs/reading_order.html", "docs/coursework.html", "docs/results.html", "exercises/README.html"}
    assert scripts | files | others | {"exercises/PLAN.html", "reference/layers.html", "search.html"} <= pages
    layer_norm, rms_norm = "dx = r (dn - mean(dn) - n mean(dn ⊙ n))", "dx = r (dn - n mean(dn ⊙ n))"
    for name, formula in {"normalization": layer_norm, "variants/rms_norm": rms_norm}.items():
        page = (SITE / f"source/layers/{name}.html").read_text(encoding="utf-8")
        assert formula in page and page.count('class="pair"') == 3
    reference = (SITE / "reference/layers.html").read_text(encoding="utf-8")
    assert 'id="minixfmr.layers.normalization.layer_norm_backward"' in reference and "weight, bias: (d,)" in reference
    assert 'href="../source/layers/normalization.html#layer-norm"' in reference
