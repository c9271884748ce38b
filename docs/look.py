"""`make docs-look`: opens every built page in Chromium, from files, and says what is wrong with it.

Fails on a console error, a failed request, a request that leaves this machine, raw TeX, what is off
the screen, and a table that does not fit a wide screen. Screenshots go to output/docs-look.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "_build" / "html"
SCREENSHOTS = ROOT / "output" / "docs-look"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (400, 1280)
SCHEMES = ("light", "dark")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()

# Waits for the formulas, then lists what a reader would stumble over.
FIND_PROBLEMS = r"""(async () => {
  if (window.MathJax) await MathJax.startup.promise;
  await document.fonts.ready;
  const problems = [];
  const scrolls = element =>
    element && (/auto|scroll/.test(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
  const name = element => `${element.tagName.toLowerCase()} "${element.textContent.trim().slice(0, 40)}"`;
  for (const formula of document.querySelectorAll("article .math"))
    if (!formula.querySelector("mjx-container")) problems.push("raw TeX: " + name(formula));
  if (document.querySelector("mjx-merror")) problems.push("a formula that MathJax cannot read");
  if (document.documentElement.scrollWidth > innerWidth) problems.push("the page scrolls sideways");
  for (const element of document.querySelectorAll("article *")) {
    const box = element.getBoundingClientRect();
    if (box.width && box.right > innerWidth + 1 && !element.closest("mjx-container") && !scrolls(element.parentElement))
      problems.push("off the screen: " + name(element));
  }
  for (const table of document.querySelectorAll(".table-wrapper"))
    if (innerWidth > 1000 && table.scrollWidth > table.clientWidth + 1)
      problems.push(`a table wants ${table.scrollWidth - table.clientWidth} pixels more: ` + name(table));
  const code = [...document.querySelectorAll("article pre")];
  return {problems, code: code.length, scrolled: code.filter(block => block.scrollWidth > block.clientWidth + 1).length};
})()"""


class Browser:
    """Chromium's DevTools protocol over a pair of pipes: one message of JSON after another."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to_browser, self._from_browser = to_browser, from_browser
        self._unread = b""
        self._sent = 0
        self._session: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []

    def attach(self) -> None:
        """Opens a tab, which all later messages go to."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command, and returns what comes back; events in between are kept."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters, **self._session}
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._sent:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"Chromium refused {method}: {answer['error']['message']}")
        return answer["result"]

    def wait_for(self, event: str) -> None:
        """Waits for an event, if it has not come already."""
        while all(seen["method"] != event for seen in self.events):
            self.events.append(self._receive())

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            if not (more := os.read(self._from_browser, 1 << 20)):
                raise RuntimeError("Chromium ended before it had answered.")
            self._unread += more
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)


@contextmanager
def started(executable: str) -> Iterator[Browser]:
    commands, to_browser = os.pipe()
    from_browser, answers = os.pipe()

    def connect() -> None:
        """Chromium reads commands from file 3, and writes its answers to file 4."""
        spare = os.dup(answers)
        os.dup2(commands, 3)
        os.dup2(spare, 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [executable, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}"],
            pass_fds=(3, 4),
            preexec_fn=connect,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        try:
            browser = Browser(to_browser, from_browser)
            browser.attach()
            yield browser
        finally:
            process.terminate()
            process.wait()


def complaint(event: dict[str, Any]) -> str | None:
    """What an event says is wrong, if anything."""
    match event["method"], event["params"]:
        case "Runtime.exceptionThrown", {"exceptionDetails": {"text": text}}:
            return f"exception: {text}"
        case "Runtime.consoleAPICalled", {"type": "error", "args": arguments}:
            return f"console error: {arguments[0].get('value')}"
        case "Log.entryAdded", {"entry": {"level": "error", "text": text}}:
            return f"console error: {text}"
        case "Network.loadingFailed", {"errorText": text, "type": kind}:
            return f"failed request: {kind} {text}"
        case "Network.requestWillBeSent", {"request": {"url": url}}:
            return None if url.startswith(("file:", "data:")) else f"leaves this machine: {url}"
    return None


def main() -> int:
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        print(f"No browser: none of {', '.join(BROWSERS)} is installed.", file=sys.stderr)
        return 2
    shutil.rmtree(SCREENSHOTS, ignore_errors=True)
    problems, code, scrolled = [], 0, 0
    pages = sorted(page for page in PAGES.rglob("*.html") if "_modules" not in page.parts)
    views = [(page, width, scheme) for page in pages for width in WIDTHS for scheme in SCHEMES]
    with started(executable) as browser:
        for page, width, scheme in tqdm(views, unit="view", disable=None):
            name = f"{page.relative_to(PAGES).with_suffix('')}-{width}-{scheme}"
            browser.send(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=800,
                deviceScaleFactor=1,
                mobile=False,
            )
            browser.send(
                "Emulation.setEmulatedMedia",
                features=[{"name": "prefers-color-scheme", "value": scheme}],
            )
            browser.events.clear()
            browser.send("Page.navigate", url=page.as_uri())
            browser.wait_for("Page.loadEventFired")
            found = browser.send(
                "Runtime.evaluate",
                expression=FIND_PROBLEMS,
                awaitPromise=True,
                returnByValue=True,
            )["result"]["value"]
            complaints = filter(None, map(complaint, browser.events))
            problems += [f"{name}: {text}" for text in [*complaints, *found["problems"]]]
            if width == WIDTHS[-1] and scheme == SCHEMES[0]:
                code, scrolled = code + found["code"], scrolled + found["scrolled"]
            picture = browser.send("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            file = SCREENSHOTS / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(base64.b64decode(picture))
    print(*problems, sep="\n")
    print(f"{len(pages)} pages, {len(views)} views in {SCREENSHOTS.relative_to(ROOT)}, ", end="")
    print(f"{len(problems)} problems; {scrolled} of {code} blocks of code scroll at {WIDTHS[-1]}.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
