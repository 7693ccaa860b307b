"""What is asked of the studio and what it answers: the one source of checks, of `web/openapi.json` and, from
there, of the types of the pages.

Ids are opaque. Numbers that are not finite are null. Texts of models and files are cut where it says so, and
are never markup.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_ROWS = 200  # of one page of a list
MOST_POINTS = 5000  # of one curve
MOST_COMPARED = 6  # runs side by side
CUT = 4000  # characters of a text in a list

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$", description="opaque; from a list")]
Cursor = Annotated[
    str, Field(max_length=200, description="`next` of the page before; empty = the first page")
]
Limit = Annotated[int, Field(ge=1, le=MOST_ROWS)]
Status = Literal["waiting", "running", "stopped", "done", "failed", "broken"]
"""waiting: planned, nothing there; running: a process is at it; stopped: unfinished, the same command goes
on; failed: its pipeline says so; broken: its folder cannot be read."""


class Part(BaseModel):
    """Part of an answer, or of what is asked: no other fields than these."""

    model_config = ConfigDict(extra="forbid")


# --- who asks


class Nothing(Part):
    """Nothing is asked, or nothing is left to say."""


class SignIn(Part):
    """The token of a link, good for one exchange."""

    token: str = Field(max_length=200)


class LinkKey(Part):
    """The key that stands in the folder's key file."""

    key: str = Field(max_length=200)


class Link(Part):
    url: str


class Me(Part):
    """Whoever holds the cookie.

    `boot` is another after each start of the studio: ids of events, cursors and generations of another boot
    mean nothing.
    """

    role: Literal["instructor", "annotator"]
    folder: str
    version: str
    boot: str


# --- runs


class Progress(Part):
    done: int
    total: int
    seconds_left: float | None


class Figure(Part):
    """A figure of a summary: its mean, its interval where it has one, and how many values are behind it."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None


class RowCounts(Part):
    """Whole lines of each file that grows; one that is not there has 0."""

    metrics: int = 0
    samples: int = 0
    health: int = 0
    tokens: int = 0
    probes: int = 0


class RunRow(Part):
    """A run in a list.

    `stale`: a parent was made anew since. `generation` grows whenever a file of the run became shorter or
    another: what was read before it may be gone.
    """

    id: Id
    name: str
    group: str
    stage: str
    status: Status
    seed: int | None
    started: float | None
    seconds: float | None
    progress: Progress | None
    figures: list[Figure]
    stale: bool
    generation: int
    problem: str = Field(description="why it is failed or broken; else empty")


class Runs(Part):
    """`total` match, `of` are there. Runs that begin later never shift a page."""

    rows: list[RunRow]
    next: str | None
    total: int
    of: int
    ready: bool


class RunsAsked(Part):
    q: str = Field("", max_length=200, description="in the name, whatever its case")
    stage: str = Field("", max_length=100)
    status: Status | Literal[""] = ""
    group: str | None = Field(None, max_length=1000)
    cursor: Cursor = ""
    limit: Limit = 50


class RunRef(Part):
    """Another run that this one was made from, or that was made from it; no id where it is not in the
    folder."""

    id: Id | None
    name: str
    stage: str


class Remark(Part):
    """What a rule of `alignlab.health` says of the metrics, from the first of these steps to the second."""

    name: str
    verdict: Literal["normal", "broken"]
    evidence: str
    steps: tuple[int, int]
    why: str
    cause: str
    turn: str


class Missing(Part):
    """A panel without data, and the setting that would have kept it."""

    panel: Literal["metrics", "samples", "tokens", "probes", "gold"]
    setting: str


class Run(RunRow):
    """One run, whole.

    `kept`: which rollouts are in its samples: all, all up to a step (`kept_until`), a few a step, or none.
    `missing`: panels without data, each with the setting that would have kept it.
    """

    path: str
    key: str
    commit: str
    command: str = Field(description="to copy; empty where it is not known")
    config: dict[str, Any]
    summary: dict[str, Any]
    versions: dict[str, str]
    machine: dict[str, Any]
    data: dict[str, str]
    health: list[Remark]
    parents: list[RunRef]
    children: list[RunRef]
    keys: list[str] = Field(description="metrics that it has, in order")
    rows: RowCounts
    kept: Literal["all", "few", "none"]
    kept_until: int | None
    missing: list[Missing]


class RunAsked(Part):
    id: Id


# --- the map


class Node(Part):
    id: Id
    name: str
    stage: str
    status: Status
    progress: Progress | None
    figure: Figure | None
    stale: bool
    generation: int


class Edge(Part):
    parent: Id
    child: Id


class Group(Part):
    """Runs of one folder, as a pipeline makes them; `name` is its path below the studio's folder."""

    name: str
    runs: int
    running: int
    started: float | None
    planned: bool = Field(description="its pipeline wrote which stages are to come")


