"""Every address of the studio, a row each: who may ask, what is asked, what is answered, by what.

The application, `web/openapi.json` and the tests of who is let in all walk this table.

python -m alignlab.studio.table writes `web/openapi.json` of this checkout.
"""

from __future__ import annotations

from pathlib import Path

from . import openapi, schema
from .answers import (
    agreed,
    beside,
    blind,
    campaigns,
    classroom,
    constitutions,
    demo,
    folder,
    jobs,
    learning,
    me,
    outside,
    runs,
    samples,
    session,
    talk,
    tasks,
    voting,
    walks,
)
from .endpoint import Endpoint

TABLE: tuple[Endpoint, ...] = (
    Endpoint("GET", "/api/session", "annotator", schema.Nothing, schema.Me, session.me),
    Endpoint("POST", "/api/session", "anyone", schema.SignIn, schema.Me, session.begin),
    Endpoint("DELETE", "/api/session", "annotator", schema.Nothing, schema.Nothing, session.end),
    Endpoint("POST", "/api/link", "anyone", schema.LinkKey, schema.Link, session.link),
    Endpoint("GET", "/api/map", "instructor", schema.MapAsked, schema.Map, runs.shown_map),
    Endpoint("GET", "/api/runs", "instructor", schema.RunsAsked, schema.Runs, runs.listed),
    Endpoint("GET", "/api/runs/{id}", "instructor", schema.RunAsked, schema.Run, runs.one),
    Endpoint(
        "GET", "/api/runs/{id}/metrics", "instructor", schema.MetricsAsked, schema.Columns, samples.metrics
    ),
    Endpoint(
        "GET", "/api/runs/{id}/samples", "instructor", schema.SamplesAsked, schema.Samples, samples.listed
    ),
    Endpoint(
        "GET", "/api/runs/{id}/samples/{row}", "instructor", schema.SampleAsked, schema.Sample, samples.one
    ),
    Endpoint(
        "GET", "/api/runs/{id}/histogram", "instructor", schema.BinsAsked, schema.Bins, samples.histogram
    ),
    Endpoint("GET", "/api/runs/{id}/probes", "instructor", schema.RunAsked, schema.Probes, samples.probes),
    Endpoint("GET", "/api/runs/{id}/tokens", "instructor", schema.TokensAsked, schema.Tokens, samples.tokens),
    Endpoint("POST", "/api/runs/{id}/tokens", "instructor", schema.TokensWanted, schema.Tokens, talk.tokens),
    Endpoint("GET", "/api/compare", "instructor", schema.CompareAsked, schema.Compare, beside.compare),
    Endpoint("POST", "/api/compare/blind", "instructor", schema.BlindAsked, schema.Blind, blind.begin),
    Endpoint(
        "GET",
        "/api/tasks/{id}/result",
        "instructor",
        schema.BlindResultAsked,
        schema.BlindResult,
        blind.result,
    ),
    Endpoint("GET", "/api/models", "instructor", schema.Nothing, schema.Models, talk.listed),
    Endpoint("POST", "/api/talk", "instructor", schema.TalkAsked, schema.TalkEvent, talk.answer, "events"),
    Endpoint("POST", "/api/talk/choice", "instructor", schema.TalkChoice, schema.TalkChosen, talk.chosen),
    Endpoint("GET", "/api/campaigns", "instructor", schema.Nothing, schema.Campaigns, campaigns.campaigns),
    Endpoint(
        "GET",
        "/api/campaigns/{id}/findings",
        "instructor",
        schema.FindingsAsked,
        schema.Findings,
        campaigns.findings,
    ),
    Endpoint(
        "GET",
        "/api/campaigns/{id}/attempts",
        "instructor",
        schema.AttemptsAsked,
        schema.Attempts,
        campaigns.attempts,
    ),
    Endpoint(
        "POST", "/api/campaigns/{id}/queue", "instructor", schema.QueueAsked, schema.Queue, campaigns.queue
    ),
    Endpoint("POST", "/api/labels", "instructor", schema.LabelGiven, schema.Labeled, campaigns.label),
    Endpoint(
        "GET",
        "/api/constitutions",
        "instructor",
        schema.Nothing,
        schema.Constitutions,
        constitutions.constitutions,
    ),
    Endpoint(
        "POST",
        "/api/constitutions/lint",
        "instructor",
        schema.LintAsked,
        schema.Linted,
        constitutions.lint_text,
    ),
    Endpoint(
        "GET",
        "/api/constitutions/{name}",
        "instructor",
        schema.ConstitutionAsked,
        schema.Constitution,
        constitutions.constitution,
    ),
    Endpoint(
        "PUT",
        "/api/constitutions/{name}",
        "instructor",
        schema.ConstitutionGiven,
        schema.Constitution,
        constitutions.put,
    ),
    Endpoint("GET", "/api/walks", "instructor", schema.Nothing, schema.Walks, walks.walks),
    Endpoint("GET", "/api/walks/{id}", "instructor", schema.WalkAsked, schema.Walk, walks.walk),
    Endpoint("GET", "/api/pages", "instructor", schema.Nothing, schema.Pages, folder.pages),
    Endpoint("GET", "/api/pages/{id}", "instructor", schema.PageAsked, schema.Nothing, folder.page, "page"),
    Endpoint("GET", "/api/health", "instructor", schema.Nothing, schema.Health, folder.health),
    Endpoint("GET", "/api/openapi.json", "instructor", schema.Nothing, schema.Nothing, folder.described),
    Endpoint("GET", "/api/events", "instructor", schema.EventsAsked, schema.Event, folder.told, "events"),
    Endpoint("GET", "/api/jobs", "instructor", schema.Nothing, schema.Jobs, jobs.listed),
    Endpoint("POST", "/api/jobs", "instructor", schema.JobAsked, schema.Job, jobs.begin),
    Endpoint("POST", "/api/commands", "instructor", schema.JobAsked, schema.JobCommand, jobs.lines),
    Endpoint("DELETE", "/api/jobs/{id}", "instructor", schema.JobStopped, schema.Job, jobs.stop),
    Endpoint("GET", "/api/learn", "instructor", schema.Nothing, schema.Learn, learning.learn),
    Endpoint("GET", "/api/tasks/{id}/style", "instructor", schema.StyleAsked, schema.Style, learning.style),
    Endpoint("GET", "/api/me", "annotator", schema.Nothing, schema.Myself, me.myself),
    Endpoint("DELETE", "/api/me", "annotator", schema.Nothing, schema.Erased, me.erase),
    Endpoint("GET", "/api/me/data", "annotator", schema.Nothing, schema.MyData, me.data),
    Endpoint("GET", "/api/me/mirror", "annotator", schema.MirrorAsked, schema.Mirror, me.mirror),
    Endpoint("POST", "/api/tasks/{id}/next", "annotator", schema.NextAsked, schema.Next, voting.asked_next),
    Endpoint(
        "GET",
        "/api/tasks/{id}/guideline",
        "annotator",
        schema.GuidelineAsked,
        schema.Guideline,
        voting.guideline,
    ),
    Endpoint("POST", "/api/leases", "annotator", schema.Leases, schema.Held, voting.leases),
    Endpoint("POST", "/api/votes", "annotator", schema.Votes, schema.Taken, voting.votes),
    Endpoint("POST", "/api/votes/{id}/undo", "annotator", schema.UndoAsked, schema.Item, voting.undo),
    Endpoint("GET", "/api/tasks", "instructor", schema.Nothing, schema.Tasks, tasks.listed),
    Endpoint("POST", "/api/tasks", "instructor", schema.TaskMade, schema.Task, tasks.made),
    Endpoint("GET", "/api/tasks/{id}", "instructor", schema.TaskAsked, schema.Task, tasks.one),
    Endpoint("PATCH", "/api/tasks/{id}", "instructor", schema.TaskChanged, schema.Task, tasks.changed),
    Endpoint(
        "GET", "/api/tasks/{id}/items", "instructor", schema.ItemsListed, schema.Items, tasks.items_listed
    ),
    Endpoint("POST", "/api/tasks/{id}/items", "instructor", schema.ItemsAsked, schema.ItemsAdded, tasks.add),
    Endpoint("POST", "/api/sources", "instructor", schema.FirstAsked, schema.First, tasks.first),
    Endpoint(
        "GET",
        "/api/tasks/{id}/agreement",
        "instructor",
        schema.FiguresAsked,
        schema.Agreement,
        agreed.agreement,
    ),
    Endpoint(
        "GET",
        "/api/tasks/{id}/annotators",
        "instructor",
        schema.FiguresAsked,
        schema.Annotators,
        agreed.annotators,
    ),
    Endpoint(
        "GET",
        "/api/tasks/{id}/disputes",
        "instructor",
        schema.DisputesAsked,
        schema.Disputes,
        agreed.disputes,
    ),
    Endpoint("GET", "/api/tasks/{id}/power", "instructor", schema.FiguresAsked, schema.Power, agreed.power),
    Endpoint(
        "POST",
        "/api/tasks/{id}/adjudications",
        "instructor",
        schema.Decided,
        schema.Changed,
        agreed.adjudicated,
    ),
    Endpoint(
        "POST", "/api/tasks/{id}/select", "instructor", schema.SelectAsked, schema.Changed, agreed.select
    ),
    Endpoint(
        "POST",
        "/api/tasks/{id}/snapshot",
        "instructor",
        schema.SnapshotAsked,
        schema.Snapshot,
        outside.snapshot,
    ),
    Endpoint(
        "GET",
        "/api/tasks/{id}/export",
        "instructor",
        schema.ExportAsked,
        schema.Nothing,
        outside.exported,
        "file",
    ),
    Endpoint(
        "POST",
        "/api/tasks/{id}/import",
        "instructor",
        schema.ImportAsked,
        schema.Imported,
        outside.imported,
        takes="file",
    ),
    Endpoint("POST", "/api/backup", "instructor", schema.Nothing, schema.Backup, outside.backup),
    Endpoint("GET", "/api/audit", "instructor", schema.Nothing, schema.Audit, outside.audit),
    Endpoint("POST", "/api/join", "anyone", schema.Join, schema.Joined, classroom.enter),
    Endpoint("GET", "/api/class", "instructor", schema.Nothing, schema.Class, classroom.state),
    Endpoint("POST", "/api/class", "instructor", schema.ClassAsked, schema.Class, classroom.change),
    Endpoint(
        "DELETE", "/api/class/people/{id}", "instructor", schema.Removed, schema.Class, classroom.remove
    ),
    Endpoint("GET", "/api/class/room", "instructor", schema.Nothing, schema.Room, classroom.room),
    Endpoint("POST", "/api/demo/task", "instructor", schema.Nothing, schema.DemoTask, demo.task),
)
SCREENS = (
    "/",
    "/runs",
    "/run/{id}",
    "/compare",
    "/talk",
    "/vote",
    "/learn",
    "/shelf",
    "/redteam",
    "/constitution",
    "/agree",
    "/class",
    "/class/room",
)
"""Addresses of the pages: each is the same file, which asks for what it shows."""
CLASS = tuple(row for row in TABLE if row.role == "annotator" or row.path == "/api/join")
"""What others of a network may ask; no link is good there."""
CLASS_SCREENS = ("/", "/vote")
FILE = Path(__file__).parents[3] / "web" / "openapi.json"

if __name__ == "__main__":
    FILE.write_text(openapi.text(TABLE), encoding="utf-8")
