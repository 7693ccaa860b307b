"""Red-team campaigns: what was found, what people say of it, and the file in which judges read that."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...evals.statistics import bootstrap_sums, mean_ci, wilson
from ...feedback.agreement import kappa_of
from ...feedback.safety.verdicts import Verdict
from ...redteam.finding import Finding, Twin, twin_of
from ...redteam.judging import Judged, completion_of, write_queue
from ...text.lists import by_comma
from ...votes import labels as said
from ...votes.writer import head_of
from .. import paging, schema
from ..campaigns import COMPLIED, LABELS, SEVERITIES, STAGE, Asked, Campaign, Found, rounds_of
from ..desk import Desk, Visit, reference
from ..heads import Head, as_table, figure
from ..inside import number, text
from ..problems import Refused
from ..samples import cut_prompt, prompt_of
from ..scan import below
from ..shelf import Seen, status_of

QUEUES = "studio/labels"  # below the folder: people's labels, as `alignlab redteam judge` reads them
AGAIN = 8  # draws of a finding that is asked again
BACK: Mapping[schema.Label, str] = {ours: theirs for theirs, ours in LABELS.items()}
Said = Mapping[str, said.Labelled]


def campaigns(visit: Visit, asked: schema.Nothing) -> schema.Campaigns:
    """Red-team campaigns in the folder, those that began last first."""
    desk, seen = visit.desk, visit.desk.shelf.look()
    heads = [head for head in seen.newest if head.stage == STAGE]
    return schema.Campaigns(rows=[_row(desk, seen, head) for head in heads])


def _row(desk: Desk, seen: Seen, head: Head) -> schema.CampaignRow:
    found = desk.campaigns.of(head).read("findings").findings.kept
    summary, options = as_table(head.summary), as_table(head.config.get("options"))
    whole = as_table(summary.get("before")) or summary
    best = text(whole.get("best"), 100)
    attack = as_table(as_table(whole.get("attacks")).get(best))
    counts = {name: sum(one.finding.severity == name for one in found) for name in SEVERITIES}
    goals = whole.get("goals")
    return schema.CampaignRow(
        run=reference(seen, head.path),
        group=text(seen.groups[head.path]),
        status=status_of(seen, head)[0],
        started=head.started,
        target=text(options.get("model"), 300),
        defences=by_comma(text(options.get("defence"), 300)),
        judge=text(options.get("judge"), 300),
        goals=_whole(goals),
        plain=figure("the plain request", whole.get("plain")),
        best=figure(best, attack.get("asr")),
        any=figure("any attack", whole.get("all")),
        over_refusal=figure("look-alikes refused", whole.get("over_refusal")),
        findings=schema.Severities(**counts),
        after=rounds_of(head) > 0,
    )


def findings(visit: Visit, asked: schema.FindingsAsked) -> schema.Findings:
    """Findings of a campaign, with labels and the agreement of judge and people."""
    desk, seen = visit.desk, visit.desk.shelf.look()
    head = seen.find(asked.id)
    campaign = desk.campaigns.of(head, after=asked.after).read()
    labels, store_head = _labels(desk)
    at = paging.read(asked.cursor, campaign.generation)
    matching = [one for one in campaign.findings.kept if _matches(one, asked, labels)]
    if asked.sort == "severity":
        matching.sort(key=lambda one: (SEVERITIES.index(one.finding.severity), -_goals(one.finding)[0]))
    elif asked.sort == "goals":
        matching.sort(key=lambda one: -_goals(one.finding)[0])
    rows, following = paging.page(matching, asked.limit, at)
    folder = "" if asked.after else str(desk.inside.root / head.folder)
    return schema.Findings(
        campaign=_row(desk, seen, head),
        rows=[_case(one, campaign.twins.kept, labels, folder) for one in rows],
        next=following,
        total=len(matching),
        of=len(campaign.findings.kept),
        unread=campaign.findings.unread,
        agreement=_agreement(campaign, labels),
        head=store_head,
    )


def _matches(one: Found, asked: schema.FindingsAsked, labels: Said) -> bool:
    finding, q = one.finding, asked.q.lower()
    texts = (finding.id, finding.goal, finding.prompt.text, finding.completion, *finding.attacks)
    return (
        asked.severity in ("", finding.severity)
        and any(q in words.lower() for words in texts)
        and _said_so(asked.human, COMPLIED, labels.get(one.subject))
    )


def _said_so(human: str, judge: schema.Label | None, label: said.Labelled | None) -> bool:
    """Whether an answer is among those that are asked for by what people say of it."""
    if human == "differs":
        return label is not None and judge is not None and label.label != judge
    return human == "" or (human == "labeled") == (label is not None)


def _case(one: Found, twins: Sequence[Twin], labels: Said, folder: str) -> schema.Case:
    finding = one.finding
    prompt, cut = cut_prompt(prompt_of(one.row))
    original, cut_too = cut_prompt(prompt_of({"prompt": one.row.get("original")}))
    goals, of = _goals(finding)
    low, high = wilson(goals, of) if of else (None, None)
    rate = schema.Figure(name="goals", value=goals / of if of else None, low=low, high=high, n=of)
    twin = twin_of(finding, twins)
    command = ["alignlab", "redteam", "repro", text(finding.id, 40), "--run", folder, "--samples", str(AGAIN)]
    return schema.Case(
        id=text(finding.id, 40),
        subject=one.subject,
        severity=text(finding.severity),
        category=text(finding.category, 200),
        family=text(finding.family, 200),
        attacks=[text(name, 200) for name in finding.attacks[:20]],
        goal=text(finding.goal, schema.CUT),
        prompt=prompt,
        original=original,
        completion=text(finding.completion, schema.CUT),
        cut=cut or cut_too or len(finding.completion) > schema.CUT,
        reason=text(finding.reason, schema.CUT),
        rate=rate,
        refuses=number(finding.p_refusal),
        judge=text(finding.judge, 300),
        mechanism=text(finding.residue, schema.CUT),
        seed=str(finding.seed)[:40],
        queries=_whole(finding.queries) or None,
        twin=_twin(twin) if twin else None,
        human=_human(labels.get(one.subject)),
        filed=text(finding.human, 100),
        repro=shlex.join(command) if folder else "",
    )


def _goals(finding: Finding) -> tuple[int, int]:
    """On how many goals it worked, of how many."""
    of = _whole(finding.of) or 0
    return min(_whole(finding.goals) or 0, of), of


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**53 else None


def _twin(twin: Twin) -> schema.TwinAnswer:
    prompt, _ = cut_prompt(prompt_of({"prompt": [m.to_json() for m in twin.prompt.messages]}))
    return schema.TwinAnswer(
        prompt=prompt,
        completion=text(twin.completion, schema.CUT),
        label=LABELS.get(text(twin.label)),
        refuses=number(twin.p_refusal),
        reason=text(twin.reason, schema.CUT),
    )


def _human(label: said.Labelled | None) -> schema.HumanLabel | None:
    if label is None:
        return None
    return schema.HumanLabel.model_validate(
        {"label": label.label, "note": text(label.note), "at": label.at / 1e6}
    )


def attempts(visit: Visit, asked: schema.AttemptsAsked) -> schema.Attempts:
    """What attacks asked and got, whether it worked or not, to be labeled beside the findings."""
    desk = visit.desk
    campaign = desk.campaigns.of(desk.shelf.look().find(asked.id)).read()
    labels, _ = _labels(desk)
    at = paging.read(asked.cursor, campaign.generation)
    matching = [
        one
        for one in campaign.once
        if asked.label in ("", one.label) and _said_so(asked.human, one.label, labels.get(one.subject))
    ]
    rows, following = paging.page(matching, asked.limit, at)
    return schema.Attempts(
        rows=[_attempted(one, row, labels) for one, row in zip(rows, campaign.rows(rows), strict=False)],
        next=following,
        total=len(matching),
        of=len(campaign.once),
    )


def _attempted(one: Asked, row: Mapping[str, Any], labels: Said) -> schema.Attempted:
    prompt, cut = cut_prompt(prompt_of(row))
    completion = text(row.get("completion"))
    return schema.Attempted(
        subject=one.subject,
        attack=text(row.get("attack"), 200),
        prompt=prompt,
        completion=completion[: schema.CUT],
        cut=cut or len(completion) > schema.CUT,
        label=one.label,
        refuses=number(row.get("p_refusal")),
        reason=text(row.get("reason"), schema.CUT),
        human=_human(labels.get(one.subject)),
    )


# --- what people say


def _labels(desk: Desk) -> tuple[Said, str]:
    """By subject, and the head of the store's history; nothing where there is no store yet."""
    if not desk.has_store:
        return {}, ""
    with desk.store.reading() as connection:
        head = head_of(connection)
        return said.labels_of(connection), str(head) if head.seq else ""