class Map(Part):
    """The runs of one group with what they are made from; `groups` are all there are, newest first."""

    group: str
    groups: list[Group]
    nodes: list[Node]
    edges: list[Edge]


class MapAsked(Part):
    group: str | None = Field(None, max_length=1000, description="none = the newest")


# --- metrics


class NotFinite(Part):
    """A value that is null above: what it was."""

    key: str
    row: int
    step: float | None
    value: Literal["nan", "inf", "-inf"]


class Columns(Part):
    """Metrics, a bucket of `stride` rows each: bucket k holds rows k * stride to (k + 1) * stride - 1, so
    that a curve that grows keeps its buckets.

    `first` is the row of the first bucket, `rows` how many rows there are, `step` the first of each bucket.
    `values` are means of what is finite, `low` and `high` the ends; with a stride of 1 these two are empty.
    """

    generation: int
    rows: int
    first: int
    stride: int
    step: list[float | None]
    values: dict[str, list[float | None]]
    low: dict[str, list[float | None]]
    high: dict[str, list[float | None]]
    broken: list[NotFinite]


class MetricsAsked(RunAsked):
    keys: str = Field("", max_length=4000, description="comma separated; empty = all")
    after: int = Field(0, ge=0, description="the first row wanted")
    start: float | None = Field(None, description="the first step wanted")
    end: float | None = Field(None, description="the last step wanted")
    most: int = Field(1000, ge=2, le=MOST_POINTS, description="buckets at most")


# --- samples


class Said(Part):
    role: str
    content: str


class Sample(Part):
    """One row of samples: a rollout, an evaluated answer, or whatever else a stage looks at (`others`).

    `row` names it within its generation, `place` is its place in its step's batch, `shown` whether a report
    shows it. `length` is in tokens where that is known, else in characters of the answer (`tokens` says).
    """

    row: int
    step: float | None
    place: int | None
    prompt: list[Said]
    completion: str
    cut: bool = Field(description="some text is cut; the sample itself has the whole")
    finished: bool
    proxy: float | None
    gold: float | None
    kl: float | None
    length: int
    tokens: bool
    reason: str
    misleading: bool
    shown: bool
    kind: str
    others: dict[str, Any]


class Samples(Part):
    """`total` match, `of` are there. While `ready` is false the index is still being made, and both may
    grow. Rows that are written later never shift a page: `next` goes on in what there was at the first."""

    generation: int
    rows: list[Sample]
    next: str | None
    total: int
    of: int
    ready: bool


SORTS = Literal[
    "row", "-row", "proxy", "-proxy", "gold", "-gold", "kl", "-kl", "length", "-length", "gap", "-gap"
]


class SamplesAsked(RunAsked):
    steps: str = Field("", max_length=400, description="14, or 0,14,23, or 10-20; empty = all")
    sort: SORTS = Field("row", description="- = largest first; gap = proxy less gold; ties by row")
    where: str = Field("", max_length=100, description="misleading, unfinished, shown; comma = and")
    q: str = Field("", max_length=200, description="in the last message or the answer, whatever its case")
    cursor: Cursor = ""
    limit: Limit = 50


class SampleAsked(RunAsked):
    row: int = Field(ge=0)


class Bins(Part):
    """Of each step how many samples are in each bin: counts[step][bin], between edges[bin] and the next."""

    generation: int
    key: str
    edges: list[float]
    steps: list[float]
    counts: list[list[int]]
    ready: bool


class BinsAsked(RunAsked):
    key: Literal["proxy", "gold", "kl", "length"] = "proxy"
    bins: int = Field(30, ge=2, le=100)


