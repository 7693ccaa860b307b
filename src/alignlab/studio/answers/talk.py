"""Talking to models, and their view of a stored answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from shlex import join as shell

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from ...defences.middleware import DEFENCES, check
from ...errors import UserError
from ...records import Completion, Message, Prompt, Ranking
from ...votes import blind as votes
from ...votes.tasks import task_of, tasks_of
from .. import lists, models, schema, speakers, talk
from ..asking import Said
from ..blinds import Blind
from ..desk import Desk, Visit
from ..models import Model
from ..problems import Refused

MOST_TALKS = 4  # streams at once


def listed(visit: Visit, asked: schema.Nothing) -> schema.Models:
    """Models to talk to: those of finished runs, and the base models that ship."""
    desk = visit.desk
    seen, rows = desk.look_for_models(), []
    for model in models.listed(desk.inside, seen):
        loaded, memory = desk.speakers.memory_of(model.id)
        row = schema.ModelRow(
            id=model.id,
            name=model.name,
            group=model.group,
            stage=model.stage,
            bytes=model.bytes,
            base=model.base,
            loaded=loaded,
            memory=memory,
        )
        rows.append(row)
    scoring = models.rewards(desk.inside, seen)
    return schema.Models(
        rows=rows,
        rewards=[schema.RewardRow(id=model.id, name=model.name, group=model.group) for model in scoring],
        at_once=speakers.MOST,
        most_tokens=talk.MOST_TOKENS,
        defences=list(DEFENCES),
        tasks=_tasks(desk),
    )


def _tasks(desk: Desk) -> list[schema.TaskToVote]:
    """Open tasks of pairs; none of a blind comparison, which has its own."""
    if not desk.has_store:
        return []
    with desk.store.reading() as connection:
        found = {name: (id, *task_of(connection, id)) for name, id in tasks_of(connection).items()}
        return [
            schema.TaskToVote(id=id, name=name)
            for name, (id, task, state) in found.items()
            if task.mode == "pair" and state == "open" and not votes.plan_of(connection, id)
        ]


async def answer(visit: Visit, asked: schema.TalkAsked) -> Response:
    """A question to one model, or to two side by side; hanging up stops them."""
    _check(asked)
    desk = visit.desk
    if desk.talks >= MOST_TALKS:
        raise Refused(429, f"{MOST_TALKS} questions are being answered", retry_after=2)
    asked_of = await run_in_threadpool(_models, desk, asked.models)
    reward = await run_in_threadpool(_reward, desk, asked.reward)
    scorer = (await run_in_threadpool(desk.scorers.ready, [reward]))[0] if reward else None
    ready = await run_in_threadpool(desk.speakers.ready, asked_of)
    addresses = {model.id: address for model, address in zip(asked_of, ready, strict=True)}
    begin = schema.TalkBegin(names=[model.name for model in asked_of], drawn=None, command="")
    blind = None
    if asked.blind:
        key, blind = desk.blinds.drawn(asked_of, asked.drawn)
        blind.begin(asked.messages)
        asked_of = blind.models
        begin = schema.TalkBegin(names=[], drawn=key, command="")
    elif not asked.defences:
        begin.command = _command(asked_of, asked, reward)
    events = talk.stream([addresses[model.id] for model in asked_of], asked, scorer)
    lines = _lines(desk, begin, events, blind)
    return StreamingResponse(lines, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _check(asked: schema.TalkAsked) -> None:
    """Raises Refused: 422."""
    if len(set(asked.models)) != len(asked.messages):
        raise Refused(422, "each side is another model, and has a conversation", field="messages")
    if asked.blind and len(asked.models) != 2:
        raise Refused(422, "blind are two models side by side", field="blind")
    for messages in asked.messages:
        turns = [message.role for message in messages]
        wanted = ["assistant" if place % 2 else "user" for place in range(len(messages))]
        if turns != wanted or turns[-1] != "user" or not messages[-1].content.strip():
            what = "the user and the model speak in turn, and a question of the user's is last"
            raise Refused(422, what, field="messages")
    try:
        check(asked.defences)
    except UserError as error:
        raise Refused(422, error.what, remedy=error.remedy, field="defences") from None


def _models(desk: Desk, ids: Sequence[str]) -> list[Model]:
    seen = desk.look_for_models()
    return [models.find(desk.inside, seen, id) for id in ids]


def _reward(desk: Desk, id: str | None) -> Model | None:
    return models.find_reward(desk.inside, desk.look_for_models(), id) if id else None


def _command(asked_of: Sequence[Model], asked: schema.TalkAsked, reward: Model | None) -> str:
    """What asks the same models in the same way on a terminal."""
    words = ["alignlab", "chat"]
    for flag, model in zip(("--model", "--beside"), asked_of, strict=False):
        words += [flag, model.named]
    if reward:
        words += ["--reward", reward.named]
    return shell([*words, "--seed", f"{asked.seed}", "--sampling.temperature", f"{asked.temperature:g}"])


async def _lines(
    desk: Desk, begin: schema.TalkBegin, events: AsyncGenerator[schema.Part], blind: Blind | None
) -> AsyncIterator[bytes]:
    desk.talks += 1
    try:
        async with aclosing(events):
            yield _line(begin)
            async for event in events:
                if blind is None or blind.hears(event):
                    yield _line(event)
    finally:
        desk.talks -= 1


def _line(event: schema.Part) -> bytes:
    return f"data: {event.model_dump_json()}\n\n".encode()


def chosen(visit: Visit, asked: schema.TalkChoice) -> schema.TalkChosen:
    """Which side of a blind talk is better, and who stood where; a vote of a task, if one is named."""
    desk = visit.desk
    blind = desk.blinds.find(asked.drawn)
    if len(blind.over) < 2:
        raise Refused(409, "both answers are waited for", remedy="choose when both have ended")
    if asked.task is not None:
        _vote(visit, asked.task, blind, {"left": -1, "tie": 0, "right": 1}[asked.choice])
    desk.blinds.tell(asked.drawn)
    return schema.TalkChosen(
        names=[model.name for model in blind.models],
        models=[model.id for model in blind.models],
        voted=asked.task is not None,
        verdicts=blind.verdicts,
    )


def _vote(visit: Visit, task: str, blind: Blind, strength: int) -> None:
    """Raises Refused: 409 the sides were asked different things."""
    if blind.asked[0] != blind.asked[1]:
        raise Refused(
            409,
            "the two conversations differ, so that the answers are to different questions",
            remedy="a choice after the first answer can be a vote",
        )
    prompt = Prompt(tuple(Message(message.role, message.content) for message in blind.asked[0]))
    sources = [f"{model.group}/{model.name}".lstrip("/") for model in blind.models]
    said = [Completion(prompt, text, source=source) for text, source in zip(blind.said, sources, strict=True)]
    ranking = Ranking(prompt, tuple(said), (1, 1))
    person = visit.person
    visit.desk.store.do(votes.choose, person, task, ranking, strength=strength, order=(0, 1))


async def tokens(visit: Visit, asked: schema.TokensWanted) -> schema.Tokens:
    """A stored answer by token, under the run's final checkpoint, and beside it under another model."""
    desk = visit.desk
    sample, asked_of = await run_in_threadpool(_sample, desk, asked)
    addresses = await run_in_threadpool(desk.speakers.ready, asked_of)
    try:
        columns = [await talk.tokens_of(address, sample.prompt, sample.completion) for address in addresses]
    except Said as said:
        raise Refused(503 if said.status == 0 else 422, said.message, code="model_failed") from None
    pieces = [piece for piece, _ in columns[0]]
    if any([piece for piece, _ in column] != pieces for column in columns):
        raise Refused(422, "the two models cut the answer into other tokens", field="against")
    return schema.Tokens(
        step=int(sample.step or 0),
        place=sample.place or 0,
        pieces=pieces,
        logprob=[logprob for _, logprob in columns[0]],
        ref=[logprob for column in columns[1:] for _, logprob in column],
        advantage=[],
        value=[],
    )


def _sample(desk: Desk, asked: schema.TokensWanted) -> tuple[schema.Sample, list[Model]]:
    """The answer, and the models that read it. Raises Refused: 404, 422."""
    seen = desk.look_for_models()
    head = seen.find(asked.id)
    sample = lists.sample(desk.watch.of(head), asked.row)
    if not sample.completion or not sample.prompt:
        raise Refused(422, "there is no answer to a question in this sample", field="row")
    found = [models.behind(desk.inside, seen, head)]
    if asked.against is not None:
        found.append(models.find(desk.inside, seen, asked.against))
        if found[0].id == found[1].id:
            raise Refused(422, "the model is not set against itself", field="against")
    return sample, found
