"""The page of a sweep: what is embedded, and, in a real Chromium where there is one, what hands, keys and eyes find."""

from __future__ import annotations

import dataclasses
import io
import json
import re

import pytest
from PIL import Image

from detection.errors import ConfigError
from detection.sweep import frontier, quantities
from detection.sweep.report import page
from tests.helpers import chromium, plausible

in_a_browser = pytest.mark.skipif(chromium.executable() is None, reason="Chromium is not installed")
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>{{script}}&amp;\u2028"


def embedded(text: str) -> dict:
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(data)


def rows_of_two_devices():
    other = [
        dataclasses.replace(row, id=f"gpu-{row.id}", key=f"gpu-{row.key}")
        for row in plausible.rows(device="Modelled GPU", seed=1)[:8]
    ]
    return [*plausible.rows(), *other]


def test_what_is_embedded_is_what_the_rows_say():
    rows = plausible.rows()
    data = embedded(page.page(rows, {rows[0].key: "model {}"}, "A title"))
    assert {row["id"] for row in data["rows"]} == {row.id for row in rows if row.done}
    assert [row["id"] for row in data["failed"]] == [row.id for row in rows if not row.done]
    (first,) = (row for row in data["rows"] if row["id"] == rows[0].id)
    assert first["text"] == "model {}" and first["command"] == rows[0].command
    assert first["values"]["time"] == pytest.approx(rows[0].milliseconds, rel=1e-5)  # Six digits are embedded.
    assert first["values"]["map"] == pytest.approx(rows[0].mean_ap, rel=1e-5)
    assert data["devices"] == [plausible.DEVICE]


