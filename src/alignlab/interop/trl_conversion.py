"""A TRL config on its way to ours: its values, and the rows and settings that have come of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..settings.resolve import Setting, dotted
from .trl_table import KINDS


@dataclass(frozen=True)
class Row:
    """One key of TRL's: its value, whether it was `given`, what becomes of it, and the setting or option it
    becomes.

    `fate` is "set" (a setting or option here), "same" (ours does it too), "differs" (TRL's default, which
    ours does not follow and no setting changes), "not needed" (of no weight for what is learned) or
    "unsupported" (a value that nothing here does).
    """

    key: str
    value: Any
    given: bool
    fate: str
    here: str = ""
    says: str = ""


@dataclass
class Conversion:
    """One conversion.

    Attributes:
        method: ours.
        trl: every key of the trainer's config with its value, given or TRL's default.
        known: the same keys with TRL's defaults.
        given: what was given, by today's names.
        rows: what has become of each key, so far.
        values: settings of ours by dotted name; options: those of the command.
    """

    method: str
    trl: Mapping[str, Any]
    known: Mapping[str, Any]
    given: Mapping[str, Any]
    rows: dict[str, Row] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    ours: dict[str, Setting] = field(init=False)

    def __post_init__(self) -> None:
        self.ours = dotted(KINDS[self.method])

    def row(self, key: str, fate: str, here: str = "", says: str = "") -> None:
        """A key's row, with the value that it has."""
        self.rows[key] = Row(key, self.trl.get(key), key in self.given, fate, here, says)

    def put(self, key: str, name: str, value: Any, says: str = "") -> None:
        """The key is this setting of ours, with this value; None = it is not set in either."""
        if value is None:
            self.row(key, "same", name, says or "not set there either")
            return
        same = value == self.ours[name].default
        self.values[name] = value  # also where it is the same: defaults here follow the model
        self.row(key, "same" if same else "set", f"{name} = {json.dumps(value)}", says)

    def refuse(self, key: str, says: str, *, mend: bool = False) -> None:
        """Nothing here does this. `mend`: whoever runs it has to set something, whether the value was given
        or is TRL's default.
        """
        usual = self.trl.get(key) == self.known.get(key)
        self.row(key, "differs" if usual and not mend else "unsupported", "", says)
