"""Figures as data; only reports draw them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["line", "bars", "histogram", "matrix", "image_grid"]


@dataclass(frozen=True, slots=True)
class Series:
    """One named row of numbers."""

    name: str
    y: tuple[float, ...]
    x: tuple[float, ...] | None = None
    lower: tuple[float, ...] | None = None
    upper: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture as data.

    ``line`` uses ``series`` with x; ``bars`` and ``histogram`` use ``labels`` (bar names or bin edges) with one value a
    label; ``matrix`` has one series a row and ``labels`` for the columns; ``image_grid`` has ``labels`` as captions and
    ``images`` as paths relative to the spec's folder.
    """

    kind: Kind
    title: str
    series: tuple[Series, ...] = ()
    labels: tuple[str, ...] = ()
    x_label: str = ""
    y_label: str = ""
    images: tuple[str, ...] = ()
    marks: tuple[tuple[str, float], ...] = ()
