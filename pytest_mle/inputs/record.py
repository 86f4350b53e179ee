"""The record protocol: quantities that were measured elsewhere, and what is known of how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pytest_mle.errors import InputError, Location, closest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

Form = Literal["exact", "estimate", "counts", "samples"]


@dataclass(frozen=True, slots=True, eq=False)
class RecordedQuantity:
    """One quantity as it was recorded; which fields are set depends on ``form``.

    ``exact``: ``value``. ``estimate``: ``value``, and with an interval ``lower``, ``upper`` or both at ``confidence``.
    ``counts``: ``successes`` of ``trials``, worth ``effective_trials`` independent ones. ``samples``: raw numbers in
    the order in which they were measured, shape ``(sample,)``, and the ``statistic`` of them that is meant.

    Numbers are in the unit ``unit``; a check gets them in base units. ``spelling`` is the unit as it was written, None
    where none was.
    """

    form: Form
    unit: str = "1"
    spelling: str | None = None
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    confidence: float | None = None
    n: int | None = None
    successes: int | None = None
    trials: int | None = None
    effective_trials: float | None = None
    samples: NDArray[np.float64] | None = None
    statistic: str | None = None
    method: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A record of a measurement that was made elsewhere.

    ``digest`` is the SHA-256 of the file. ``model_sha256`` and ``dataset_sha256`` say what was examined: one digest, or
    one for each input of the check by its name. ``parameters`` and ``where`` are the conditions of the measurement, in
    the file ``with`` and ``where``. ``declared`` is what the spec says of it: ``hardware``, ``valid_for``,
    ``unidentified``.
    """

    name: str
    path: str
    digest: str
    measured_at: datetime
    measured_by: str
    tool: str
    quantities: Mapping[str, RecordedQuantity]
    hardware: Mapping[str, Any] = field(default_factory=dict)
    model_sha256: str | Mapping[str, str] | None = None
    dataset_sha256: str | Mapping[str, str] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    where: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    declared: Mapping[str, Any] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.quantities

    def require(self, name: str) -> RecordedQuantity:
        """Return a quantity by name.

        Raises :class:`~pytest_mle.errors.InputError` that names the file and the closest quantity.
        """
        if name not in self.quantities:
            raise InputError(
                f"record {self.name} has no {name!r}. {closest(name, list(self.quantities))}", Location(self.path)
            )
        return self.quantities[name]

    @property
    def description(self) -> dict[str, Any]:
        """What a result says of the record besides its digest: where, when, by whom and on what it was made."""
        said = {
            "path": self.path,
            "measured_at": self.measured_at.isoformat(),
            "measured_by": self.measured_by,
            "tool": self.tool,
            "hardware": dict(self.hardware),
            "model_sha256": self.model_sha256,
            "dataset_sha256": self.dataset_sha256,
            "with": dict(self.parameters),
            "where": dict(self.where),
            "note": self.note,
            "unidentified": self.declared.get("unidentified"),
        }
        return {key: value for key, value in said.items() if value}
