"""Writes all that users load of unisocket: nox session `artifacts`, and the tests, which load just that."""

import shutil
import subprocess
import sys
from pathlib import Path

from unisocket._assets import PARTS


def write_artifacts(wheel: Path, folder: Path) -> None:
    """Fill a folder with the wheel, the scripts for Brython, and, in `micropython/`, files and lists.

    Args:
        wheel: The wheel, which is installed here.
        folder: Is made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(wheel, folder)
    for part in PARTS:
        options = ["--part", part] if part else []
        name = "-".join(["unisocket", *options[1:]])
        for command in (
            ["brython-bundle", "-o", str(folder / f"{name}.brython.js")],
            ["micropython-files", str(folder / "micropython")],
        ):
            # -P: what is installed, not what lies in the working directory.
            subprocess.run([sys.executable, "-P", "-m", "unisocket", *command, *options], check=True)


if __name__ == "__main__":
    write_artifacts(*map(Path, sys.argv[1:]))
