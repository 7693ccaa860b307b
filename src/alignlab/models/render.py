"""The process in which chat templates are filled in. It reads a line of JSON for each conversation and
answers with one; it imports nothing of ours.

A chat template is a program that came with a model. Here it may use what transformers lets it use and no
more, SECONDS of processor time for each conversation, MEMORY bytes of addresses, and write `most` characters.
The time is the kernel's to keep: it ends the process, whatever that is doing.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node, Scope
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

SECONDS = 1.0
MEMORY = 2**28


class Generation(Extension):
    """{% generation %}, which marks what an assistant says: here it is written as it stands."""

    tags = {"generation"}  # noqa: RUF012  (as jinja2 has it)

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        return Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


class PlainNamespace(Namespace):
    """Names that begin with an underscore are Python's own."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # noqa: N805  (so that a name may be called self)
        for name in dict(*args[1:], **kwargs):
            _check(name)
        Namespace.__init__(*args, **kwargs)

    def __setitem__(self, name: str, value: Any) -> None:
        _check(name)
        super().__setitem__(name, value)


def _check(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise TemplateError(f"a namespace holds no {name}")


def _raise(message: str) -> None:
    raise TemplateError(message)


def _json(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


@lru_cache(maxsize=16)
def compiled(text: str) -> Any:
    """The template as transformers compiles it: its settings, filters and names."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    made.filters["tojson"] = _json
    made.globals |= {
        "raise_exception": _raise,
        "strftime_now": lambda form: datetime.now().strftime(form),
        "dict": lambda *args, **more: dict(*args, **more),
        "namespace": PlainNamespace,
    }
    return made.from_string(text)


def filled(template: str, names: dict[str, Any], most: int) -> dict[str, str]:
    """{"text"}; or {"error"} with the template's own words, or {"bound"} with what it went beyond."""
    try:
        text = compiled(template).render(names)
    except MemoryError:
        return {"bound": f"takes more than {MEMORY >> 20} MB of memory"}
    except Exception as error:  # jinja raises what the template's author chose
        return {"error": f"{str(error)[:400] or type(error).__name__}"}
    return {"text": text} if len(text) <= most else {"bound": f"writes {len(text):,} characters"}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    allowed = MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most)
    with suppress(OSError, ValueError):  # macOS bounds no addresses
        resource.setrlimit(resource.RLIMIT_AS, (allowed, most))
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # nobody handles its signal: the process ends
        request = json.loads(line)
        answer = json.dumps(filled(request["template"], request["names"], request["most"])).encode()
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.buffer.write(answer + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
