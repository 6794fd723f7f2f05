"""The command `autoparts`: run the study, check and render its report, name parts in photos, write a catalogue."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoparts.errors import FailedError, UserError

if TYPE_CHECKING:
    from autoparts.finder.finder import Answer

DATA_HELP = "synthetic (default), synthetic:thesis, a folder with one sub-folder per category, or a CSV manifest"
RUN_HELP = "name of the run folder under reports/, or a path"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 well, 1 failed, 2 wrong input, 130 interrupted."""
    chosen = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return chosen.action(chosen) or 0
    except UserError as error:
        print(f"autoparts: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # autoparts identify photos | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at its end
        return 1
    except KeyboardInterrupt:
        print("autoparts: interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="autoparts", description="Name a car part from a photo, and study how.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def _command(name: str, action: Callable[[argparse.Namespace], int | None], summary: str) -> Callable:
        added = commands.add_parser(name, help=summary)
        added.set_defaults(action=action)
        return added.add_argument

    option = _command("run", _run, "run the notebooks in sequence and render the report")
    option("--data", help=DATA_HELP)
    option("--name", help="run folder under reports/, or a path (default: demo)")
    option("--profile", help="demo (default), thesis, or a YAML file of parameters")
    option("--only", default="", help="numbers of the notebooks to run, such as 02,05 (default: all)")
    option("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="set one, such as -p epochs 20")
    option("--force", action="store_true", help="run notebooks that are up to date, and forget what they learned")
    option("--restart", action="store_true", help="empty the run folder first, such as for another study")
    option("--allow-outside", action="store_true", help="let a manifest name photos outside its own folder")
    option("--like", type=Path, metavar="RUN.JSON", help="repeat the run of a run.json; say whether the tables agree")
    option = _command("check", _check, "say whether a run is whole and up to date; run nothing")
    option("run", help=RUN_HELP)
    option("--data", help="the photos of the run, to compare them as well; not needed for generated ones")
    option = _command("compare", _compare, "set runs side by side: other seeds, settings or data")
    option("runs", nargs="+", metavar="RUN", help=RUN_HELP)
    option("--to", help="folder to write to (default: compare-RUN-RUN under reports/)")
    option = _command("render", _render, "write the HTML of a run again from its executed notebooks")
    option("run", help=RUN_HELP)
    option = _command("identify", _identify, "name the parts in photos, with what a run has learned")
    option("photos", nargs="+", metavar="PHOTO", help="a photo, or a folder of them")
    option("--run", default="demo", help="run folder under reports/, or the path of one or of its finder")
    option("--top", type=int, default=5, help="how many names for each photo (default: 5)")
    option("--json", action="store_true", help="write one line of JSON for each photo")
    option = _command("serve", _serve, "open a page to drop photos on, which names the parts in them")
    option("--run", default="demo", help="run folder under reports/, or the path of one or of its finder")
    option("--feedback", type=Path, metavar="DIR", help="where photos go that may be kept (default: RUN/feedback)")
    option("--host", default="127.0.0.1", help="address to listen at; another than 127.0.0.1 needs --password")
    option("--port", type=int, help="default: the first free one from 7860")
    option("--password", help="what one has to know to use the page")
    option = _command("synthesize", _synthesize, "write the generated catalogue as JPEG files")
    option("folder", type=Path, help="folder to write to; it has to be empty or new")
    option("--scale", default="demo", choices=("demo", "thesis"), help="default: demo")
    option("--categories", type=int, help="number of categories, with --images, in place of a scale")
    option("--images", type=int, help="number of photos, with --categories")
    option("--seed", type=int, default=0, help="another seed draws other photos (default: 0)")
    return parser


def _run(chosen: argparse.Namespace) -> None:
    if chosen.like:
        for option in ("--profile", "--only", "-p", "--force", "--restart", "--allow-outside"):
            if getattr(chosen, option.strip("-").replace("-", "_")):
                raise UserError(f"--like takes everything from the run to repeat; leave {option} out")
        from autoparts.pipeline.repeat import repeat  # torch takes seconds to import, and --help should not

        print(repeat(chosen.like, chosen.data, chosen.name))
        return
    from autoparts.pipeline.execution import run

    parameters = {name: _value(name, text) for name, text in chosen.p}
    parameters |= {"allow_outside": True} if chosen.allow_outside else {}
    only = [number for number in chosen.only.split(",") if number]
    given = {name: getattr(chosen, name) for name in ("data", "name", "profile") if getattr(chosen, name)}
    print(run(**given, only=only, parameters=parameters, force=chosen.force, restart=chosen.restart))


def _value(name: str, text: str) -> Any:
    """Read a parameter's value as YAML, and 5e-4 as a number too, which YAML takes for text without a point."""
    import yaml

    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        raise UserError(f"parameter {name} is {text!r}, which is no YAML value; lists are written [32, 64]") from None
    with suppress(ValueError, TypeError):
        return float(value) if isinstance(value, str) else value
    return value


def _check(chosen: argparse.Namespace) -> int:
    from autoparts.pipeline.check import check

    return 0 if check(chosen.run, chosen.data) else 1


def _compare(chosen: argparse.Namespace) -> None:
    from autoparts.pipeline.compare import compare

    print(compare(chosen.runs, chosen.to))


def _render(chosen: argparse.Namespace) -> None:
    from autoparts.report.index import render
    from autoparts.study.run import run_folder

    print(render(run_folder(chosen.run)))


def _identify(chosen: argparse.Namespace) -> None:
    if chosen.top < 1:
        raise UserError(f"--top is {chosen.top}; it has to be at least 1")
    paths = [path for photo in chosen.photos for path in _photos_of(photo)]
    if not paths:
        raise UserError(f"there is no file in {', '.join(chosen.photos)}; give photos, or a folder of them")
    from autoparts.finder.finder import load_finder, printable

    width = min(40, max(len(printable(path)) for path in paths))
    read = False
    for path, answer in load_finder(_finder_file(chosen.run)).identify_files(paths, chosen.top):
        print(_json_line(path, answer) if chosen.json else _table_rows(path, answer, width), flush=True)
        read |= not isinstance(answer, str)
    if not read:
        raise FailedError(f"none of {len(paths)} files could be read as a photo")


def _finder_file(run: str) -> Path:
    if run.endswith(".pt"):
        return Path(run)
    package = Path(__file__).parent  # as study.run.run_folder, which takes longer to import than the finder does
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
    told = {"photo": path, "known": answer.known, "name": names[0]["category"] if answer.known else None}
    return json.dumps(told | {"names": names, "nearest": nearest, "warning": answer.warning})


def _table_rows(path: str, answer: "Answer | str", width: int) -> str:
    """One row for each name; the photo is named in the first one, by the end of its path if that is long."""
    from autoparts.finder.finder import printable

    photo = printable(path)
    photo = photo if len(photo) <= width else "…" + photo[1 - width :]
    if isinstance(answer, str):
        rows = [f"cannot be read: {answer}"]
    elif answer.known:
        rows = [f"{name.confidence:7.1%}  {name.category}" for name in answer.names] + [answer.warning]
    else:
        likeliest = f"likeliest: {answer.names[0].category}, distance {answer.distance:.2f}"
        rows = [f"nothing like it in the catalogue ({likeliest})", answer.warning]
    rows = [printable(row) for row in rows if row]
    return "\n".join(f"{photo if place == 0 else '':{width}}  {row}" for place, row in enumerate(rows))


def _serve(chosen: argparse.Namespace) -> None:
    from autoparts.finder.finder import load_finder
    from autoparts.finder.page import serve

    file = _finder_file(chosen.run)
    folder = file.parent.parent if file.parent.name == "models" else file.parent
    serve(load_finder(file), chosen.feedback or folder / "feedback", chosen.host, chosen.port, chosen.password)


def _synthesize(chosen: argparse.Namespace) -> None:
    from autoparts.generated import catalogue

    if (chosen.categories is None) != (chosen.images is None):
        raise UserError("--categories and --images belong together, such as --categories 50 --images 3000")
    scale = f"{chosen.categories}x{chosen.images}" if chosen.categories else chosen.scale
    catalogue.write(chosen.folder, scale, chosen.seed)


if __name__ == "__main__":
    sys.exit(main())
