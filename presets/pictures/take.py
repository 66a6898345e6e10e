"""Take the pictures of the README and the docs: run the quickstart in a new home, and photograph the page meanwhile.

Needs Chromium and what `tests/requirements.txt` installs; takes about five minutes. From the repository's root:
`python presets/pictures/take.py`.
"""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

FOLDER = Path(__file__).parent
SCREEN = {"width": 1440, "height": 900}
FRAME_SECONDS = 4.0
"""Seconds of the run between two frames of the recording, which shows each of them for `SHOWN_MS`."""
SHOWN_MS, LAST_MS = 250, 3500
WAIT_MS = 600_000


def main() -> None:
    """Take the three pictures and the recording, and keep the answers that the page shows on a first visit."""
    with tempfile.TemporaryDirectory() as home, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [sys.executable, "app.py", "--port", str(port)]
        app = subprocess.Popen(command, cwd=FOLDER.parent.parent, env={**os.environ, "RESTYLE_HOME": home})
        try:
            with sync_playwright() as playwright:
                _take(_open(playwright, f"http://127.0.0.1:{port}/"), Path(home))
        finally:
            app.terminate()
            app.wait()


def _open(playwright, url: str) -> Page:
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            break
        except OSError:
            time.sleep(0.2)
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    page = playwright.chromium.launch(executable_path=program).new_page(viewport=SCREEN, locale="en-US")
    page.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    page.goto(url)
    return page


def _take(page: Page, home: Path) -> None:
    expect(page.locator("#spans")).to_be_visible()
    frames = [page.screenshot()]
    page.locator("#hero button.primary").click()
    status = page.locator("#status")
    expect(status).to_contain_text(re.compile(r"Step\s*[1-9]"))
    is_taken = False
    while "Finished" not in (told := status.inner_text()):
        frames.append(page.screenshot())
        step = re.search(r"(\d+) / (\d+)", told)
        if step and not is_taken and int(step[1]) > 38:
            is_taken = _save(frames[-1], "train.png")
        page.wait_for_timeout(FRAME_SECONDS * 1000)
    page.get_by_role("button", name="Compare before and after").click()
    expect(page.locator("#proof .good")).to_be_visible()
    page.wait_for_timeout(1000)
    frames.append(page.screenshot())
    _save(frames[-1], "compare.png")
    _keep_answers(home)
    page.get_by_role("tab", name="Data").click()
    page.wait_for_timeout(1000)
    _save(page.screenshot(), "data.png")
    _record(frames)


def _save(taken: bytes, name: str) -> bool:
    Image.open(io.BytesIO(taken)).convert("RGB").quantize(128).save(FOLDER / name, optimize=True)
    return True


def _record(frames: list[bytes]) -> None:
    small = [Image.open(io.BytesIO(frame)).convert("RGB").resize((960, 600)) for frame in frames]
    shown = [LAST_MS, *[SHOWN_MS] * (len(small) - 2), LAST_MS]
    small[0].save(
        FOLDER / "quickstart.webp", save_all=True, append_images=small[1:], duration=shown, loop=0, quality=60
    )


def _keep_answers(home: Path) -> None:
    command = [sys.executable, "-m", "studio", "compare", "last", "--prompt", "How do I boil an egg?", "--json"]
    told = subprocess.run(command, env={**os.environ, "RESTYLE_HOME": str(home)}, stdout=subprocess.PIPE, check=True)
    answer = json.loads(told.stdout)["answers"][0]
    before, after = (side["text"] for side in answer["sides"])
    kept = {"prompt": answer["prompt"], "before": before, "after": after}
    written = json.dumps(kept, indent=2, ensure_ascii=False) + "\n"
    (FOLDER / "quickstart-answers.json").write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
