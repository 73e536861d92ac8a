"""JupyterLab with a notebook in it, in a browser without a screen."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
SECONDS = 1000
CELLS = ".jp-Notebook .jp-CodeCell"
# every cell in the page, also those that a screen does not show; no look for news on the network
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {
        "checkForUpdates": False,
        "doNotDisturbMode": True,
        "fetchNews": "false",
    },
}
READY = re.compile(r"(http://127\.0\.0\.1:\d+/\S*token=\w+)")


@contextlib.contextmanager
def server(folder: Path, variables: dict[str, str], own: Path) -> Iterator[str]:
    """A JupyterLab that serves ``folder`` on a free port of this machine; gives its address, token included.

    ``own``: where its settings and run-time files go instead of the user's home.
    """
    for name, setting in SETTINGS.items():
        path = own / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(setting))
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "lab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--port=0",
    ]
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "run"}
    places |= {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**variables, **{name: str(own / place) for name, place in places.items()}},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    drain = None
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            found = READY.search(line)
            if found:
                break
        else:
            raise AssertionError(f"JupyterLab did not start: {''.join(said)}")
        # it is deaf once nobody reads what it says
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        yield found[1]
    finally:
        process.terminate()
        process.wait(30)
        process.stderr.close()
        if drain is not None:
            drain.wait(30)


@contextlib.contextmanager
def browser() -> Iterator[Page]:
    """A page of the system's Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            page = chromium.new_page(viewport={"width": 1360, "height": 1000}, device_scale_factor=1)
            page.set_default_timeout(120 * SECONDS)
            yield page
        finally:
            chromium.close()


def run_all(page: Page, address: str, name: str) -> None:
    """Open the notebook ``name`` and run its cells by the menu, as a user does; returns when all ended."""
    root, _, query = address.partition("?")
    page.goto(f"{root.removesuffix('/lab').rstrip('/')}/lab/tree/{name}?{query}")
    page.locator(CELLS).first.wait_for()
    # run before its kernel is there, a notebook asks which one to take
    page.wait_for_function(
        """() => document.querySelector('.jp-Toolbar-kernelName').textContent.startsWith('Python 3') &&
          document.querySelector('.jp-Notebook-ExecutionIndicator').dataset.status === 'idle'"""
    )
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    # after an error the cells behind it wait no longer, either: their prompts are empty again
    page.wait_for_function(
        """prompts => {
          const texts = [...document.querySelectorAll(prompts)].map(x => x.textContent.trim());
          return texts.some(x => /^\\[\\d+\\]:$/.test(x)) && !texts.includes('[*]:');
        }""",
        arg=f"{CELLS} .jp-InputArea-prompt",
        timeout=300 * SECONDS,
    )


def save(page: Page) -> None:
    """Save the notebook, and return when the server has it."""
    with page.expect_response(lambda r: r.request.method == "PUT" and "/api/contents/" in r.url) as answer:
        page.keyboard.press("Control+s")
    assert answer.value.ok


def outputs(page: Page) -> list[dict[str, Any]]:
    """Per code cell its prompt, and the kinds of its outputs."""
    found: list[dict[str, Any]] = page.evaluate(
        """([cells]) => [...document.querySelectorAll(cells)].map(cell => ({
          prompt: cell.querySelector('.jp-InputArea-prompt').textContent.trim(),
          kinds: [...cell.querySelectorAll('[data-mime-type]')]
            .filter(x => x.closest('.jp-OutputArea-output')).map(x => x.dataset.mimeType),
          text: [...cell.querySelectorAll('.jp-OutputArea-output')].map(x => x.innerText).join('\\n'),
        }))""",
        arg=[CELLS],
    )
    return found


def picture(page: Page, path: Path) -> None:
    """A screenshot of the whole notebook, however long."""
    page.keyboard.press("Control+b")  # without the list of files
    outer = page.locator(".jp-NotebookPanel .jp-WindowedPanel-outer")
    outer.evaluate("x => x.scrollTo(0, 0)")
    end = page.locator(".jp-Notebook .jp-Cell").last.bounding_box()
    assert end is not None
    page.set_viewport_size({"width": 1360, "height": min(8000, int(end["y"] + end["height"]) + 60)})
    outer.evaluate("x => x.scrollTo(0, 0)")
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
