"""Every address of the studio, a row each: who may ask, what is asked, what is answered.

The application, `web/openapi.json` and the tests of who is let in all walk this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from . import schema
from .schema import Part

Method = Literal["GET", "POST", "DELETE"]
Role = Literal["anyone", "annotator", "instructor"]
"""Who may ask: an instructor may ask what an annotator may, and everybody what anyone may."""
Form = Literal["json", "page", "events"]


@dataclass(frozen=True)
class Endpoint:
    """One method of one path. Fields of `asks` that the path names stand in it; the others are the query of a
    GET and the JSON body of everything else.
    """

    method: Method
    path: str
    role: Role
    asks: type[Part]
    answers: type[Part]
    form: Form = "json"


TABLE: tuple[Endpoint, ...] = (
    Endpoint("GET", "/api/session", "instructor", schema.Nothing, schema.Me),
    Endpoint("POST", "/api/session", "anyone", schema.SignIn, schema.Me),
    Endpoint("DELETE", "/api/session", "instructor", schema.Nothing, schema.Nothing),
    Endpoint("POST", "/api/link", "anyone", schema.LinkKey, schema.Link),
    Endpoint("GET", "/api/map", "instructor", schema.MapAsked, schema.Map),
    Endpoint("GET", "/api/runs", "instructor", schema.RunsAsked, schema.Runs),
    Endpoint("GET", "/api/runs/{id}", "instructor", schema.RunAsked, schema.Run),
    Endpoint("GET", "/api/runs/{id}/metrics", "instructor", schema.MetricsAsked, schema.Columns),
    Endpoint("GET", "/api/runs/{id}/samples", "instructor", schema.SamplesAsked, schema.Samples),
    Endpoint("GET", "/api/runs/{id}/samples/{row}", "instructor", schema.SampleAsked, schema.Sample),
    Endpoint("GET", "/api/runs/{id}/histogram", "instructor", schema.BinsAsked, schema.Bins),
    Endpoint("GET", "/api/runs/{id}/probes", "instructor", schema.RunAsked, schema.Probes),
    Endpoint("GET", "/api/runs/{id}/tokens", "instructor", schema.TokensAsked, schema.Tokens),
    Endpoint("GET", "/api/compare", "instructor", schema.CompareAsked, schema.Compare),
    Endpoint("GET", "/api/pages", "instructor", schema.Nothing, schema.Pages),
    Endpoint("GET", "/api/pages/{id}", "instructor", schema.PageAsked, schema.Nothing, "page"),
    Endpoint("GET", "/api/health", "instructor", schema.Nothing, schema.Health),
    Endpoint("GET", "/api/openapi.json", "instructor", schema.Nothing, schema.Nothing),
    Endpoint("GET", "/api/events", "instructor", schema.EventsAsked, schema.Event, "events"),
)
