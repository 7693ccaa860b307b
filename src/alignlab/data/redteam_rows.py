"""Rows of red-team sets, each told by its columns -> prompts whose meta says what is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..records import Message, Prompt
from .formats.values import shown
from .harms import harms

Row = Mapping[str, Any]


def prompt_of(
    text: Any, where: str, *, context: str = "", earlier: tuple[Message, ...] = (), **meta: Any
) -> Prompt:
    if not isinstance(text, str) or not text.strip():
        raise DataError(
            f"the row has no prompt ({shown(text)})", where=where, remedy="take the row out, or fill it in"
        )
    if context:
        text = f"{context}\n\n---\n\n{text}"
    noted = {key: value for key, value in meta.items() if value is not None}
    return Prompt((*earlier, Message("user", text)), noted)


def harm_of(taxonomy: str, category: Any) -> str | None:
    if not isinstance(category, str):
        return None
    harm = harms().of_category(taxonomy, category)
    return harm.id if harm else None


def harmbench(row: Row, where: str) -> Prompt:
    category = row.get("SemanticCategory")
    return prompt_of(
        row["Behavior"],
        where,
        context=row.get("ContextString") or "",
        set="harmbench",
        id=row["BehaviorID"],
        harmful=True,
        category=category,
        harm=harm_of("harmbench", category),
        goal=row["Behavior"],
        functional=row.get("FunctionalCategory"),
        tags=row.get("Tags") or None,
    )


def jailbreakbench(row: Row, where: str) -> Prompt:
    category = row.get("Category")
    benign = "benign" in Path(where).name.lower()  # harmful and benign behaviors have the same columns
    return prompt_of(
        row["Goal"],
        where,
        set="jailbreakbench",
        id=str(row.get("Index", row.get("Behavior"))),
        harmful=not benign,
        category=category,
        harm=None if benign else harm_of("jailbreakbench", category),
        goal=row["Goal"],
        behavior=row.get("Behavior"),
        target=row.get("Target") or None,
    )


def advbench(row: Row, where: str) -> Prompt:
    return prompt_of(
        row["goal"],
        where,
        set="advbench",
        id=where.rpartition(":")[2],
        harmful=True,
        goal=row["goal"],
        target=row["target"],
    )


def strongreject(row: Row, where: str) -> Prompt:
    return prompt_of(
        row["forbidden_prompt"],
        where,
        set="strongreject",
        id=where.rpartition(":")[2],
        harmful=True,
        category=row["category"],
        harm=harm_of("strongreject", row["category"]),
        goal=row["forbidden_prompt"],
        source=row.get("source"),
    )


def xstest(row: Row, where: str) -> Prompt:
    unsafe = str(row["type"]).startswith("contrast")
    if row.get("label"):
        unsafe = row["label"] == "unsafe"
    return prompt_of(
        row["prompt"],
        where,
        set="xstest",
        id=row.get("id") or where.rpartition(":")[2],
        harmful=unsafe,
        category=row["type"],
        goal=row["prompt"],
        focus=row.get("focus") or None,
    )


def ailuminate(row: Row, where: str) -> Prompt:
    return prompt_of(
        row["prompt_text"],
        where,
        set="ailuminate",
        id=row["release_prompt_id"],
        harmful=True,
        category=row["hazard"],
        harm=harm_of("ailuminate", row["hazard"]),
        goal=row["prompt_text"],
        persona=row.get("persona"),
        locale=row.get("locale"),
    )


def artifact(row: Row, where: str) -> Prompt | None:
    if row.get("prompt") is None:  # the attack found none
        return None
    return prompt_of(
        row["prompt"],
        where,
        set="jbb-artifact",
        id=str(row.get("index")),
        harmful=True,
        category=row.get("category"),
        harm=harm_of("jailbreakbench", row.get("category")),
        goal=row["goal"],
        behavior=row.get("behavior"),
        jailbroken=row.get("jailbroken"),
    )


def test_case(row: Row, where: str) -> Prompt | None:
    if row["prompt"] is None:
        return None
    return prompt_of(
        row["prompt"], where, set="test-cases", id=row["case"], harmful=True, behavior=row["behavior"]
    )


ANSWERS = (
    "response",
    "output",
    "outputs",
    "notes",
    "reverse_translation_outputs",
    "triggers",
    "targets",
    "generator",
    "probe_params",
    "intent",
)
"""Columns of these sets that hold what a model answered, or what belongs to the attack's own tool: nobody
needs to be told of them."""
