"""Takes the pictures of docs/console.md: `python -m tests.console.screenshots`.

It starts a server with the packaged MiniLM and drives chromium. Pictures have few colors, so that
they stay small.
"""

import io
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from PIL import Image

from prefixes import Prefix
from tests.console.browser import Tab, chromium, tab_of
from tests.console.site import SPAM, Site, changed, serving_site
from tests.server.hosting.processes import ROOT

FOLDER: Final = ROOT / "docs" / "images"
_COLORS: Final = 48
_MAX_HEIGHT: Final = 1400
_PRIZE: Final = "You have won a free prize! Call now to claim."
_TASKS: Final = ("examples/spam", "examples/banking", "examples/intents", "acme/spam")


def main() -> None:
    """Write all pictures."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving_site(Path(folder) / "store") as site,
        chromium() as browser,
    ):
        with tab_of(browser, site.url, width=1100, height=760) as tab:
            tab.sign_in(site.keys["admin"])
            _take_screens(tab, site)
        with tab_of(browser, site.url, width=1100, height=760, scheme="dark") as tab:
            tab.sign_in(site.keys["admin"])
            _take_playground(tab)


def _take_screens(tab: Tab, site: Site) -> None:
    with _traffic(site):
        tab.open("")
        tab.page.wait_for_timeout(15_000)
        _picture(tab, "overview")
        _picture(tab, "tasks", path="/tasks")
        tab.open("/tasks/acme/spam")
        tab.page.get_by_label("Callers that the canary answers").fill("20")
        tab.page.get_by_label("Inputs that both versions run").fill("100")
        tab.click("Start the canary")
        tab.page.get_by_role("heading", name="Live agreement").wait_for()
        tab.page.wait_for_timeout(4_000)
    _picture(tab, "task")
    tab.page.get_by_role("heading", name="Canary of live").scroll_into_view_if_needed()
    _picture(tab, "canary", element='section[aria-label="Canary"]')
    tab.open("/upload")
    tab.page.get_by_label("Name of the task").fill("fresh")
    data = changed(Prefix.load(SPAM), scale=0.4).to_bytes()
    tab.page.get_by_label("Prefix file").set_input_files(
        {"name": "f.safetensors", "mimeType": "application/octet-stream", "buffer": data}
    )
    tab.page.get_by_role("button", name="Publish").wait_for()
    _picture(tab, "upload")


def _take_playground(tab: Tab) -> None:
    models = ("acme/spam@1", "acme/spam@2", "acme/entities", "examples/banking")
    tab.open("/playground?" + "&".join(f"model={model}" for model in models))
    tab.page.get_by_label("text", exact=True).fill(_PRIZE)
    tab.page.get_by_label("Explain").check()
    tab.click("Run")
    tab.page.get_by_text("tokens in").wait_for()
    _picture(tab, "compare")


@contextmanager
def _traffic(site: Site) -> Iterator[None]:
    """Send requests of several tasks in the background."""
    is_over = threading.Event()

    def send() -> None:
        with site.client("infer") as client:
            number = 0
            while not is_over.wait(0.05 + 0.1 * (number % 7 == 0)):
                number += 1
                tasks = _TASKS[: 2 + number % 3]
                inputs = [{"model": task, "text": f"{_PRIZE} {number}"} for task in tasks]
                client.post("/v1/classify", json={"input": inputs}).raise_for_status()
                client.post("/v1/classify", json={"model": "acme/spam", "input": _PRIZE})

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _picture(tab: Tab, name: str, *, path: str | None = None, element: str | None = None) -> None:
    if path is not None:
        tab.open(path)
    tab.page.evaluate("document.querySelectorAll('.toast').forEach((one) => one.remove())")
    if element is not None:
        data = tab.page.locator(element).screenshot()
    else:
        data = tab.page.screenshot(full_page=True)
    image = Image.open(io.BytesIO(data)).convert("RGB")
    image = image.crop((0, 0, image.width, min(image.height, _MAX_HEIGHT)))
    file = FOLDER / f"console-{name}.png"
    image.quantize(_COLORS, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    main()
