"""The command `autoparts`: run the study, check and render its report, name parts in photos, write a catalogue."""

import argparse
import logging
import os
import re
import signal
import sys
from collections import ChainMap
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any

from autoparts.errors import CLOSED, FailedError, UserError
from autoparts.study.folder import expanded

DATA_HELP = "synthetic (default), synthetic:thesis, a folder with one sub-folder per category, or a CSV manifest"
RUN_HELP = "name of the run folder under reports/, or a path, which from here begins with ./"
FINDER_HELP = "run folder under reports/, or the path of one, ./ from here, or of its finder file"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 well, 1 failed, 2 wrong input, 130 interrupted."""
    chosen = _parser().parse_args(arguments)
    getattr(sys.stdout, "reconfigure", lambda **_: None)(errors="backslashreplace")  # Windows' pipes lack letters
    for ends in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):  # Windows has no terminal that hangs up
        if signal.getsignal(ends) != signal.SIG_IGN:  # as nohup has it
            signal.signal(ends, signal.default_int_handler)
    hook, sys.unraisablehook = sys.unraisablehook, _interrupt_again
    try:
        return chosen.action(chosen) or 0
    except UserError as error:
        print(f"autoparts: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # autoparts identify photos | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at its end
        return 1
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # or it tells of the kernel's end too, at length
        anew = " and ".join(f"--{name}" for name in ("restart", "force") if getattr(chosen, name, False))
        goes_on = f" without {anew} keeps what is done" if anew else " goes on from here"
        goes_on = f"; the same command{goes_on}" if chosen.action in (_run, _train) else ""
        print(f"autoparts: interrupted{goes_on}", file=sys.stderr)
        return 130
    except OSError as error:  # of a place where one may not look, or a name that is too long
        if error.filename is None or error.errno not in CLOSED:
            raise
        print(f"autoparts: {error.filename!r}: {error.strerror}", file=sys.stderr)
        return 2
    finally:
        sys.unraisablehook = hook


def _interrupt_again(unraisable: Any) -> None:
    """Take an interruption that fell into a destructor, where Python ignores it, to what runs after that."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        again = Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))  # within this hook it would be ignored too
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(unraisable)


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
    option("--profile", help="demo (of generated photos), own (of others), full, thesis, or a YAML file of parameters")
    option("--only", default="", help="numbers of the notebooks to run, such as 02,05 (default: all)")
    option("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="set one, such as -p epochs 20")
    option("--force", action="store_true", help="run notebooks that are up to date, and forget what they learned")
    option("--restart", action="store_true", help="empty the run folder first, such as for another study")
    option("--allow-outside", action="store_true", help="let a manifest name photos outside its own folder")
    option("--cluster", metavar="ADDRESS", help="train chapter 6's rows on the Dask workers of this scheduler")
    option("--like", type=Path, metavar="RUN.JSON", help="repeat the run of a run.json; say whether the tables agree")
    option = _command("train", _train, "make a finder of your photos and its pages, without the rest of the study")
    option("--data", required=True, help=DATA_HELP)
    option("--name", required=True, help="run folder under reports/, or a path")
    option("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="set one, such as -p seed 1")
    option("--restart", action="store_true", help="empty the run folder first, such as after photos were added")
    option("--allow-outside", action="store_true", help="let a manifest name photos outside its own folder")
    option = _command("check", _check, "say whether a run is whole and up to date; run nothing")
    option("run", help=RUN_HELP)
    option("--data", help="the photos of the run, to compare them as well; not needed for generated ones")
    option = _command("compare", _compare, "set runs side by side: other seeds, settings or data")
    option("runs", nargs="+", metavar="RUN", help=RUN_HELP)
    option("--to", help="folder to write to (default: compare-RUN-RUN under reports/)")
    option = _command("render", _render, "write the HTML of a run again from its executed notebooks")
    option("run", help=RUN_HELP)
    option("--pdf", action="store_true", help="print the whole report to its report.pdf, too, by Chromium")
    option = _command("identify", _identify, "name the parts in photos, with what a run has learned")
    option("photos", nargs="+", metavar="PHOTO", help="a photo, or a folder of them")
    option("--run", default="demo", help=FINDER_HELP)
    option("--top", type=int, default=5, help="how many names for each photo (default: 5)")
    option("--json", action="store_true", help="write one line of JSON for each photo")
    option("--csv", action="store_true", help="write a CSV table with a line for each photo")
    option = _command("teach", _teach, "teach the finder of a run names from a few photos, without training")
    option("photos", nargs="+", metavar="PHOTO", help="with --name photos, or folders; without, a CSV: path,category")
    option("--name", help="what all these photos show; a new part name, or one that the finder knows")
    option("--run", default="demo", help=FINDER_HELP)
    option("--allow-outside", action="store_true", help="let the CSV name photos outside its own folder")
    option = _command("forget", _forget, "have the finder of a run forget a part name")
    option("--name", required=True, help="as the finder gives it")
    option("--run", default="demo", help=FINDER_HELP)
    option = _command("serve", _serve, "open a page to drop photos on, which names the parts in them")
    option("--run", default="demo", help=FINDER_HELP)
    option("--feedback", type=Path, metavar="DIR", help="where photos go that may be kept (default: RUN/feedback)")
    option("--host", default="127.0.0.1", help="address to listen at; another than 127.0.0.1 needs a password")
    option("--port", type=int, help="default: the first free one from 7860")
    option("--password", help="what one has to know to use the page; `ps` shows it, but not AUTOPARTS_PASSWORD if set")
    option = _command("export", _export, "write the finder's network for other programs")
    option("--run", default="demo", help=FINDER_HELP)
    option("--onnx", nargs="?", const="", required=True, metavar="FILE", help="as ONNX (default: beside the finder)")
    option = _command("synthesize", _synthesize, "write the generated catalogue as JPEG files")
    option("folder", type=Path, help="folder to write to; it has to be empty or new")
    option("--scale", default="demo", choices=("demo", "thesis"), help="default: demo")
    option("--categories", type=int, help="number of categories, with --images, in place of a scale")
    option("--images", type=int, help="number of photos, with --categories")
    option("--seed", type=int, default=0, help="another seed draws other photos (default: 0)")
    return parser


def _run(chosen: argparse.Namespace) -> None:
    if chosen.like:
        for option in ("--profile", "--only", "-p", "--force", "--restart", "--allow-outside", "--cluster"):
            if getattr(chosen, option.strip("-").replace("-", "_")):
                raise UserError(f"--like takes everything from the run to repeat; leave {option} out")
        from autoparts.pipeline.repeat import repeat  # torch takes seconds to import, and --help should not

        print(repeat(chosen.like, chosen.data, chosen.name))
        return
    from autoparts.pipeline.execution import run

    only = [number for number in chosen.only.split(",") if number]
    given = {name: getattr(chosen, name) for name in ("data", "name", "profile") if getattr(chosen, name)}
    print(run(**given, only=only, parameters=_parameters(chosen), force=chosen.force, restart=chosen.restart))


def _train(chosen: argparse.Namespace) -> None:
    from autoparts.pipeline.train import train

    print(train(chosen.data, chosen.name, _parameters(chosen), restart=chosen.restart))


def _parameters(chosen: argparse.Namespace) -> dict[str, Any]:
    options = {name: getattr(chosen, name, None) for name in ("allow_outside", "cluster")}
    given = {name: value for name, value in options.items() if value}
    if not chosen.p:
        return given
    from autoparts.pipeline.notebooks import declared_parameters, select

    declared = ChainMap(*map(declared_parameters, select()))
    texts = {name for name, parameter in declared.items() if parameter.kind == "str"}
    return {name: text if name in texts else _value(name, text) for name, text in chosen.p} | given


def _value(name: str, text: str) -> Any:
    """Read a value that is no text as YAML, but 5e-4 and 010 as the numbers that they are for people."""
    import yaml

    if re.fullmatch(r"[+-]?\d+", text):  # to YAML 010 is 8
        return int(text)
    try:
        value = yaml.safe_load(text) if text else text
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

    folder = run_folder(chosen.run)
    if folder.is_dir() and not any(folder.glob("notebooks/[!.]*.ipynb")):
        raise UserError(f"{folder} holds no executed notebooks to write pages of; what is there stays as it is")
    print(render(folder))
    if chosen.pdf:
        from autoparts.report.pdf import print_report

        print(print_report(folder))


def _identify(chosen: argparse.Namespace) -> None:
    if chosen.top < 1:
        raise UserError(f"--top is {chosen.top}; it has to be at least 1")
    if chosen.json and chosen.csv:
        raise UserError("--json and --csv are two forms of the same answers; give one of them")
    paths = _photos_of(chosen.photos)
    from autoparts.finder import answers
    from autoparts.finder.finder import load_finder, printable
    from autoparts.finder.places import file_in_use

    width = min(40, max(len(printable(path)) for path in paths))
    finder, read = load_finder(file_in_use(chosen.run)), False
    if chosen.csv:
        print(answers.csv_header(chosen.top))
    for path, answer in finder.identify_files(paths, chosen.top):
        if chosen.json:
            print(answers.json_line(path, answer), flush=True)
        elif chosen.csv:
            print(answers.csv_line(path, answer, chosen.top), flush=True)
        else:
            print(answers.table_rows(path, answer, width), flush=True)
        read |= not isinstance(answer, str)
    if not read:
        raise FailedError(f"none of {len(paths)} files could be read as a photo")


def _teach(chosen: argparse.Namespace) -> None:
    from autoparts.finder import places, teach

    first = expanded(chosen.photos[0])
    table = first.suffix.lower() in ("", ".csv", ".tsv", ".txt") or first.is_dir()
    if chosen.name is None and (len(chosen.photos) > 1 or not table):
        raise UserError("--name is missing: give it with photos, or give one CSV with the columns path, category")
    if chosen.name is None:
        photos = teach.listed(chosen.photos[0], chosen.allow_outside)
    else:
        photos = {chosen.name: _photos_of(chosen.photos)}
    places.change(chosen.run, lambda finder: teach.learn(finder, photos))


def _forget(chosen: argparse.Namespace) -> None:
    from autoparts.finder.places import change

    change(chosen.run, lambda finder: finder.forget(chosen.name))


def _export(chosen: argparse.Namespace) -> None:
    from autoparts.finder.export import to_onnx
    from autoparts.finder.finder import load_finder
    from autoparts.finder.places import file_in_use

    file = file_in_use(chosen.run)
    target = expanded(chosen.onnx) if chosen.onnx else file.with_suffix(".onnx")
    differences = to_onnx(load_finder(file), target)
    told = " and ".join(f"{name} at most {difference:.1g}" for name, difference in differences.items())
    print(f"{target}: it differs from torch in {told}")


def _photos_of(photos: Sequence[str]) -> list[str]:
    """Return the photos, and what is beneath the folders among them, as `catalogue.files_beneath` finds it."""
    from autoparts.catalogue import files_beneath

    paths = []
    for photo in photos:
        folder = os.path.isdir(photo)  # noqa: PTH112 - Path.is_dir raises where one may not look
        paths += sorted(files_beneath(photo)) if folder else [photo]
    if not paths:
        raise UserError(f"there is no file in {', '.join(photos)}; give photos, or a folder of them")
    return paths


def _serve(chosen: argparse.Namespace) -> None:
    from autoparts.finder.finder import load_finder
    from autoparts.finder.page import serve
    from autoparts.finder.places import feedback_folder, file_in_use

    feedback = expanded(chosen.feedback or feedback_folder(chosen.run))
    serve(load_finder(file_in_use(chosen.run)), feedback, chosen.host, chosen.port, chosen.password, chosen.run)


def _synthesize(chosen: argparse.Namespace) -> None:
    from autoparts.generated import catalogue
    from autoparts.study.study import DRAWN

    if (chosen.categories is None) != (chosen.images is None):
        raise UserError("--categories and --images belong together, such as --categories 50 --images 3000")
    scale = f"{chosen.categories}x{chosen.images}" if chosen.categories is not None else chosen.scale
    catalogue.write(chosen.folder, scale, chosen.seed)
    (chosen.folder / DRAWN).write_text("These photos are drawn; no real part was photographed.\n")


if __name__ == "__main__":
    sys.exit(main())