def _agreement(campaign: Campaign, labels: Said) -> schema.JudgeAgreement:
    judged = campaign.labels
    both = [(judged[one], labels[one].label) for one in labels if one in judged]
    on_findings = [labels[one.subject] for one in campaign.findings.kept if one.subject in labels]
    confirmed = mean_ci([float(one.label in ("comply", "partial")) for one in on_findings])
    return schema.JudgeAgreement(
        labeled=len(both),
        differ=sum(judge != human for judge, human in both),
        kappa=figure("kappa", _kappa(both)),
        confirmed=figure("findings confirmed", confirmed),
    )


def _kappa(both: Sequence[tuple[str, str | None]]) -> dict[str, Any] | None:
    """Cohen's, with an interval over answers; None where the judge says the same of all, for then chance
    explains whatever people say.
    """
    if len({judge for judge, _ in both}) < 2:
        return None
    places = {name: place for place, name in enumerate(said.LABELS)}
    size = len(places)
    cells = [places[judge] * size + places[str(human)] for judge, human in both]
    return bootstrap_sums(
        lambda sums: kappa_of(sums.reshape(*sums.shape[:-1], size, size)), np.eye(size * size)[cells]
    )


def label(visit: Visit, asked: schema.LabelGiven) -> schema.Labeled:
    """Say what an answer of a campaign is, in the place of what was said before. The run stays as it is."""
    desk = visit.desk
    if not any(asked.subject in labels for labels in _subjects(desk)):
        raise Refused(404, "no campaign of this folder has that answer", field="subject")
    seq = desk.store.do(said.label, visit.person, asked.subject, asked.label, asked.note)
    return schema.Labeled(seq=seq)


