"""The report in a real browser, headless: light and dark, on paper, silent, and asking nobody for anything."""

import http.server
import json
import os
import shutil
import subprocess
import threading

import numpy as np
import pytest
from matplotlib.image import imread
from test_report import HOSTILE, folder, page, poison, triggers  # noqa: F401  fixtures

from slewguard.ground.report import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium")
DARK, LIGHT = (f"--blink-settings=preferredColorScheme={number}" for number in (0, 1))


def browse(profile, url, *options):
    """Open a page and return what the browser wrote on standard error."""
    flags = ["--headless", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", "--window-size=1000,1600"]
    flags += ["--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync"]
    if os.getuid() == 0:
        flags.append("--no-sandbox")  # it refuses to run as root with one
    command = [CHROMIUM, *flags, f"--user-data-dir={profile}", *options, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stderr


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def place(folder, page):  # noqa: F811
    return folder.parent / "page.html"


@pytest.fixture
def server():
    """Address of a server, and the paths that it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_):
            pass

    serving = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{serving.server_port}", asked
    serving.shutdown()
    serving.server_close()


@needs_chromium
def test_light_and_dark_have_their_colours_and_contrast(profile, place, tmp_path):
    seen = {}
    for name, option in (("light", LIGHT), ("dark", DARK)):
        told = browse(profile, place.as_uri(), option, f"--screenshot={tmp_path / name}.png")
        assert "CONSOLE" not in told
        seen[name] = imread(tmp_path / f"{name}.png")[..., :3].mean(axis=2)
    assert np.median(seen["light"]) > 0.9
    assert np.median(seen["dark"]) < 0.2
    # Ink on paper: something is written, and in the other shade.
    assert (seen["light"] < 0.3).mean() > 0.005
    assert (seen["dark"] > 0.7).mean() > 0.005


@needs_chromium
def test_it_prints(profile, place, tmp_path):
    browse(profile, place.as_uri(), f"--print-to-pdf={tmp_path / 'page.pdf'}", "--no-pdf-header-footer")
    printed = (tmp_path / "page.pdf").read_bytes()
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") >= 2


@needs_chromium
def test_hostile_files_do_nothing_and_ask_for_nothing(profile, folder, tmp_path, triggers, server):  # noqa: F811
    address, asked = server
    (tmp_path / "hostile").mkdir()
    for path in folder.glob("*.json"):
        content = json.dumps(poison(json.loads(path.read_text())))
        (tmp_path / "hostile" / path.name).write_text(content.replace("127.0.0.1:1", address))
    write_report(tmp_path / "hostile", tmp_path / "page.html", [triggers])
    assert address in (tmp_path / "page.html").read_text()
    told = browse(profile, (tmp_path / "page.html").as_uri(), "--dump-dom")
    assert asked == []
    assert "CONSOLE" not in told


@needs_chromium
def test_the_checks_see_a_page_that_does_all_that(profile, tmp_path, server):
    address, asked = server
    hostile = HOSTILE.replace("127.0.0.1:1", address).replace("alert(1)", "console.error(1)")
    (tmp_path / "bad.html").write_text(f"<body>{hostile}</body>".replace("\x00", ""))
    told = browse(profile, (tmp_path / "bad.html").as_uri(), "--screenshot=" + str(tmp_path / "bad.png"))
    assert "/x" in asked
    assert "CONSOLE" in told
