"""A real browser without a window, driven through chromedriver's HTTP interface.

Tests that need one take the fixture ``browser`` of tests/conftest.py, which skips them where there is no
Chromium.
"""

import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--allow-file-access-from-files",
)  # fmt: skip

_OVERFLOW = """
const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
const inside = [...document.querySelectorAll('body *')].filter(e => {
  for (let p = e; p && p !== document.body; p = p.parentElement)
    if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(p).overflowX)) return false;
  return e.getBoundingClientRect().right > window.innerWidth + 1;
}).map(e => e.tagName + '.' + e.className);
return [wide, inside];
"""
_CONTRAST = """
const parse = c => { const n = c.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
const light = ([r, g, b]) => { const f = [r, g, b].map(v => { v /= 255;
  return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
  return .2126 * f[0] + .7152 * f[1] + .0722 * f[2]; };
const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode, e = node.parentElement;
  if (!node.textContent.trim() || !e.getClientRects().length) continue;
  if (['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(e.tagName) || e.closest('svg, math')) continue;
  const style = getComputedStyle(e);
  if (style.visibility === 'hidden' || Number(style.opacity) === 0) continue;
  const layers = [];
  for (let p = e; p; p = p.parentElement) layers.unshift(parse(getComputedStyle(p).backgroundColor));
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const back = layers.reduce((below, top) => over(top, below), dark ? [18, 18, 18] : [255, 255, 255]);
  const ink = over(parse(style.color), back);
  const [a, b] = [light(ink), light(back)].sort((x, y) => y - x);
  found.push([(a + .05) / (b + .05), node.textContent.trim().slice(0, 40), style.color]);
}
return found.sort((x, y) => x[0] - y[0]).slice(0, 5);
"""


class Browser:
    """One page of a browser, of any width, light or dark."""

    def __init__(self, address: str, session: str) -> None:
        self._session = f"{address}/session/{session}"

    def open(self, page: Path | str, *, width: int, dark: bool = False, height: int = 900) -> None:
        """Show a file or an address in a window of so many CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._cdp("Emulation.setDeviceMetricsOverride", metrics)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._cdp("Emulation.setEmulatedMedia", {"features": scheme})
        _post(
            f"{self._session}/url",
            {"url": page if isinstance(page, str) else page.resolve().as_uri()},
        )

    def run(self, script: str) -> Any:
        """Run a script in the page; return what it returns."""
        return _post(f"{self._session}/execute/sync", {"script": script, "args": []})

    def unfold(self) -> None:
        """Open everything that is folded."""
        self.run("document.querySelectorAll('details').forEach(d => { d.open = true; });")

    def overflow(self) -> tuple[int, list[str]]:
        """Return by how many pixels the page is wider than the window, and the elements that stick out.

        What lies in a box that scrolls by itself does not count.
        """
        wide, inside = self.run(_OVERFLOW)
        return int(wide), list(inside)

    def faintest(self) -> list[list[Any]]:
        """Return the five texts of the least contrast: ratio (WCAG 2), text, color."""
        return list(self.run(_CONTRAST))

    def screenshot(self, file: Path, *, full: bool = True) -> None:
        """Write what is seen as a PNG; ``full``: the whole page."""
        taken = self._cdp("Page.captureScreenshot", {"captureBeyondViewport": full})
        file.write_bytes(base64.b64decode(taken["data"]))

    def _cdp(self, command: str, parameters: dict[str, Any]) -> Any:
        return _post(f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})


def missing() -> str:
    """Return what a browser test lacks here, "" where it can run."""
    if shutil.which("chromedriver") is None:
        return "chromedriver is not installed (Debian: apt-get install chromium chromium-driver)"
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        return "Chromium is not installed (Debian: apt-get install chromium)"
    return ""


@contextlib.contextmanager
def started() -> Iterator[Browser]:
    """Start a browser with a profile of its own; end it afterwards."""
    names = ("chromium", "chromium-browser", "google-chrome")
    binary = next(found for found in map(shutil.which, names) if found)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = subprocess.Popen(
            ["chromedriver", "--port=0"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=profile,
        )  # fmt: skip
        try:
            address = _address(driver)
            options = {"binary": binary, "args": [*_FLAGS, f"--user-data-dir={profile}/data"]}
            asked = {"browserName": "chrome", "goog:chromeOptions": options}
            opened = _post(f"{address}/session", {"capabilities": {"alwaysMatch": asked}})
            session = opened["sessionId"]
            try:
                yield Browser(address, session)
            finally:
                _send(f"{address}/session/{session}", "DELETE", None)
        finally:
            driver.terminate()
            driver.wait(20)
            assert driver.stdout is not None
            driver.stdout.close()


def _address(driver: "subprocess.Popen[str]") -> str:
    """Return where a driver listens, which it prints."""
    assert driver.stdout is not None
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        line = driver.stdout.readline()
        if "started successfully on port" in line:
            return "http://127.0.0.1:" + line.rsplit("port", 1)[1].strip(" .\n")
    raise AssertionError("chromedriver did not say its port")


def _post(address: str, body: dict[str, Any]) -> Any:
    return _send(address, "POST", body)


def _send(address: str, method: str, body: dict[str, Any] | None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        address, data, {"Content-Type": "application/json"}, method=method
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        request, timeout=120
    ) as got:
        return json.load(got)["value"]
