"""Every address of the studio, a row each: who may ask, what is asked, what is answered, by what.

The application, `web/openapi.json` and the tests of who is let in all walk this table.

python -m alignlab.studio.table writes `web/openapi.json` of this checkout.
"""

from __future__ import annotations

from pathlib import Path

from . import openapi, schema
from .answers import beside, demo, folder, runs, samples, session
from .endpoint import Endpoint

TABLE: tuple[Endpoint, ...] = (
    Endpoint("GET", "/api/session", "instructor", schema.Nothing, schema.Me, session.me),
    Endpoint("POST", "/api/session", "anyone", schema.SignIn, schema.Me, session.begin),
    Endpoint("DELETE", "/api/session", "instructor", schema.Nothing, schema.Nothing, session.end),
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
    Endpoint("POST", "/api/demo/task", "instructor", schema.Nothing, schema.DemoTask, demo.task),
)
SCREENS = ("/", "/runs", "/run/{id}", "/compare", "/shelf")
"""Addresses of the pages: each is the same file, which asks for what it shows."""
FILE = Path(__file__).parents[3] / "web" / "openapi.json"

if __name__ == "__main__":
    FILE.write_text(openapi.text(TABLE), encoding="utf-8")
