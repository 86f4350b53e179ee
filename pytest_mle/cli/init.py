"""Start a project: files that run at once, and never overwrite what is there."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

from pytest_mle.errors import MleError

TEMPLATES = {"spec.yaml": "spec.yaml", "conftest.py": "conftest.py.txt", ".gitlab-ci.yml": "gitlab-ci.yml"}


def write_project(folder: Path) -> int:
    """Write the starting files into a folder; return 0, or 1 if all of them existed.

    Raises
    ------
    MleError
        If a file cannot be written.
    """
    templates = files("pytest_mle.cli") / "templates"
    written = 0
    if folder.exists() and not folder.is_dir():
        raise MleError(f"cannot write into {folder}: it is a file")
    for name, template in TEMPLATES.items():
        target = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # "x": another process may create the file between a test and the writing.
            with target.open("x", encoding="utf-8") as handle:
                handle.write((templates / template).read_text(encoding="utf-8"))
        except FileExistsError:
            sys.stdout.write(f"kept     {target} (exists)\n")
            continue
        except OSError as error:
            raise MleError(f"cannot write {target}: {error.strerror}") from error
        sys.stdout.write(f"written  {target}\n")
        written += 1
    change_folder = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    sys.stdout.write(f"\nNext: {change_folder}pytest --mle-spec=spec.yaml\n" if written else "\nNothing to do.\n")
    return 0 if written else 1
