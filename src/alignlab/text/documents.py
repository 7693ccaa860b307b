"""JSON, TOML and YAML that others wrote -> plain values, bounded in time and memory; whatever is wrong is one
error, `Malformed`.

A short document can claim to be a long one: brackets without end, dotted keys that nest at every dot, aliases
of aliases ("a billion laughs"), a pipe that never ends. Each of these is refused before it is built.
"""

from __future__ import annotations

import itertools
import json
import re
import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .escapes import one_line

if TYPE_CHECKING:
    import yaml

MOST_BYTES = 2**22  # of a file of settings or principles: a person wrote it
MOST_YAML = 2**20  # letters of YAML, which is read slowly
MOST_JSON = 2**26  # of a JSON document in one piece: a program wrote it
MOST_DEPTH = 64  # lists and tables inside each other
MOST_LISTS = 1_000_000  # lists and tables in one JSON value
MOST_NODES = 100_000  # values of a YAML document, those of an alias counted again at each use
MOST_BITS = 1024  # of a whole number, and letters of a number in YAML: what a float holds
BROKEN = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What parsers raise for bytes that they did not expect."""


class Malformed(ValueError):
    """A document that is broken, or too large to be what it should be; its text is one short line."""

    def __init__(self, what: object) -> None:
        super().__init__(one_line(" ".join(str(what).split()), 200) or type(what).__name__)


def read_text(path: str | Path, most: int = MOST_BYTES) -> str:
    """The text of a regular file in UTF-8, of at most so many bytes.

    Raises:
        OSError: it is not there, or cannot be read.
        Malformed: a pipe or device, a file that is too long, or not UTF-8.
    """
    check_regular(path)
    with open(path, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise Malformed(f"the file is longer than {most:,} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"byte {error.start} (0x{data[error.start]:02x}) is not UTF-8") from None


def check_regular(path: str | Path) -> None:
    """Raises Malformed for a pipe, a socket or a device, which may never end, and for a name that can be
    none; OSError as `os.stat`.
    """
    try:
        mode = Path(path).stat().st_mode
    except ValueError as error:  # a NUL in the name
        raise Malformed(error) from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise Malformed("it is a pipe, a socket or a device, not a file")


def from_json(text: str, *, strict: bool = True) -> Any:
    """The value of a JSON text; not `strict` allows control characters in its strings. Raises Malformed."""
    brackets = text.count("[") + text.count("{")
    if brackets > MOST_LISTS:
        raise Malformed(f"more than {MOST_LISTS:,} lists and tables in one value")
    try:
        value = json.loads(text, strict=strict)
    except RecursionError:
        raise Malformed(f"more than {MOST_DEPTH} lists or tables inside each other") from None
    except ValueError as error:
        raise Malformed(error) from None
    if brackets > MOST_DEPTH:
        check_depth(value)
    return value


def check_depth(value: Any, *, numbers: bool = False) -> None:
    """Raises Malformed if lists and tables stand too deep inside each other for what walks them later; with
    `numbers` also for a whole number too large to be printed or made a float.
    """
    level = [value]
    for _ in range(MOST_DEPTH + 1):
        if numbers and any(isinstance(one, int) and one.bit_length() > MOST_BITS for one in level):
            raise Malformed("a whole number of more than 300 digits")
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise Malformed(f"more than {MOST_DEPTH} lists or tables inside each other")


NESTING_KEY = re.compile(
    r"""(?<![\w"'-])(?:(?:"[^"\n]*"|'[^'\n]*'|[\w-]+)[ \t]*\.[ \t]*)""" + f"{{{MOST_DEPTH}}}"
)
"""A dotted key that nests too deep: `tomllib` takes time and memory by the square of its dots."""


def from_toml(text: str) -> dict[str, Any]:
    """The table of a TOML text. Raises Malformed."""
    if NESTING_KEY.search(text):
        raise Malformed(f"a key of more than {MOST_DEPTH} parts")
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise Malformed(f"more than {MOST_DEPTH} lists or tables inside each other") from None
    except BROKEN as error:
        raise Malformed(error) from None
    check_depth(table, numbers=True)
    return table


def from_yaml(text: str) -> Any:
    """The value of a YAML text: null, true and false, numbers, texts, lists and tables, and nothing else (a
    date is its text). Raises Malformed.
    """
    import yaml

    if len(text) > MOST_YAML:
        raise Malformed(f"longer than {MOST_YAML:,} characters")
    try:
        loader = _plain_loader()(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _nodes(node, {})
        value = loader.construct_document(node)
    except (Malformed, yaml.YAMLError) as error:
        raise Malformed(error) from None
    except BROKEN as error:
        raise Malformed(f"a value that is not of its kind: {error}") from None
    check_depth(value, numbers=True)
    return value


def _plain_loader() -> type[yaml.SafeLoader]:
    """A loader of plain values: a tag that stands for any other kind is an error of YAML's own."""
    import yaml

    class Plain(yaml.SafeLoader):
        depth = count = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.depth, self.count = self.depth + 1, self.count + 1
            if self.depth > MOST_DEPTH or self.count > MOST_NODES:
                too_deep = f"more than {MOST_DEPTH} lists or tables inside each other"
                raise Malformed(too_deep if self.depth > MOST_DEPTH else f"more than {MOST_NODES:,} values")
            node: Any = super().compose_node(parent, index)
            self.depth -= 1
            if (
                node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
                and len(node.value) > MOST_BITS
            ):
                raise Malformed(f"a number of {len(node.value):,} letters")
            return node

    kinds = [f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map")]
    Plain.yaml_constructors = {
        tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if tag in kinds or tag is None
    }
    Plain.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in rows if tag in kinds or tag.endswith(":merge")]
        for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return Plain


def _nodes(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node comes to, aliases written out. Raises Malformed for too many; one that holds
    itself has no end.
    """
    import yaml

    if id(node) not in known:
        known[id(node)] = MOST_NODES  # until it is counted
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            inner = list(itertools.chain(*node.value))
        elif isinstance(node, yaml.SequenceNode):
            inner = node.value
        known[id(node)] = 1 + sum(_nodes(one, known) for one in inner)
        if known[id(node)] > MOST_NODES:
            raise Malformed(f"more than {MOST_NODES:,} values, aliases written out")
    return known[id(node)]
