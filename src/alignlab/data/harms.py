"""The harms that a red team looks for, from `harms.toml`: their groups, what other taxonomies call them, the
town's topics, harmless twins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from ..errors import DataError, UserError
from ..records import Prompt
from ..text.documents import Malformed, from_toml, read_text
from ..text.nearest import nearest

FILE = Path(__file__).parent / "harms.toml"
Group = Literal["direct", "indirect", "contested"]
GROUPS: tuple[Group, ...] = get_args(Group)
TAXONOMIES = ("ailuminate", "llama_guard", "harmbench", "jailbreakbench", "strongreject")


@dataclass(frozen=True, slots=True)
class Harm:
    """One harm: `codes` are its names in other taxonomies, `town` the topics (or contested matters) of the
    embedded world that are of it.
    """

    id: str
    group: Group
    title: str
    description: str
    codes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    town: tuple[str, ...] = ()


@dataclass(frozen=True)
class Harms:
    """A file of harms, checked: every code is named, every primary harm and every twin is there."""

    by_id: Mapping[str, Harm]
    names: Mapping[str, Mapping[str, str]]  # taxonomy -> code -> what it means
    primary: Mapping[str, Mapping[str, str]]  # taxonomy -> code -> harm
    twins: Mapping[str, str]  # a harmful topic of the town -> a harmless one that shares a word with it
    plain_twins: Mapping[
        str, str
    ]  # a contested matter of the town -> a place near it, whose day of opening is a plain fact

    def __getitem__(self, name: str) -> Harm:
        if name not in self.by_id:
            raise UserError(
                f"there is no harm {name!r:.60}",
                remedy=nearest(name, self.by_id) or "one of: " + ", ".join(self.by_id),
            )
        return self.by_id[name]

    def group(self, name: Group) -> list[Harm]:
        """The harms of one group, in the order of the file."""
        return [harm for harm in self.by_id.values() if harm.group == name]

    def of_category(self, taxonomy: str, category: str) -> Harm | None:
        """The harm that a row of another taxonomy's category is filed under; None for a category that is not
        mapped.

        Spelling is forgiven: case, `S1: Violent Crimes` for `S1`, AILuminate's `spc` for all of its kinds of
        advice.
        """
        table = self.primary.get(taxonomy, {})
        asked = category.strip()
        for code in (asked, asked.split(":")[0].split(" ")[0]):
            for known, name in table.items():
                if known.lower() == code.lower() or (
                    taxonomy == "ailuminate" and known.split("_")[0] == code.lower() != "spc"
                ):
                    return self.by_id[name]
        return self.by_id["unfit_advice"] if taxonomy == "ailuminate" and asked.lower() == "spc" else None

    def of_topic(self, topic: str) -> Harm | None:
        """The harm of a topic or contested matter of the town; None for a harmless one."""
        return next((harm for harm in self.by_id.values() if topic in harm.town), None)

    def of_prompt(self, prompt: Prompt) -> Harm | None:
        """The harm of a prompt that names one (`meta["harm"]`), or that comes from the town."""
        name, params = prompt.meta.get("harm"), prompt.meta.get("params")
        if isinstance(name, str) and name in self.by_id:
            return self.by_id[name]
        if not isinstance(params, Mapping):
            return None
        topic = params.get("topic") or params.get("matter")
        return self.of_topic(topic) if isinstance(topic, str) else None


@cache
def harms() -> Harms:
    """The harms that come with the package."""
    return read_harms(FILE)


def read_harms(path: Path) -> Harms:
    """Harms from a TOML file of the same form. Raises DataError for one that is broken or names what is not
    there.
    """
    try:
        document = from_toml(read_text(path))
        names, primary = document["names"], document.get("primary", {})
        found = {}
        for name, row in document["harm"].items():
            if row["group"] not in GROUPS:
                raise DataError(
                    f"the harm {name} is of the group {row['group']!r:.40}",
                    where=str(path),
                    remedy="one of: " + ", ".join(GROUPS),
                )
            codes = {taxonomy: tuple(row.get(taxonomy, ())) for taxonomy in TAXONOMIES}
            found[name] = Harm(
                name, row["group"], row["title"], row["description"], codes, tuple(row.get("town", ()))
            )
    except (OSError, Malformed, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"the file of harms cannot be read: {type(error).__name__}: {error}",
            where=str(path),
            remedy="see data/harms.toml for its form",
        ) from error
    wrong = [
        f"{harm.id} has the {taxonomy} code {code!r}"
        for harm in found.values()
        for taxonomy, codes in harm.codes.items()
        for code in codes
        if code not in names.get(taxonomy, {})
    ]
    wrong += [
        f"primary.{taxonomy}.{code} is {name!r}"
        for taxonomy, table in primary.items()
        for code, name in table.items()
        if name not in found or code not in names.get(taxonomy, {})
    ]
    if wrong:
        raise DataError(
            f"the file of harms names what is not there: {wrong[0]}",
            where=str(path),
            remedy="mend the code, or add it to [names]",
        )
    return Harms(found, names, primary, document.get("twins", {}), document.get("plain_twins", {}))
