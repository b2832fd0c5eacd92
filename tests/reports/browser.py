"""A page in a real browser, and what its probe found there."""

import html
import re
import shutil
import subprocess
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def probed_title(template: str, page: str, width: int, folder: Path) -> str:
    """Show a page in a frame of the probe `template`; return the title that the probe leaves."""
    probe = folder / "probe.html"
    probe.write_text(template.format(width=width, page=html.escape(page, quote=True)), encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000"]
    command += ["--dump-dom", probe.as_uri()]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120)
    title = re.search(r"<title>(.*?)</title>", answer.stdout)
    assert title, answer.stderr[-2000:]
    return html.unescape(title.group(1))
