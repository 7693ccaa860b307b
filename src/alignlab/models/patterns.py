"""Whether a regular expression of somebody else may be run: only one that cannot go through its text in
exponentially many ways.

The rule is simple and stricter than it need be. What repeats is a character, a class, or a group that matches
one way only; of the repetitions without end in a row at most one can be taken back (the last of a row cannot,
if nothing behind it can fail); and the other choices of a row multiply to WAYS at most. A text of n
characters then costs n * n * WAYS steps at most. All patterns that tokenizers of the field cut words with are
of this kind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

WAYS = 4096
LONGEST = 4096

_TOKEN = re.compile(
    r"""(?P<escape>\\(?:[pPxXuU]\{[^}]*\}|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|[k g]<[^>]*>|.))
 |(?P<open>\((?:\?(?:[a-zA-Z-]*:|[a-zA-Z-]+\)|<?[=!]|>|P?<[A-Za-z_]\w*>|\#[^)]*\)))?)
 |(?P<close>\)) |(?P<or>\|) |(?P<repeat>[*+?][?+]?|\{\d*,?\d*\}[?+]?)
 |(?P<class>\[) |(?P<anchor>[\^$]) |(?P<char>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass
class _Node:
    """ways: choices that can be taken back. endless: repetitions without end, in a row. fixed: it matches one
    way. fails: it may match nothing where it is tried.
    """

    ways: int = 1
    endless: int = 0
    fixed: bool = True
    fails: bool = True


class _Refused(ValueError):
    pass


def why_harmful(pattern: str) -> str:
    """What makes the pattern one that is not run; nothing if it may be."""
    if len(pattern) > LONGEST:
        return f"it has {len(pattern):,} characters"
    try:
        node, at = _alternatives(pattern, 0, 0)
        if at < len(pattern):
            return "it closes a group that is not open"
    except (_Refused, RecursionError) as error:
        return str(error) or "it is nested too deep"
    return "" if node.endless <= 1 and node.ways <= WAYS else "its repetitions multiply"


def _alternatives(pattern: str, at: int, depth: int) -> tuple[_Node, int]:
    """One alternative or several, up to a bracket that closes or the end."""
    if depth > 20:
        raise _Refused("it is nested too deep")
    rows: list[list[_Node]] = [[]]
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None or token.lastgroup == "close":
            break
        kind, text, at = token.lastgroup, token[0], token.end()
        if kind == "or":
            rows.append([])
        elif kind == "repeat":
            if not rows[-1]:
                raise _Refused("it repeats nothing")
            rows[-1].append(_repeated(rows[-1].pop(), text))
        elif kind == "open" and text.endswith(")"):
            continue  # flags or a remark
        elif kind == "open":
            node, at = _alternatives(pattern, at, depth + 1)
            if pattern[at : at + 1] != ")":
                raise _Refused("a group is not closed")
            rows[-1].append(node)
            at += 1
        elif kind == "escape" and (text[1].isdigit() and text[1] != "0" or text[1] in "kgRX"):
            raise _Refused("it refers to a group")
        else:
            if kind == "class":
                at = _class_end(pattern, at)
            rows[-1].append(_Node())
    alternatives = [_row(row) for row in rows]
    if len(alternatives) == 1:
        return alternatives[0], at
    return _Node(
        sum(a.ways for a in alternatives),
        max(a.endless for a in alternatives),
        False,
        all(a.fails for a in alternatives),
    ), at


def _row(nodes: list[_Node]) -> _Node:
    ways, endless, fails = 1, 0, False
    for node in reversed(nodes):
        ways *= node.ways
        if fails or node.endless > 1:  # where nothing behind it fails, it is never taken back
            endless += node.endless
        fails |= node.fails
    return _Node(ways, endless, all(node.fixed for node in nodes), fails)


def _repeated(node: _Node, times: str) -> _Node:
    counts = re.match(r"\{(\d*)(,?)(\d*)\}", times)
    if counts and not (counts[1] or counts[3]):
        return node  # brackets that are text
    least, most = _how_often(times, counts)
    if most is not None and most == least:
        if most > 1 and not node.fixed:
            raise _Refused("it repeats what can match in several ways")
        return _Node(node.ways, node.endless, node.fixed, node.fails)
    if most == 1:
        return _Node(node.ways + 1, node.endless, False, False)
    if not node.fixed or node.endless:
        raise _Refused("it repeats what can match in several ways")
    if most is None:
        return _Node(1, 1, False, least > 0)
    return _Node(most - least + 1, 0, False, least > 0)


def _how_often(times: str, counts: re.Match[str] | None) -> tuple[int, int | None]:
    """The least and the most that a mark of repetition allows, None for without end.

    Args:
        counts: the numbers in its brackets, if it has some: {2}, {2,}, {,3}, {2,3}.
    """
    if counts is None:
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[times[0]]
    if max(len(counts[1]), len(counts[3])) > 4:
        raise _Refused("it repeats too often")
    least = int(counts[1] or 0)
    if counts[3]:
        return least, int(counts[3])
    return least, None if counts[2] else least


def _class_end(pattern: str, at: int) -> int:
    """Behind the bracket that closes a class; classes may hold classes, as Oniguruma reads them."""
    depth = 1
    for front in "^]":  # a bracket in front is a character
        at += pattern[at : at + 1] == front
    while at < len(pattern):
        depth += {"[": 1, "]": -1}.get(pattern[at], 0)
        at += 2 if pattern[at] == "\\" else 1
        if not depth:
            return at
    raise _Refused("a class is not closed")
