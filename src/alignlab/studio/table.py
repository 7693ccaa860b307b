"""Every address of the studio, a row each: who may ask, what is asked, what is answered, by what.

The application, `web/openapi.json` and the tests of who is let in all walk this table.

python -m alignlab.studio.table writes `web/openapi.json` of this checkout.
"""

from __future__ import annotations

from pathlib import Path

from . import openapi, schema
from .answers import beside, classroom, folder, me, runs, samples, session, voting
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
    Endpoint("GET", "/api/compare", "instructor", schema.CompareAsked, schema.Compare, beside.compare),
    Endpoint("GET", "/api/pages", "instructor", schema.Nothing, schema.Pages, folder.pages),
    Endpoint("GET", "/api/pages/{id}", "instructor", schema.PageAsked, schema.Nothing, folder.page, "page"),
    Endpoint("GET", "/api/health", "instructor", schema.Nothing, schema.Health, folder.health),
    Endpoint("GET", "/api/openapi.json", "instructor", schema.Nothing, schema.Nothing, folder.described),
    Endpoint("GET", "/api/events", "instructor", schema.EventsAsked, schema.Event, folder.told, "events"),
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
    Endpoint("POST", "/api/join", "anyone", schema.Join, schema.Joined, classroom.enter),
    Endpoint("GET", "/api/class", "instructor", schema.Nothing, schema.Class, classroom.state),
    Endpoint("POST", "/api/class", "instructor", schema.ClassAsked, schema.Class, classroom.change),
    Endpoint("GET", "/api/class/room", "instructor", schema.Nothing, schema.Room, classroom.room),
)
SCREENS = ("/", "/run/{id}", "/compare", "/shelf", "/vote", "/class", "/class/room")
"""Addresses of the pages: each is the same file, which asks for what it shows."""
CLASS = tuple(row for row in TABLE if row.role == "annotator" or row.path == "/api/join")
"""What others of a network may ask; no link is good there."""
CLASS_SCREENS = ("/", "/vote")
FILE = Path(__file__).parents[3] / "web" / "openapi.json"

if __name__ == "__main__":
    FILE.write_text(openapi.text(TABLE), encoding="utf-8")
