"""Draw the summary of a run as SVG for the README: ``python docs/draw_run.py RESULTS_JSON TARGET_SVG COMMAND``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.sax.saxutils import escape

from pytest_mle.reports.run_report import report_from_json
from pytest_mle.reports.terminal import Line, summary_lines

COLUMNS, ROW, LEFT = 96, 18, 16
COLOURS = {
    "green": "#7ee787",
    "red": "#ff7b72",
    "yellow": "#e3b341",
    "bold": "#ffffff",
    "dim": "#8b949e",
    "": "#d0d7de",
}


def draw(lines: list[Line]) -> str:
    """Return an SVG with one text a line, on a dark ground."""
    height = ROW * (len(lines) + 2)
    font = 'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="13"'
    rows = [
        f'<text x="{LEFT}" y="{ROW * (place + 2)}" fill="{COLOURS[line.style]}" xml:space="preserve">'
        f"{escape(line.text)}</text>"
        for place, line in enumerate(lines)
    ]
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT * 2 + COLUMNS * 8}" height="{height}" {font}>',
            '<rect width="100%" height="100%" rx="8" fill="#0d1117"/>',
            *rows,
            "</svg>",
            "",
        )
    )


def main(results: str, target: str, command: str) -> None:
    """Read a run's results and write the picture."""
    report = report_from_json(json.loads(Path(results).read_text(encoding="utf-8")))
    lines = [Line(f"$ {command}", "dim"), Line(""), *summary_lines(report, width=COLUMNS, written=["mle-reports"])]
    Path(target).write_text(draw(lines), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
