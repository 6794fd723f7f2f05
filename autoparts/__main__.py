"""The command `autoparts`: run the study, render a report, name parts in photos, write a generated catalogue."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from autoparts.files import UserError

if TYPE_CHECKING:
    from autoparts.finder import Answer

DATA_HELP = "synthetic (default), synthetic:thesis, a folder with one sub-folder per category, or a CSV manifest"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 well, 1 a notebook failed, 2 wrong input, 130 interrupted."""
    chosen = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        chosen.action(chosen)
    except UserError as error:
        print(f"autoparts: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # autoparts identify photos | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at its end
        return 1
    except KeyboardInterrupt:
        print("autoparts: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autoparts", description="Name a car part from a photo: run the study, read its report."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run the notebooks in sequence and render the report")
    run.add_argument("--data", help=DATA_HELP)
    run.add_argument("--name", help="run folder under reports/, or a path (default: demo)")
    run.add_argument("--profile", help="demo (default), thesis, or a YAML file of parameters")
    run.add_argument("--only", default="", help="numbers of the notebooks to run, such as 02,05 (default: all)")
    run.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        dest="parameters",
        help="set one parameter, such as -p epochs 20; may be repeated",
    )
    run.add_argument("--force", action="store_true", help="run notebooks again that are up to date")
    run.add_argument("--allow-outside", action="store_true", help="let a manifest name photos outside its own folder")
    run.add_argument(
        "--like",
        type=Path,
        metavar="RUN.JSON",
        help="repeat the run of a reports/NAME/run.json and say whether the tables agree",
    )
    run.set_defaults(action=_run)
    render = commands.add_parser("render", help="write the HTML of a run again from its executed notebooks")
    render.add_argument("run", help="name of the run folder under reports/, or a path")
    render.set_defaults(action=_render)
    identify = commands.add_parser("identify", help="name the parts in photos, with what a run has learned")
    identify.add_argument("photos", nargs="+", metavar="PHOTO", help="a photo, or a folder of them")
    identify.add_argument(
        "--run", default="demo", help="run folder under reports/, or the path of one or of its finder"
    )
    identify.add_argument("--top", type=int, default=5, help="how many names for each photo (default: 5)")
    identify.add_argument("--json", action="store_true", help="write one line of JSON for each photo")
    identify.set_defaults(action=_identify)
    synthesize = commands.add_parser("synthesize", help="write the generated catalogue as JPEG files")
    synthesize.add_argument("folder", type=Path, help="folder to write to; it has to be empty or new")
    synthesize.add_argument("--scale", default="demo", choices=("demo", "thesis"), help="default: demo")
    synthesize.add_argument("--categories", type=int, help="number of categories, with --images, in place of a scale")
    synthesize.add_argument("--images", type=int, help="number of photos, with --categories")
    synthesize.add_argument("--seed", type=int, default=0, help="another seed draws other photos (default: 0)")
    synthesize.set_defaults(action=_synthesize)
    return parser


def _run(chosen: argparse.Namespace) -> None:
    if chosen.allow_outside:
        os.environ["AUTOPARTS_ALLOW_OUTSIDE"] = "1"  # for the notebooks too, whose kernels inherit it
    if chosen.like:
        _repeat(chosen)
        return
    from autoparts.pipeline import run  # torch takes seconds to import, and --help should not

    parameters = {name: _value(name, text) for name, text in chosen.parameters}
    only = [number for number in chosen.only.split(",") if number]
    data, name, profile = chosen.data or "synthetic", chosen.name or "demo", chosen.profile or "demo"
    print(run(data, name, profile, only, parameters, chosen.force))


def _repeat(chosen: argparse.Namespace) -> None:
    given = {"--profile": chosen.profile, "--only": chosen.only, "-p": chosen.parameters, "--force": chosen.force}
    if set_too := [name for name, value in given.items() if value]:
        raise UserError(f"--like takes everything from the run to repeat; leave {set_too[0]} out")
    from autoparts.repeat import repeat

    print(repeat(chosen.like, chosen.data, chosen.name))


def _value(name: str, text: str) -> Any:
    """Read a parameter's value as YAML, and 5e-4 as a number too, which YAML takes for text without a point."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"parameter {name} is {text!r}, which is no YAML value; lists are written [32, 64]") from None
    with suppress(ValueError, TypeError):
        return float(value) if isinstance(value, str) else value
    return value


def _render(chosen: argparse.Namespace) -> None:
    from autoparts.report import render
    from autoparts.study import run_folder

    folder = run_folder(chosen.run)
    if not folder.is_dir():
        raise UserError(f"there is no run in {folder}; make one with: autoparts run --name {chosen.run}")
    print(render(folder))


class UnreadError(UserError):
    """None of the photos could be read."""

    exit_code = 1


def _identify(chosen: argparse.Namespace) -> None:
    finder_file = _finder_file(chosen.run)
    if not chosen.run.endswith(".pt") and not finder_file.is_file():
        raise UserError(f"there is no finder in {finder_file.parent}; make one with: autoparts run --name {chosen.run}")
    if chosen.top < 1:
        raise UserError(f"--top is {chosen.top}; it has to be at least 1")
    paths = [path for photo in chosen.photos for path in _photos_of(photo)]
    if not paths:
        raise UserError(f"there is no file in {', '.join(chosen.photos)}; give photos, or a folder of them")
    from autoparts.finder import load_finder

    width = min(40, max(map(len, paths)))
    read = False
    for path, answer in load_finder(finder_file).identify_files(paths, chosen.top):
        print(_json_line(path, answer) if chosen.json else _table_rows(path, answer, width), flush=True)
        read |= not isinstance(answer, str)
    if not read:
        raise UnreadError(f"none of {len(paths)} files could be read as a photo")


def _finder_file(run: str) -> Path:
    if run.endswith(".pt"):
        return Path(run).expanduser()
    package = Path(__file__).parent
    reports = package.parent / "reports" if (package.parent / "notebooks").is_dir() else Path("reports")
    return Path(os.environ.get("AUTOPARTS_REPORTS", reports)) / Path(run).expanduser() / "models" / "finder.pt"


def _photos_of(photo: str) -> list[str]:
    """Return the files in a folder and its folders, hidden ones left out; or the photo itself."""
    if not Path(photo).is_dir():
        return [photo]
    inside = [path for path in sorted(Path(photo).rglob("*")) if path.is_file()]
    return [str(path) for path in inside if not any(part.startswith(".") for part in path.relative_to(photo).parts)]


def _json_line(path: str, answer: "Answer | str") -> str:
    if isinstance(answer, str):
        return json.dumps({"photo": path, "error": answer})
    nearest = [{"category": near.category, "distance": round(near.distance, 4)} for near in answer.nearest]
    names = [{"category": name.category, "confidence": round(name.confidence, 4)} for name in answer.names]
    name = names[0]["category"] if answer.known else None
    return json.dumps({"photo": path, "known": answer.known, "name": name, "names": names, "nearest": nearest})


def _table_rows(path: str, answer: "Answer | str", width: int) -> str:
    """One row for each name; the photo is named in the first one, by the end of its path if that is long."""
    photo = path if len(path) <= width else "…" + path[1 - width :]
    if isinstance(answer, str):
        rows = [f"cannot be read: {answer}"]
    elif not answer.known:
        near = answer.nearest[0]
        rows = [f"nothing like it in the catalogue (nearest: {near.category}, distance {near.distance:.2f})"]
    else:
        rows = [f"{name.confidence:7.1%}  {name.category}" for name in answer.names]
    return "\n".join(f"{photo if place == 0 else '':{width}}  {row}" for place, row in enumerate(rows))


def _synthesize(chosen: argparse.Namespace) -> None:
    from autoparts import synthetic

    if (chosen.categories is None) != (chosen.images is None):
        raise UserError("--categories and --images belong together, such as --categories 50 --images 3000")
    scale = f"{chosen.categories}x{chosen.images}" if chosen.categories else chosen.scale
    synthetic.write(chosen.folder, scale, chosen.seed)


if __name__ == "__main__":
    sys.exit(main())