def test_nothing_is_loaded_from_anywhere():
    text = page.page(plausible.rows(), {}, "A title")
    assert not re.findall(r'(?:src|href)="(?!data:,")[^"]*"', text) and "url(" not in text and "import(" not in text
    assert set(re.findall(r"https?://[^\"'\s]+", text)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert "default-src 'none'" in text


def test_numbers_that_are_missing_or_not_finite_are_null():
    row = dataclasses.replace(
        plausible.rows()[0],
        metrics={"DetectionBoxes_Precision/mAP": float("nan")},
        benchmark={"milliseconds": {}, "host_mib": None},
    )
    (made,) = embedded(page.page([row], {}, "x"))["rows"]
    assert (
        set(made["values"].values()) == {None}
        and made["spread"] is None
        and made["parts"] == {}
        and made["device"] == ""
    )


def test_strings_cannot_leave_their_element():
    row = dataclasses.replace(
        plausible.rows()[0], command=HOSTILE, feature_extractor=HOSTILE, meta_architecture=HOSTILE
    )
    text = page.page([row, plausible.failed(row, HOSTILE)], {row.key: HOSTILE}, HOSTILE)
    assert text.count("</script>") == 2 and "<img" not in text
    data = embedded(text)
    assert data["rows"][0]["command"] == data["rows"][0]["text"] == data["failed"][0]["reason"] == HOSTILE


def test_configs_are_found_beside_their_results(tmp_path):
    rows = plausible.rows()[:2]
    (tmp_path / "b" / "configs").mkdir(parents=True)
    (tmp_path / "b" / rows[1].config).write_text("model { ssd {} }\n")
    (tmp_path / "b" / "results.jsonl").write_text("")
    page.write(rows, tmp_path / "out" / "page.html", results=[tmp_path / "a", tmp_path / "b" / "results.jsonl"])
    texts = {row["id"]: row["text"] for row in embedded((tmp_path / "out" / "page.html").read_text())["rows"]}
    assert texts == {rows[0].id: "", rows[1].id: "model { ssd {} }\n"}


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file/page.html: cannot be written: "):
        page.write(plausible.rows(), tmp_path / "file" / "page.html")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = chromium.Browser(tmp_path_factory.mktemp("chromium") / "profile")
    yield made
    made.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a page of rows, at a desk's width."""

    def open_(rows, **texts):
        browser.view(1100, 800)
        (tmp_path / "page.html").write_text(page.page(rows, texts, "A sweep"), encoding="utf-8")
        browser.requests.clear()
        browser.open(tmp_path / "page.html")
        return browser

    yield open_
    assert not browser.problems
    assert set(browser.requests) <= {(tmp_path / "page.html").as_uri()}  # It asks for nothing but itself.


def best_of(rows, most_ms: float):
    points = [point for point in frontier.points(rows) if point.cost <= most_ms]
    return max(points, key=lambda point: (point.value, -point.cost)).row


def named(browser) -> str:
    return browser.evaluate("document.querySelector('#best [data-id]').dataset.id")


@pytest.mark.slow
@in_a_browser
def test_a_limit_names_another_configuration(opened):
    """The slider is moved with the keyboard, the number typed; each time the best of what is left is named, and it is
    the one found here."""
    rows = plausible.rows()
    texts = {row.id: f"config of {row.id}" for row in rows}
    browser = opened(rows, **{row.key: texts[row.id] for row in rows})
    unlimited = named(browser)
    assert unlimited == best_of(rows, 1e9).id
    browser.evaluate("document.getElementById('time').focus()")
    browser.key("PageDown", 3)  # Three tenths of the way.
    moved, limit = named(browser), float(browser.evaluate("document.getElementById('time-number').value"))
    assert moved == best_of(rows, limit).id != unlimited
    times = [row.milliseconds for row in rows if row.done]
    assert limit == pytest.approx(min(times) * (max(times) / min(times)) ** 0.7, rel=0.01)  # Shown to three digits.
    assert browser.evaluate("document.querySelector('#best details pre').textContent") == texts[moved]
    assert moved in browser.evaluate("document.querySelector('#best pre').textContent")  # the command
    browser.evaluate("document.getElementById('time').focus()")
    browser.key("Home")  # The left end still holds the fastest, whose time has more digits than are shown.
    assert named(browser) == best_of(rows, min(times)).id
    browser.evaluate("document.getElementById('time-number').select()")
    browser.type("30")
    assert named(browser) == best_of(rows, 30).id != moved
    assert browser.evaluate("document.getElementById('time').getAttribute('aria-valuetext')") == "30 ms"
    browser.evaluate("document.getElementById('time-number').select()")
    browser.type("1")
    assert "Nothing shown fits within 1 ms. The nearest:" in browser.evaluate(
        "document.getElementById('best').textContent"
    )
    assert named(browser) == min((row for row in rows if row.done), key=lambda row: row.milliseconds).id


@pytest.mark.slow
@in_a_browser
def test_table_sorts_and_legend_filters(opened):
    rows = plausible.rows()
    browser = opened(rows)
    column = "[...document.querySelectorAll('#table tbody tr')].map(row => row.dataset.id)"
    done = {row.id: row for row in rows if row.done}
    assert set(shown := browser.evaluate(column)) == set(done) and len(shown) == len(done)
    browser.click('th[data-column="time"] button')
    times = [round(done[name].milliseconds, 3) for name in browser.evaluate(column)]
    assert times == sorted(times)
    assert browser.evaluate("document.querySelector('th[data-column=time]').getAttribute('aria-sort')") == "ascending"
    browser.key("Enter")  # The focus stays on the head that was clicked.
    assert [round(done[name].milliseconds, 3) for name in browser.evaluate(column)] == times[::-1]
    browser.click('#legend button[data-key="meta faster_rcnn"]')
    assert set(browser.evaluate(column)) == {
        name for name, row in done.items() if row.meta_architecture != "faster_rcnn"
    }
    assert named(browser) == best_of([row for row in rows if row.meta_architecture != "faster_rcnn"], 1e9).id
    assert len(
        browser.evaluate("[...document.querySelectorAll('#plot .point')].map(point => point.dataset.id)")
    ) == len(browser.evaluate(column))
    assert "3" in browser.evaluate("document.getElementById('failed-title').textContent")


@pytest.mark.slow
@in_a_browser
def test_scatter_by_mouse_and_keys(opened):
    rows = plausible.rows()
    browser = opened(rows)
    expected = [point.row.id for point in frontier.frontier(frontier.points(rows))]
    assert browser.evaluate("document.querySelector('.frontier').getAttribute('points').split(' ').length") == len(
        expected
    )
    fastest = min((row for row in rows if row.done), key=lambda row: row.milliseconds)
    browser.evaluate("document.getElementById('plot').scrollIntoView({block: 'center'})")
    x, y = browser.evaluate(
        "(b => [b.x + b.width / 2, b.y + b.height /"
        f" 2])(document.querySelector('.point[data-id=\"{fastest.id}\"]').getBoundingClientRect())"
    )
    browser.mouse("mouseMoved", x, y)
    tip = browser.evaluate("document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent")
    assert tip.startswith(quantities.title(fastest))
    browser.evaluate("document.getElementById('plot').focus()")
    browser.key("ArrowRight")
    browser.key("Enter")
    assert browser.evaluate("document.querySelector('#chosen [data-id]').dataset.id") == fastest.id
    browser.key("Escape")
    assert browser.evaluate("document.querySelector('#chosen').childElementCount") == 0
    browser.evaluate(
        "document.getElementById('x').value = 'memory'; document.getElementById('x').dispatchEvent(new Event('change'))"
    )
    assert "Peak memory [MiB]" in browser.evaluate("document.getElementById('plot').textContent")


@pytest.mark.slow
@in_a_browser
def test_devices_do_not_mix(opened):
    browser = opened(rows_of_two_devices())
    count = "document.querySelectorAll('#table tbody tr').length"
    assert browser.evaluate(count) == 249
    browser.evaluate(
        "document.getElementById('device').value = 'Modelled GPU'; document.getElementById('device').dispatchEvent(new"
        " Event('change'))"
    )
    assert browser.evaluate(count) == 7 and named(browser).startswith("gpu-")


@pytest.mark.slow
@in_a_browser
def test_hostile_strings_are_only_text(opened):
    row = dataclasses.replace(
        plausible.rows()[0], command=HOSTILE, feature_extractor=HOSTILE, meta_architecture=HOSTILE
    )
    browser = opened([row, plausible.failed(dataclasses.replace(row, id=HOSTILE), HOSTILE)], **{row.id: HOSTILE})
    assert browser.evaluate("[window.hacked ?? 0, document.images.length, document.scripts.length]") == [0, 0, 2]
    assert HOSTILE in browser.evaluate("document.querySelector('#best pre').textContent")
    assert HOSTILE in browser.evaluate("document.querySelector('#failed dd').textContent")


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "Nothing is shown."),
        (plausible.rows()[5:6], "Nothing is shown."),
        (
            plausible.rows(timing_only=True)[:20],
            "19 of 19 timed configurations fit without a limit; no accuracy was measured, so none is the best.",
        ),
    ],
    ids=["none", "failed only", "timing only"],
)
def test_a_page_without_a_best(opened, rows, words):
    browser = opened(rows)
    assert browser.evaluate("document.querySelector('#best [data-id]')") is None
    assert browser.evaluate("document.getElementById('best').textContent") == words
    assert browser.evaluate("document.querySelectorAll('#plot .point').length") == sum(row.done for row in rows)


@pytest.mark.slow
@in_a_browser
def test_on_a_phone_and_in_the_dark(opened, tmp_path):
    browser = opened(plausible.rows())
    pictures = {}
    for name, size in {
        "desk": {"width": 1100, "height": 800},
        "phone": {"width": 390, "height": 844, "phone": True},
    }.items():
        for dark in (False, True):
            browser.view(**size, dark=dark)
            drawn = (
                "document.getElementById('plot').viewBox.baseVal.width === document.getElementById('frame').clientWidth"
            )
            browser.wait(f"{drawn} && innerWidth <= {size['width']}")
            assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
            browser.screenshot(tmp_path / f"{name}.png")
            picture = Image.open(io.BytesIO((tmp_path / f"{name}.png").read_bytes())).convert("L")
            pictures[name, dark] = sum(index * count for index, count in enumerate(picture.histogram())) / (
                picture.width * picture.height
            )
    assert all(mean > 190 for (_, dark), mean in pictures.items() if not dark), pictures
    assert all(mean < 70 for (_, dark), mean in pictures.items() if dark), pictures
