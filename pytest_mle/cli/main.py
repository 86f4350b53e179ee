"""`pytest-mle`: start a project, see what exists, look at one item."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mle.errors import MleError

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE_ERROR = 4  # as pytest's


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except MleError as error:
        sys.stderr.write(f"{error}\n")
        return USAGE_ERROR
    except BrokenPipeError:
        # `pytest-mle checks | head`: the reader has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pytest-mle", description="ML-engineering checklists as pytest items.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    init = commands.add_parser("init", help="write a spec, a conftest.py and a .gitlab-ci.yml that run at once")
    init.add_argument("folder", nargs="?", default=".", type=Path)
    init.set_defaults(run=_init)

    checks = commands.add_parser("checks", help="list the checks, or describe one")
    checks.add_argument("name", nargs="?")
    checks.set_defaults(run=_checks)

    schema = commands.add_parser("schema", help="print the JSON Schema of the spec format, for editors")
    schema.set_defaults(run=_schema)

    show = commands.add_parser("show", help="print an item as it will run, with the origin of each key")
    show.add_argument("item")
    show.add_argument("--mle-spec", default="spec.yaml", type=Path, metavar="PATH", help="default: %(default)s")
    show.add_argument("--mle-set", action="append", default=[], metavar="KEY=VALUE")
    show.set_defaults(run=_show)
    return parser


def _init(options: argparse.Namespace) -> int:
    from pytest_mle.cli.init import write_project

    return write_project(options.folder)


def _checks(options: argparse.Namespace) -> int:
    from pytest_mle.cli.checks import describe_check, list_checks

    sys.stdout.write(describe_check(options.name) if options.name else list_checks())
    return 0


def _schema(_options: argparse.Namespace) -> int:
    import json

    from pytest_mle.spec.schema import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
    return 0


def _show(options: argparse.Namespace) -> int:
    from pytest_mle.checks.catalogue import BUILT_IN, built_in_check
    from pytest_mle.spec.load import load_spec
    from pytest_mle.spec.show import describe_item

    spec = load_spec(
        options.mle_spec.absolute(),
        overrides=options.mle_set,
        environment=os.environ,
        find_check=built_in_check,
        known_checks=tuple(BUILT_IN),
    )
    sys.stdout.write(describe_item(spec, options.item) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
