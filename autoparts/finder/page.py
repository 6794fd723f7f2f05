"""A page to drop photos of a part on: the finder's answer, the region that decided, and "it was a …" to learn from.

It asks no other machine for anything, and a photo is deleted within fifteen minutes unless its giver lets it be kept.
"""

import os
import secrets
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from jinja2 import Environment, PackageLoader
from markupsafe import escape
from matplotlib import colormaps

from autoparts.catalogue import csv_rows, tidy_name
from autoparts.errors import UserError, disk_errors, whole_file
from autoparts.finder.answers import FORMULA
from autoparts.finder.calibration import influence
from autoparts.finder.file import LONGEST_TEXT
from autoparts.finder.finder import Answer, Finder, Named, printable
from autoparts.finder.places import learning
from autoparts.finder.teach import FEEDBACK
from autoparts.study.pictures import thumbnail

try:
    import gradio
    from gradio import processing_utils, routes
except ImportError:
    raise UserError("the page needs Gradio, which is not installed: pip install 'autoparts[web]'") from None


async def _nowhere(*_: Any, **__: Any) -> None:
    """Refuse what a request wants fetched from elsewhere: `gradio_api/file=https://…`, or an upload by its address."""
    raise routes.HTTPException(403, "photos come from here only")


for _module, _fetch in (routes, "secure_url_stream_response"), (processing_utils, "async_ssrf_protected_get"):
    if not hasattr(_module, _fetch):  # rather no page than one that fetches what a request names
        raise UserError("the page does not know this version of Gradio: pip install 'gradio==6.31.*'")
    setattr(_module, _fetch, _nowhere)  # in this process, until it ends
UPLOADED = TemporaryDirectory(prefix="autoparts-")  # nobody else's to read, and removed with this process
os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": UPLOADED.name}
HERE = Path(__file__).parent / "template"
TEMPLATES = Environment(loader=PackageLoader("autoparts.finder", "template"), autoescape=True, trim_blocks=True)
TEMPLATES.filters["base64"] = lambda data: b64encode(data).decode()
LIMIT = "20mb"  # of one file
SHOWN = 5  # names and look-alikes
SWEEP, OLDEST = 60, 840  # seconds: how often photos are looked through, and how old they may be then


def together(answers: Sequence[Answer], top: int = SHOWN) -> Answer:
    """Join the answers to several photos of one part, each with all categories: the mean probability counts.

    The best score decides whether the part is known: one side that the catalogue shows is enough to know it, and the
    other photos may well show sides that it lacks. What these would be called then does not count.
    """
    chances, trusted = Counter(), [answer for answer in answers if answer.known] or answers
    for answer in trusted:
        chances.update({name.category: name.confidence / len(trusted) for name in answer.names})
    found = sorted((near for answer in answers for near in answer.nearest), key=lambda near: near.distance)
    nearest = {near.thumbnail: near for near in reversed(found)}.values()  # near to several photos, told once
    return Answer(
        any(answer.known for answer in answers),
        [Named(*each) for each in chances.most_common(top)],
        sorted(nearest, key=lambda near: near.distance)[:top],
        max(answer.score for answer in answers),
        answers[0].threshold,
        answers[0].warning,
    )


def answer(finder: Finder, paths: Sequence[str]) -> str:
    """Name the part in the photos of these files, in HTML, which also tells what could not be read."""
    told = list(finder.identify_files(paths, top=len(finder.categories)))
    read = [each for _, each in told if isinstance(each, Answer)]
    unread = {printable(Path(path).name): each for path, each in told if isinstance(each, str)}
    joined = together(read) if read else None
    return TEMPLATES.get_template("answer.html.j2").render(finder=finder, answer=joined, unread=unread)


def region(finder: Finder, paths: Sequence[str]) -> str:
    """Show, in HTML, which region speaks for the likeliest name: in the photo that speaks for it most clearly."""
    told = finder.identify_files(paths, top=len(finder.categories))
    read = {path: each for path, each in told if isinstance(each, Answer)}
    if not read:
        return ""
    best = together([*read.values()]).names[0].category
    pixels = finder.prepare(max(read, key=lambda path: dict(read[path].names)[best]))
    lost = influence(finder, pixels, finder.categories.index(best)).numpy()
    shades = colormaps["PuOr_r"](0.5 + lost / (2 * max(float(np.abs(lost).max()), 1e-6)))[..., :3]
    photo = pixels if finder.colour else np.repeat(pixels[..., None], 3, axis=2)
    shaded = (0.4 * photo + 0.6 * 255 * shades).astype(np.uint8)
    shown = [thumbnail(each, 240) for each in (photo, shaded)]
    return TEMPLATES.get_template("region.html.j2").render(name=best, shown=shown, photos=len(read))


def keep(paths: Sequence[str], category: str, folder: Path) -> None:
    """Copy photos into a folder, and note in its `feedback.csv`, a manifest, what they show; the last word counts."""
    table, names = folder / FEEDBACK, []
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # another page may keep photos in it
        lines = table.read_bytes().splitlines() if table.exists() else []
        listed = any(line.strip(b' ,;\t"') for line in lines[1:])  # somebody may have emptied it
        before = [csv_rows(table)] if listed else []  # a spreadsheet may have saved it
        for path in map(Path, paths):
            content = path.read_bytes()
            names.append(sha256(content).hexdigest()[:20] + path.suffix.lower())
            with whole_file(folder / names[-1]) as temporary:
                temporary.write_bytes(content)
        rows = pd.concat([*before, pd.DataFrame({"path": names, "category": category})])
        with whole_file(table) as temporary:
            rows.drop_duplicates("path", keep="last").to_csv(temporary, index=False)