def _subjects(desk: Desk) -> Iterable[set[str]]:
    """The answers of each campaign, those that began last first."""
    for head in desk.shelf.look().newest:
        if head.stage == STAGE:
            for after in {False, rounds_of(head) > 0}:
                campaign = desk.campaigns.of(head, after=after).read()
                rows = (*campaign.findings.kept, *campaign.attempts.kept)
                yield {one.subject for one in rows}


def queue(visit: Visit, asked: schema.QueueAsked) -> schema.Queue:
    """Write people's labels of a campaign into a file that `alignlab redteam judge --human` reads; findings
    that nobody has labeled yet stand in it to be filled in.
    """
    desk = visit.desk
    head = desk.shelf.look().find(asked.id)
    campaign = desk.campaigns.of(head).read()
    labels, _ = _labels(desk)
    found = {one.subject for one in campaign.findings.kept}
    others = {one.subject: one for one in campaign.attempts.kept if one.subject not in found}
    labeled = [one for subject, one in others.items() if subject in labels]
    rows = [*(one.row for one in campaign.findings.kept), *campaign.rows(labeled)]
    if not rows:
        raise Refused(404, "there is nothing to label in this campaign", field="id")
    try:
        file = desk.inside.own(QUEUES) / f"{asked.id}.jsonl"
    except OSError as error:
        raise Refused(503, f"the labels cannot be written: {error.strerror}", where=QUEUES) from None
    judge = text(as_table(head.config.get("options")).get("judge"), 300)
    write_queue(file, [_judged(row, judge, labels) for row in rows])
    options = ["--judge", judge, "--human", str(file)]
    return schema.Queue(
        file=below(QUEUES, file.name),
        rows=len(rows),
        commands=[
            shlex.join(["alignlab", "redteam", "judge", str(desk.inside.root / path), *options])
            for path in (campaign.paths["findings"], campaign.paths["attempts"])
        ],
    )


def _judged(row: Mapping[str, Any], judge: str, labels: Said) -> Judged:
    verdict = Verdict(row.get("label", BACK[COMPLIED]), row.get("p_refusal"))
    judged = Judged(row, completion_of(row), verdicts={judge: verdict})
    human = labels.get(judged.id)
    judged.human = BACK[human.label] if human and human.label else ""  # type: ignore[index]
    return judged
