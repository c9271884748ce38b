"""`make docs-look`: opens the built pages in Chromium, from files, and says what is wrong.

All pages, but for the listings of source code.

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
from pathlib import Path
from typing import Any

from tqdm import tqdm

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "_build" / "html"
SCREENSHOTS = ROOT / "output" / "docs-look"
WIDTHS = (400, 1280)
SCHEMES = ("light", "dark")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",  # containers have none, and the pages are our own
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-first-run",
]

# Waits for the formulas, then lists what a reader would stumble over.
FIND_PROBLEMS = r"""(async () => {
  if (window.MathJax) await MathJax.startup.promise;
  const wide = innerWidth > 1000, problems = [];
  const report = (problem, element) =>
    problems.push(`${problem}: ${element.tagName} "${element.innerText?.trim().slice(0, 40)}"`);
  const scrolls = element => element &&
    (/auto|scroll/.test(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
  const excess = element => element.scrollWidth - element.clientWidth;
  if (excess(document.documentElement) > 0) problems.push("the page scrolls sideways");
  for (const element of document.querySelectorAll("article *")) {
    const {right, width} = element.getBoundingClientRect();
    if (element.matches(".math") && !element.querySelector("mjx-container"))
      report("raw TeX", element);
    if (element.matches("mjx-merror, [data-mml-node=merror]")) report("wrong TeX", element);
    if (wide && element.matches(".table-wrapper") && excess(element) > 1)
      report(`a table ${excess(element)} pixels too wide`, element);
    if (width && right > innerWidth + 1 && !scrolls(element.parentElement))
      report("off the screen", element);
  }
  const code = [...document.querySelectorAll("article pre")];
  return {problems, code: code.length, scrolled: code.filter(pre => excess(pre) > 1).length};
})()"""


class Browser:
    """A tab of Chromium, by its DevTools protocol: JSON over two pipes, a zero byte after each."""

    def __init__(self, executable: str, profile: str) -> None:
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()

        def connect() -> None:
            spare = os.dup(answers)  # it may be 3 itself
            os.dup2(commands, 3)
            os.dup2(spare, 4)

        self.process = subprocess.Popen(
            [executable, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}"],
            pass_fds=(3, 4),
            preexec_fn=connect,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._unread = b""
        self._sent = 0
        self._session: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command, and returns what comes back; events in between are kept."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._sent:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"Chromium refused {method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, page: Path) -> None:
        """Opens a page, and keeps what happens until it is loaded."""
        self.events.clear()
        self.send("Page.navigate", url=page.as_uri())
        while all(event["method"] != "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            if not (more := os.read(self._answers, 1 << 20)):
                raise RuntimeError("Chromium ended before it had answered.")
            self._unread += more
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)


def complaint(event: dict[str, Any]) -> str | None:
    """What an event says is wrong, if anything."""
    match event["method"], event["params"]:
        case "Runtime.exceptionThrown", {"exceptionDetails": {"text": text}}:
            return f"exception: {text}"
        case "Runtime.consoleAPICalled", {"type": "error", "args": arguments}:
            return f"console error: {arguments}"
        case "Log.entryAdded", {"entry": {"level": "error", "text": text}}:
            return f"console error: {text}"
        case "Network.loadingFailed", {"errorText": text, "type": kind}:
            return f"failed request: {kind} {text}"
        case "Network.requestWillBeSent", {"request": {"url": url}}:
            return None if url.startswith(("file:", "data:")) else f"leaves this machine: {url}"
    return None


def look(browser: Browser, page: Path, width: int, scheme: str, picture: Path) -> dict[str, Any]:
    """Opens a page at a width and in a colour scheme, keeps a picture, returns what it found."""
    send, metrics = browser.send, {"deviceScaleFactor": 1, "mobile": False}
    send("Emulation.setDeviceMetricsOverride", width=width, height=800, **metrics)
    preference = {"name": "prefers-color-scheme", "value": scheme}
    send("Emulation.setEmulatedMedia", features=[preference])
    browser.open(page)
    options = {"awaitPromise": True, "returnByValue": True}
    found = send("Runtime.evaluate", expression=FIND_PROBLEMS, **options)["result"]["value"]
    found["problems"] += filter(None, map(complaint, browser.events))
    whole = {**send("Page.getLayoutMetrics")["cssContentSize"], "scale": 1}
    image = send("Page.captureScreenshot", captureBeyondViewport=True, clip=whole)["data"]
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(base64.b64decode(image))
    return found


def main() -> int:
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        print(f"docs-look needs a browser: none of {', '.join(BROWSERS)} is here.", file=sys.stderr)
        return 2
    pages = sorted(page for page in PAGES.rglob("*.html") if "_modules" not in page.parts)
    if not pages:
        print(f"docs-look needs pages in {PAGES}, which `make docs` builds.", file=sys.stderr)
        return 2
    views = [(page, width, scheme) for page in pages for width in WIDTHS for scheme in SCHEMES]
    shutil.rmtree(SCREENSHOTS, ignore_errors=True)
    problems, code, scrolled = 0, 0, 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(executable, profile)
        try:
            for page, width, scheme in tqdm(views, unit="view", disable=None):
                name = f"{page.relative_to(PAGES).with_suffix('')}-{width}-{scheme}"
                found = look(browser, page, width, scheme, SCREENSHOTS / f"{name}.png")
                for problem in found["problems"]:
                    tqdm.write(f"{name}: {problem}")
                problems += len(found["problems"])
                if (width, scheme) == (WIDTHS[-1], SCHEMES[0]):
                    code, scrolled = code + found["code"], scrolled + found["scrolled"]
        except KeyboardInterrupt:
            return 130
        finally:
            browser.process.terminate()
            browser.process.wait()
    print(f"{problems} problems in {len(views)} views of {len(pages)} pages: see output/docs-look.")
    print(f"{scrolled} of {code} blocks of code scroll sideways at {WIDTHS[-1]} pixels.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
