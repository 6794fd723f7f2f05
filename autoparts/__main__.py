"""The command `autoparts`: run the study, render a report, write a generated catalogue."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from autoparts.files import UserError

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
    run.add_argument("--data", default="synthetic", help=DATA_HELP)
    run.add_argument("--name", default="demo", help="run folder under reports/, or a path (default: demo)")
    run.add_argument("--profile", default="demo", help="demo (default), thesis, or a YAML file of parameters")
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
    run.set_defaults(action=_run)
    render = commands.add_parser("render", help="write the HTML of a run again from its executed notebooks")
    render.add_argument("run", help="name of the run folder under reports/, or a path")
    render.set_defaults(action=_render)
    synthesize = commands.add_parser("synthesize", help="write the generated catalogue as JPEG files")
    synthesize.add_argument("folder", type=Path, help="folder to write to; it has to be empty or new")
    synthesize.add_argument("--scale", default="demo", choices=("demo", "thesis"), help="default: demo")
    synthesize.add_argument("--categories", type=int, help="number of categories, with --images, in place of a scale")
    synthesize.add_argument("--images", type=int, help="number of photos, with --categories")
    synthesize.add_argument("--seed", type=int, default=0, help="another seed draws other photos (default: 0)")
    synthesize.set_defaults(action=_synthesize)
    return parser


def _run(chosen: argparse.Namespace) -> None:
    from autoparts.pipeline import run  # torch takes seconds to import, and --help should not

    parameters = {name: yaml.safe_load(value) for name, value in chosen.parameters}
    only = [number for number in chosen.only.split(",") if number]
    print(run(chosen.data, chosen.name, chosen.profile, only, parameters, chosen.force))


def _render(chosen: argparse.Namespace) -> None:
    from autoparts.report import render
    from autoparts.study import run_folder

    folder = run_folder(chosen.run)
    if not folder.is_dir():
        raise UserError(f"there is no run in {folder}; make one with: autoparts run --name {chosen.run}")
    print(render(folder))


def _synthesize(chosen: argparse.Namespace) -> None:
    from autoparts import synthetic

    if (chosen.categories is None) != (chosen.images is None):
        raise UserError("--categories and --images belong together, such as --categories 50 --images 3000")
    scale = f"{chosen.categories}x{chosen.images}" if chosen.categories else chosen.scale
    synthetic.write(chosen.folder, scale, chosen.seed)


if __name__ == "__main__":
    sys.exit(main())
