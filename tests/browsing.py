"""A person's browser for the tests of pages: Chromium, axe on every page, nothing from outside.

With HEARTEN_SCREENSHOTS=FOLDER every page is also photographed, at desktop and at phone width, for the docs.
"""

import os
import shutil
import socket
import time
from pathlib import Path

DESKTOP, PHONE = {"width": 1200, "height": 800}, {"width": 360, "height": 740}
ROOT = Path(__file__).parents[1]


def chromium() -> str | None:
    return next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)


def axe_file() -> Path | None:
    named = os.environ.get("HEARTEN_AXE")
    places = [Path(named)] if named else [ROOT / "node_modules" / "axe-core" / "axe.min.js"]
    return next((path for path in places if path.is_file()), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port: int, seconds: float = 120) -> None:
    """Wait until somebody listens."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nobody listens on port {port}")


class Walker:
    """One person's browser."""

    def __init__(self, browser, address: str, size) -> None:
        self.context = browser.new_context(viewport=size)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.faults: list[str] = []
        self.page.on("console", lambda message: message.type == "error" and self.faults.append(message.text))
        self.page.on("request", lambda request: self._local(request.url, address))
        self.size = size

    def _local(self, url: str, address: str) -> None:
        if not url.startswith((address, address.replace("http", "ws"), "data:")):
            self.faults.append(f"external request: {url}")

    def look(self, name: str) -> None:
        """Check a page with axe at both widths, and photograph it where asked."""
        folder = os.environ.get("HEARTEN_SCREENSHOTS")
        for width, size in (("desktop", DESKTOP), ("phone", PHONE)):
            self.page.set_viewport_size(size)
            self._axe(f"{name}, {width}")
            wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{name} is {wide} px too wide at {size['width']}"
            if folder:
                Path(folder).mkdir(parents=True, exist_ok=True)
                self.page.screenshot(path=Path(folder) / f"{name}-{width}.png")
        self.page.set_viewport_size(self.size)

    def _axe(self, where: str) -> None:
        """What axe finds once nothing fades in any more."""
        settled = "Promise.allSettled(document.getAnimations().map(one => one.finished))"
        self.page.evaluate(f"Promise.race([{settled}, new Promise(done => setTimeout(done, 500))])")
        self.page.evaluate(axe_file().read_text())
        rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
        found = self.page.evaluate("rules => axe.run(document, rules)", rules)["violations"]
        lines = [f"{row['id']}: {row['help']}: {row['nodes'][0]['html'][:150]}" for row in found]
        assert not lines, f"{where}:\n" + "\n".join(lines)

    def tab_to(self, selector: str) -> None:
        """Press Tab until `selector` has the focus."""
        for _ in range(80):
            if self.page.evaluate("s => document.activeElement?.matches(s) ?? false", selector):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"no way to {selector} with the Tab key")

    def press(self, selector: str, key: str = "Enter") -> None:
        self.tab_to(selector)
        self.page.keyboard.press(key)

    def rest(self) -> None:
        self.page.wait_for_load_state("load")
