# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser: by mouse and keyboard, on a phone, in dark mode, and with nothing from elsewhere."""

import shutil
import threading

import pytest
from werkzeug.serving import make_server

from hf_multimodal.serving.app import create_app
from hf_multimodal.serving.settings import ServiceSettings
from tests.serving.rows import encoded_picture, encoded_sound
from tests.tiny import TEXTS

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TOKEN = "0123456789abcdef"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine (Debian: apt install chromium)"),
]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def serve(predictor):
    servers = []

    def start(**settings):
        app = create_app(predictor, ServiceSettings(**settings))
        server = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append((server, app))
        return f"http://127.0.0.1:{server.port}/"

    yield start
    for server, app in servers:
        server.shutdown()
        app.extensions["hf_multimodal"].close()


@pytest.fixture
def open_page(browser):
    """Opens an address; what the page complains of, and what it asks others for, must stay empty."""
    contexts = []

    def start(address, **options):
        context = browser.new_context(**options)
        page = context.new_page()
        contexts.append((context, page))
        page.complaints, page.elsewhere = [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        own = (address.rpartition("/")[0] + "/", "blob:", "data:")
        page.on("request", lambda x: x.url.startswith(own) or page.elsewhere.append(x.url))
        page.goto(address)
        return page

    yield start
    for context, page in contexts:
        assert page.elsewhere == []
        context.close()


def files(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded_picture())
    (tmp_path / "a.wav").write_bytes(encoded_sound())
    (tmp_path / "no.png").write_bytes(b"no picture")
    return tmp_path


def test_scores_and_why(serve, open_page, tmp_path, predictor):
    folder = files(tmp_path)
    page = open_page(serve())
    page.fill("#field-text", TEXTS[0])
    page.set_input_files("#field-image", folder / "a.png")
    page.set_input_files("#field-audio", folder / "a.wav")
    page.check("#explain")
    page.click("#send")
    page.wait_for_selector(".map canvas")
    row = {"text": TEXTS[0], "image": encoded_picture(), "audio": encoded_sound()}
    (expected,) = predictor.predict([row])
    shown = page.locator("#answer .score").all_inner_texts()
    for one, text in zip(expected, shown, strict=False):
        assert one["label"] in text
        assert f"{100 * one['score']:.1f} %" in text
    assert page.locator(".words span").count() > 0
    assert "ms" in page.inner_text("#answer")
    assert page.complaints == []


def test_what_cannot_say_why_offers_none(serve, open_page, predictor, monkeypatch):
    page = open_page(serve())
    page.wait_for_selector("#explain", state="visible")
    monkeypatch.setattr(predictor, "explains", False)  # as of a bundle
    page = open_page(serve())
    page.wait_for_selector("#actions", state="visible")
    assert not page.is_visible("#explain-part")


def test_what_is_wrong_is_said(serve, open_page, tmp_path):
    folder = files(tmp_path)
    page = open_page(serve())
    page.wait_for_selector("#field-image")
    page.click("#send")
    assert "at least one field" in page.inner_text("#answer")
    page.set_input_files("#field-image", folder / "no.png")
    page.click("#send")
    page.wait_for_selector("text=not an image")
    page.click("#clear")
    assert page.locator("#preview-image img").count() == 0
    page.fill("#series-x", "one")
    page.click("#send")
    assert "one is no number" in page.inner_text("#answer")


def test_by_keyboard_alone(serve, open_page):
    page = open_page(serve())
    page.wait_for_selector("#field-text")
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        if reached[-1] == "field-text":
            page.keyboard.type(TEXTS[1])
        if reached[-1] == "send":
            page.keyboard.press("Enter")
            break
    assert {"field-text", "field-image", "field-audio", "series-x", "series-kind"} <= set(reached)
    page.wait_for_selector("#answer .score")
    unlabelled = "[...document.querySelectorAll('input, textarea, select')].filter(x => !x.hidden && !x.labels.length)"
    assert page.evaluate(f"{unlabelled}.map(x => x.id)") == []


def test_dropping_a_file(serve, open_page):
    page = open_page(serve())
    page.wait_for_selector(".drop")
    data = list(encoded_picture())
    transfer = page.evaluate_handle(
        "bytes => { const t = new DataTransfer(); t.items.add(new File([new Uint8Array(bytes)], 'a.png')); return t }",
        data,
    )
    page.dispatch_event(".drop", "drop", {"dataTransfer": transfer})
    page.wait_for_selector("#preview-image img")
    page.click("#send")
    page.wait_for_selector("#answer .score")


def test_recording_a_sound(serve, open_page):
    page = open_page(serve(), permissions=["microphone"])
    page.click("text=Record")
    page.wait_for_selector("text=Stop")
    page.wait_for_timeout(500)
    page.click("text=Stop")
    page.wait_for_selector("#preview-audio audio")
    page.click("#send")
    page.wait_for_selector("#answer .score")
    assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(serve, open_page, scheme):
    page = open_page(serve(), viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True)
    page.wait_for_selector("#field-text")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("#send").bounding_box()["height"] >= 44
    colours = page.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
    assert contrast(*colours) >= 7


def contrast(*colours):
    """Contrast ratio of two CSS colours (WCAG 2.1)."""

    def luminance(colour):
        channels = [int(x) / 255 for x in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        red, green, blue = (x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in channels)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted(map(luminance, colours))
    return (high + 0.05) / (low + 0.05)


def test_a_service_with_tokens(serve, open_page):
    page = open_page(serve(tokens=(TOKEN,)))
    page.fill("#token", TOKEN)
    page.click("#connect")
    page.fill("#field-text", TEXTS[0])
    page.click("#send")
    page.wait_for_selector("#answer .score")


def test_the_page_of_the_api(serve, open_page):
    page = open_page(serve() + "docs")
    page.wait_for_selector("section")
    assert page.locator("section h2").first.inner_text() == "POST /predict"
    assert page.complaints == []
