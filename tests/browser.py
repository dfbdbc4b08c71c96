"""A headless Chromium for the tests of pages, spoken to in the DevTools protocol over a pipe; no driver is needed."""

import base64
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import tempfile

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe")


class Browser:
    """A page in a browser; the mouse is moved and clicked as a hand would, by coordinates.

    Attributes:
        complaints: list of str, the errors that scripts of the page have raised.
    """

    def __init__(self, write, read):
        self.complaints = []
        self._write, self._read = write, read
        self._numbers = itertools.count(1)
        self._session = None
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._ask("Runtime.enable")
        self._ask("Page.enable")

    def open(self, path, width=1000, height=900, dark=False):
        """Opens a file from disk, without a network."""
        self._ask("Network.enable")
        self._ask("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._ask("Emulation.setEmulatedMedia", features=scheme)
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self._ask("Page.navigate", url=pathlib.Path(path).absolute().as_uri())
        self._until("Page.loadEventFired")

    def read(self, expression):
        """The value of an expression of JavaScript in the page."""
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise ValueError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def point(self, selector, index=0):
        """Moves the mouse to an element, which is scrolled into view."""
        element = f"document.querySelectorAll({json.dumps(selector)})[{index}]"
        box = self.read(
            f"{element}.scrollIntoView({{block: 'center'}}); "
            f"(({{left, top, width, height}}) => [left + width / 2, top + height / 2])({element}.getBoundingClientRect())"
        )
        self._mouse("mouseMoved", *box)
        return box

    def click(self, selector, index=0):
        """Clicks an element."""
        box = self.point(selector, index)
        for event in ("mousePressed", "mouseReleased"):
            self._mouse(event, *box, button="left", clickCount=1)

    def leave(self):
        """Moves the mouse to the corner of the page, where nothing is."""
        self._mouse("mouseMoved", 0, 0)

    def screenshot(self, path):
        """Writes the whole page as PNG."""
        image = self._ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(image))

    def _mouse(self, event, x, y, **options):
        self._ask("Input.dispatchMouseEvent", type=event, x=x, y=y, **options)

    def _ask(self, method, **parameters):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while (answer := self._next()).get("id") != number:
            pass
        if "error" in answer:
            raise ValueError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _until(self, event):
        while self._next().get("method") != event:
            pass

    def _next(self):
        """The browser's next message, which ends with a zero."""
        message = bytearray()
        while not message.endswith(b"\0"):
            byte = self._read.read(1)
            if not byte:
                raise EOFError("The browser has ended")
            message += byte
        message = json.loads(message[:-1])
        if message.get("method") == "Runtime.exceptionThrown":
            details = message["params"]["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        return message


@contextlib.contextmanager
def headless():
    """Starts a Chromium and ends it; where there is none, the test is skipped.

    Yields:
        A `Browser`.
    """
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip(f"needs a browser: one of {', '.join(_NAMES)} (Debian: apt-get install chromium)")
    (its_input, our_output), (our_input, its_output) = os.pipe(), os.pipe()
    actions = [
        (os.POSIX_SPAWN_DUP2, its_input, 3),  # the numbers that it knows
        (os.POSIX_SPAWN_DUP2, its_output, 4),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = os.posix_spawn(
            program, [program, *_OPTIONS, f"--user-data-dir={profile}"], os.environ, file_actions=actions
        )
        os.close(its_input)
        os.close(its_output)
        try:
            with os.fdopen(our_output, "wb") as write, os.fdopen(our_input, "rb") as read:
                yield Browser(write, read)
        finally:  # it ends when its input does
            os.waitpid(process, 0)