class ProbePrompt(Part):
    id: str
    prompt: list[Said]


class ProbeCell(Part):
    completion: str
    cut: bool
    finished: bool
    gold: float | None
    reason: str


class Probes(Part):
    """Greedy answers to the same prompts as training went on: cells[prompt][step], null where none was
    asked."""

    generation: int
    prompts: list[ProbePrompt]
    steps: list[float]
    cells: list[list[ProbeCell | None]]


class TokensAsked(RunAsked):
    step: int = Field(ge=0)
    place: int = Field(ge=0)


class Tokens(Part):
    """The sampled tokens of a rollout, an entry each; `ref`, `advantage` and `value` are empty where the
    method has none."""

    step: int
    place: int
    pieces: list[str]
    logprob: list[float | None]
    ref: list[float | None]
    advantage: list[float | None]
    value: list[float | None]


# --- beside each other


class Difference(Part):
    """A setting that is not the same in all; null where a run has none."""

    key: str
    values: list[Any]


class FigureBeside(Part):
    name: str
    figures: list[Figure | None]


class Paired(Part):
    """How much more a run has than the first, over what both measured."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    p: float | None


class PairedRow(Part):
    figure: str
    differences: list[Paired | None] = Field(description="one a column; of the first, null")


class Compared(Part):
    """A column: a run, the evaluation that its answers are from (or itself), and the step of a probe."""

    run: RunRow
    measured: RunRef | None
    step: float | None


class AnswerBeside(Part):
    completion: str
    cut: bool
    finished: bool
    gold: float | None
    reason: str


class AnswersRow(Part):
    """One prompt and what each column answers; `change` is gold of the last less gold of the first."""

    row: int
    prompt: list[Said]
    kind: str
    answers: list[AnswerBeside | None]
    change: float | None


class Answers(Part):
    rows: list[AnswersRow]
    next: str | None
    total: int
    of: int
    ready: bool


class Compare(Part):
    """`warnings` are sentences of what keeps the columns from being compared as if paired."""

    columns: list[Compared]
    settings: list[Difference]
    same: int = Field(description="settings that all have alike")
    figures: list[FigureBeside]
    paired: list[PairedRow]
    warnings: list[str]
    answers: Answers


class CompareAsked(Part):
    runs: str = Field(max_length=100, description="one to six ids, comma separated")
    steps: str = Field("", max_length=100, description="of one run: its probes at these steps")
    sort: Literal["row", "change", "-change"] = "row"
    cursor: Cursor = ""
    limit: Limit = 20


# --- pages, and the studio itself


class PageRow(Part):
    """A page that a command wrote into the folder."""

    id: Id
    title: str
    path: str
    run: RunRef | None
    bytes: int
    changed: float


class PageAsked(Part):
    id: Id


class Pages(Part):
    rows: list[PageRow]


class Health(Part):
    """`writable` is null while there is nothing to write."""

    version: str
    boot: str
    seconds: float
    folder: str
    there: bool = Field(description="the folder is there and can be read")
    runs: int
    running: int
    watched: int = Field(description="runs with an index or a stream")
    disk_free: int | None


# --- events


class MapEvent(Part):
    """A run began, ended, or is another now: ask for the map and the list again."""

    event: Literal["map"] = "map"
    runs: int


class RunEvent(Part):
    """How far a run's files have grown. With another generation, ask for all of it again."""

    event: Literal["run"] = "run"
    id: Id
    generation: int
    status: Status
    rows: RowCounts
    progress: Progress | None


class Reset(Part):
    """Events were missed: ask for everything again."""

    event: Literal["reset"] = "reset"


class Event(Part):
    """One line of `data:`; the stream's `event:` is its own `event`, its `id:` BOOT.NUMBER."""

    data: MapEvent | RunEvent | Reset = Field(discriminator="event")


class EventsAsked(Part):
    topics: str = Field("map", max_length=400, description="map, run:ID; comma separated, 20 at most")


# --- errors


class ErrorBody(Part):
    """What is wrong, where it was seen, and what mends it; `field` of what was asked, where it is one."""

    code: str
    what: str
    where: str
    remedy: str
    field: str | None


class Problem(Part):
    error: ErrorBody
