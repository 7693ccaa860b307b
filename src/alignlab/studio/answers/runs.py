"""Runs: the map of them, the list, and one of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import paging, schema
from ..desk import Visit, reference
from ..heads import Head, as_table, figures_of
from ..inside import text
from ..samples import FLAGS
from ..scan import RECORDED, below, id_of, is_recorded
from ..shelf import Planned, Seen, status_of
from ..watched import Watched

ON_POLICY = ("ppo", "rloo", "grpo", "online-dpo", "rejection")
TOKENS_OF = ("ppo", "rloo", "grpo", "online-dpo")
FIRST_ROWS = 1000  # of samples that must be read before it is said what was kept of a run


def shown_map(visit: Visit, asked: schema.MapAsked) -> schema.Map:
    """Runs of one folder as a graph, with the stages that its pipeline planned."""
    desk = visit.desk
    seen = desk.shelf.look_recorded() if asked.group == RECORDED else desk.shelf.look()
    groups = groups_of(seen)
    name = asked.group if asked.group is not None else next((group.name for group in groups), "")
    heads = [head for head in seen.heads.values() if text(seen.groups[head.path]) == name]
    nodes: list[schema.Node] = []
    edges: dict[tuple[str, str], None] = {}
    for head in sorted(heads, key=lambda head: (head.started or 0.0, head.path)):
        figures = figures_of(head)
        nodes.append(
            schema.Node(
                id=id_of(head.path),
                name=seen.name_of(head.path),
                stage=head.stage,
                status=status_of(seen, head)[0],
                progress=desk.shelf.progress(head),
                figure=figures[0] if figures else None,
                stale=seen.families[head.path].stale,
                generation=desk.watch.generation_of(head.path),
            )
        )
        for parent in seen.families[head.path].parents.values():
            if parent is not None and seen.groups[parent] == seen.groups[head.path]:
                edges[id_of(parent), id_of(head.path)] = None
    for folder, plan in seen.plans.items():
        if text(folder) == name:
            waiting = [stage for stage in plan.values() if below(folder, stage.name) not in seen.heads]
            nodes += [_planned(folder, stage) for stage in waiting]
            for stage in plan.values():
                child = id_of(below(folder, stage.name))
                edges |= {(id_of(below(folder, need)), child): None for need in stage.needs if need in plan}
    return schema.Map(
        group=name,
        groups=groups,
        nodes=nodes,
        edges=[schema.Edge(parent=parent, child=child) for parent, child in edges if parent != child],
    )


def _planned(folder: str, stage: Planned) -> schema.Node:
    """A stage of which there is nothing yet."""
    return schema.Node(
        id=id_of(below(folder, stage.name)),
        name=text(stage.name, 300),
        stage=stage.stage,
        status="failed" if stage.state == "failed" else "waiting",
        progress=None,
        figure=None,
        stale=False,
        generation=0,
    )


def groups_of(seen: Seen) -> list[schema.Group]:
    """Every folder that holds runs or a plan, the one in which a run began last first, and the recorded run
    last.
    """
    found: dict[str, list[Head]] = {folder: [] for folder in seen.plans}
    for head in seen.newest:
        found.setdefault(seen.groups[head.path], []).append(head)
    groups = [
        schema.Group(
            name=text(name),
            runs=len(heads),
            running=sum(head.status == "running" for head in heads),
            started=max((head.started or 0.0 for head in heads), default=None),
            planned=name in seen.plans,
            recorded=is_recorded(name),
        )
        for name, heads in found.items()
    ]
    return sorted(groups, key=lambda group: (group.recorded, -(group.started or 0.0), group.name))


def listed(visit: Visit, asked: schema.RunsAsked) -> schema.Runs:
    """Runs, those that began last first."""
    desk, seen = visit.desk, visit.desk.shelf.look()
    at = paging.read(asked.cursor, 0)
    heads = seen.newest
    if at.count:  # those that began later are none of this list
        heads = [head for head in heads if _began(head) <= at.count]
    else:
        at = paging.Cursor(0, max(map(_began, heads), default=0) + 1, 0)
    matching = [head for head in heads if _matches(seen, head, asked)]
    rows, following = paging.page(matching, asked.limit, at)
    return schema.Runs(
        rows=[desk.row(seen, head) for head in rows],
        next=following,
        total=len(matching),
        of=len(heads),
        ready=True,
    )


def _began(head: Head) -> int:
    """In milliseconds since 1970; 0 where it does not say."""
    return int(1000 * (head.started or 0.0))


def _matches(seen: Seen, head: Head, asked: schema.RunsAsked) -> bool:
    return (
        asked.q.lower() in text(head.path).lower()
        and asked.stage in ("", head.stage)
        and asked.status in ("", status_of(seen, head)[0])
        and asked.group in (None, text(seen.groups[head.path]))
    )


def one(visit: Visit, asked: schema.RunAsked) -> schema.Run:
    """One run."""
    desk, seen = visit.desk, visit.desk.shelf.look_for(asked.id)
    head = seen.find(asked.id)
    watched, family = desk.watch.of(head), seen.families[head.path]
    watched.wait(FIRST_ROWS)
    rows = watched.counts()
    with watched.lock("metrics"):
        keys = [text(key) for key in watched.metrics.columns]
    kept, kept_until = kept_of(watched)
    found = {
        **dict(desk.row(seen, head)),
        "generation": watched.generation,
        "path": text(head.folder),
        "key": head.key,
        "commit": text(head.info.get("commit"), 100),
        "command": text(head.info.get("command"), schema.CUT),
        "config": as_table(head.config),
        "summary": as_table(head.summary),
        "versions": texts(head.info.get("versions")),
        "machine": as_table(head.info.get("machine")),
        "data": texts(head.info.get("data")),
        "health": list(watched.remarks.kept),
        "parents": [_parent(seen, given, path) for given, path in family.parents.items()],
        "children": [reference(seen, path) for path in family.children],
        "keys": keys,
        "rows": rows,
        "kept": kept,
        "kept_until": kept_until,
        "missing": missing(head, rows, keys, kept),
    }
    return schema.Run(**found)


def _parent(seen: Seen, given: str, path: str | None) -> schema.RunRef:
    if path is None:
        return schema.RunRef(id=None, name=text(given.rpartition("/")[2], 300), stage="")
    return reference(seen, path)


def texts(value: object) -> dict[str, str]:
    """The texts of a JSON object."""
    return {key: item for key, item in as_table(value, 300).items() if isinstance(item, str)}


def kept_of(watched: Watched) -> tuple[schema.Kept, int | None]:
    """Which rollouts are in its samples; if not all, the last step of which there are all."""
    with watched.lock("samples"):
        index, count = watched.samples, watched.samples.rows
        steps, scored = index.column("step", count), np.isfinite(index.column("proxy", count))
        rows, shown = index.whole(count), index.whole(count, flags=FLAGS["shown"])
    rollouts = rows[scored[rows] & np.isfinite(steps[rows])]
    others = np.setdiff1d(rollouts, shown)
    if not len(rollouts):
        return "none", None
    if not len(others):
        return "few", None
    last, until = int(steps[rollouts].max()), int(steps[others].max())
    return "all", until if until < last else None


def missing(
    head: Head, rows: schema.RowCounts, keys: Sequence[str], kept: schema.Kept
) -> list[schema.Missing]:
    """Panels of a loop on its own completions without data, each with what would have kept it."""
    if head.stage not in ON_POLICY:
        return []
    found = {}
    if kept != "all":
        found["samples"] = "--keep-samples all"
    if not rows.probes:
        found["probes"] = "--probes 16"
    if not rows.tokens and head.stage in TOKENS_OF:
        found["tokens"] = "--keep-samples all"
    if "objective/gold" not in keys:
        found["gold"] = "--gold town:gold"
    return [schema.Missing(panel=panel, setting=setting) for panel, setting in found.items()]
