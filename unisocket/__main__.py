"""The command line: `python -m unisocket --help`."""

import argparse
import sys
from pathlib import Path

from unisocket import __version__
from unisocket._assets import PARTS, RUNTIMES, AssetError, brython_bundle, lay_out, micropython_files, write


def main() -> None:
    """Do what the command line says."""
    arguments = _parser().parse_args()
    try:
        arguments.run(arguments)
    except AssetError as error:
        sys.exit(f"unisocket: {error}")
    except OSError as error:
        sys.exit(f"unisocket: {error}: name another file or folder, or make this one writable")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m unisocket", description="Writes what browsers need of unisocket.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    bundle = commands.add_parser("brython-bundle", help="write the script that a page of Brython loads")
    bundle.add_argument("-o", dest="file", type=Path, required=True, metavar="FILE")
    bundle.set_defaults(run=lambda given: write(given.file.parent, {given.file.name: brython_bundle(given.part)}))

    files = commands.add_parser(
        "micropython-files", help="write the modules for MicroPython, and PyScript's list of them"
    )
    files.add_argument("folder", type=Path, metavar="DIR")
    files.set_defaults(run=lambda given: write(given.folder, micropython_files(given.part)))
    for command in (bundle, files):
        command.add_argument(
            "--part", choices=PARTS[1:], default="", help="not what each program needs, but what comes on top of it"
        )

    assets = commands.add_parser("assets", help="fill a folder with a page, its Python, unisocket and a program")
    assets.add_argument("folder", type=Path, metavar="DIR")
    assets.add_argument("--runtime", choices=RUNTIMES, required=True)
    assets.add_argument(
        "--from", dest="source", type=Path, metavar="DIR", help="the folder that has the runtime's files"
    )
    assets.set_defaults(run=_assets)
    return parser


def _assets(given: argparse.Namespace) -> None:
    for name in lay_out(given.folder, given.runtime, given.source):
        print(f"{name} was there, and stays as it is")


if __name__ == "__main__":
    main()