def build(finder: Finder, feedback: Path | None) -> gradio.Blocks:
    """Lay out the page; without a folder for feedback it does not ask for any."""

    def name(shown: list[tuple[str, None]] | None) -> tuple[str, str, dict[str, Any]]:
        """Answer, clear the region of before, and ask what it was."""
        html = answer(finder, [path for path, _ in shown or ()])
        return html, "", gradio.update(visible=bool(feedback and "<ol" in html))

    def explain(shown: list[tuple[str, None]] | None) -> str:
        """Show the region that decided."""
        return region(finder, [path for path, _ in shown or ()])

    def learn(shown: list[tuple[str, None]] | None, category: str | None, consent: bool) -> str:
        """Keep photos with their name, if their giver agrees."""
        category = tidy_name(category or "")[:LONGEST_TEXT]
        if FORMULA.match(category) and category not in finder.categories:
            return "Nothing is kept yet: to a spreadsheet a name that begins so is a formula."
        if not (shown and category and consent):
            return "Nothing is kept yet: say what it was, and tick that the photos may be kept."
        told = finder.identify_files([path for path, _ in shown], top=1)
        readable = [path for path, each in told if isinstance(each, Answer)]
        if not readable:
            return "Nothing is kept: the photos are gone by now, or cannot be read. Drop them once more."
        try:
            keep(readable, category, feedback)
        except UserError as error:
            return escape(error)
        return f"Thank you. Photos kept: {len(readable)}."

    with gradio.Blocks(title="autoparts", analytics_enabled=False, delete_cache=(SWEEP, OLDEST)) as page:
        gradio.HTML(TEMPLATES.get_template("head.html.j2").render(finder=finder))
        kinds, look = ["image", ".heic", ".heif"], {"columns": 4, "fit_columns": False, "height": 240, "buttons": []}
        photos = gradio.Gallery(label="Photos of one part", file_types=kinds, interactive=True, **look)
        told, decided = gradio.HTML(), gradio.HTML()
        with gradio.Column(visible=False) as asked:
            category = gradio.Dropdown(finder.categories, label="It was a …", value=None, allow_custom_value=True)
            consent = gradio.Checkbox(label="Keep these photos to learn from, with all that the camera noted in them")
            send, thanks = gradio.Button("Send"), gradio.HTML()
        alone = {"api_visibility": "private", "concurrency_id": "finder", "concurrency_limit": 1}
        named = photos.change(name, photos, [told, decided, asked], trigger_mode="always_last", **alone)
        named.then(explain, photos, decided, **alone)  # behind the names that others wait for
        send.click(learn, [photos, category, consent], thanks, **alone)
    return page.queue(max_size=100)


def launch(finder: Finder, feedback: Path | None, **options: Any) -> gradio.Blocks:
    """Show the page at 127.0.0.1, or where Gradio's options say; returns while it goes on."""
    page = build(finder, feedback)
    here = f"localhost,127.0.0.1,::1,{options.get('server_name', '')}"  # which Gradio asks whether it answers
    os.environ |= {name: f"{here},{os.environ.get(name, '')}" for name in ("no_proxy", "NO_PROXY")}
    quiet = {"share": False, "run_history": False, "enable_monitoring": False, "footer_links": [], "pwa": False}
    system = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    theme = gradio.themes.Base(font=system, font_mono=["ui-monospace", "monospace"])
    where = {"server_name": "127.0.0.1", "max_file_size": LIMIT, "theme": theme, "css_paths": HERE / "page.css"}
    where["js"] = (HERE / "page.js").read_text()
    page.launch(**quiet, **where | options, ssr_mode=False, mcp_server=False, quiet=True, prevent_thread_lock=True)
    return page


def app(finder: Finder, feedback: str | Path | None = None) -> None:
    """Show the page in a notebook; photos that may be kept go to the folder `feedback`, if one is given."""
    launch(finder, Path(feedback) if feedback else None, inline=True, height=900)


def serve(finder: Finder, feedback: Path, host: str, port: int | None, password: str | None, run: str) -> None:
    """Serve the page of a run's finder until interrupted; with a password all have to give it, under any name.

    Without one that of the environment counts, if there is any: `AUTOPARTS_PASSWORD`, which no list of processes shows.
    That others could reach it without a password, or that nothing can listen there, is told in a UserError.
    """
    password = password or os.environ.get("AUTOPARTS_PASSWORD")
    if host not in ("127.0.0.1", "localhost", "::1") and not password:
        raise UserError(f"--host {host} lets others open the page; set AUTOPARTS_PASSWORD, or give --password, too")
    if port is not None and not 0 < port < 2**16:
        raise UserError(f"nothing can listen at {host}, port {port}: give one from 1 to 65535")
    if feedback.exists() and not feedback.is_dir():
        raise UserError(f"--feedback {feedback} is no folder; choose another")

    def _right(_: str, given: str) -> bool:
        return secrets.compare_digest(given.encode(), password.encode())

    guard = {"auth": _right if password else None, "auth_message": "Any user name will do."}
    try:
        page = launch(finder, feedback, server_name=f"[{host}]" if ":" in host else host, server_port=port, **guard)
    except (OSError, OverflowError) as error:
        raise UserError(f"nothing can listen at {host}, port {port or 'any'}: {error}") from None
    print(f"{page.local_url} names parts; Ctrl+C ends it. Photos that may be kept go to {feedback}")
    print(f"The finder learns them by: {learning(run, feedback)}; then start the page again", flush=True)
    page.block_thread()
