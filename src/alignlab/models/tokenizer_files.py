"""Whether the files of a tokenizer may be read: what it does to a text must end soon, and not make much of
little.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
from collections.abc import Iterator
from typing import Any

from .patterns import why_harmful
from .template import LONGEST

MOST_ADDED = 40_000
"""Each takes some 0.1 ms to read; models of the field have up to 33,000 (pictures as tokens)."""
MOST_ADDED_CHARACTERS = 2**21
LONG_TOKENS = 10**9
"""The squares of the tokens' lengths, together: some converters split every token in every way.
Vocabularies of the field come to some 10 million."""
GROWTH = 1024
"""How much longer a normalizer may make a text."""
STEPS = 1000
FIXED = 2**17


def why_refused(name: str, row: dict[str, Any]) -> str:
    """What is wrong with a tokenizer's file of that name, parsed; "" if nothing is, or if it is no
    tokenizer's.
    """
    try:
        if name == "tokenizer.json":
            return _tokenizer(row)
        if name == "vocab.json":
            return _vocabulary(row)
        if name == "tokenizer_config.json":
            return _config(row)
        if name == "added_tokens.json":
            return _added(row)
        if name == ".gguf":
            return _vocabulary(row.get("tokenizer.ggml.tokens") or [])
    except (TypeError, AttributeError, KeyError, ValueError, binascii.Error) as error:
        return f"it is not as tokenizers writes it ({type(error).__name__})"
    return ""


def _tokenizer(row: dict[str, Any]) -> str:
    model = row["model"]
    parts = [list(_nodes(row.get(part))) for part in ("normalizer", "pre_tokenizer", "decoder")]
    if max(map(len, parts)) > STEPS:
        return f"it goes through more than {STEPS:,} steps"
    for node in itertools.chain(*parts):
        if isinstance(pattern := node.get("Regex"), str) and (why := why_harmful(pattern)):
            return f"an expression that may take for ever, {pattern:.80} ({why})"
    normalizer, _, decoder = parts
    for part in (normalizer, decoder):
        growth = 1
        for node in part:
            growth *= _growth(node)
            if growth > GROWTH:
                return f"it makes a text {growth:,} times as long"
    padding = row.get("padding") or {}
    strategy = padding.get("strategy")
    fixed = 0
    if isinstance(strategy, dict):
        fixed = strategy.get("Fixed", 0)
    if max(fixed, padding.get("pad_to_multiple_of") or 0) > FIXED:
        return "it pads every text without bound"
    if len(json.dumps(row.get("post_processor"))) > FIXED:
        return "it puts a long text around every text"
    if (model.get("max_input_chars_per_word") or 0) > STEPS:
        return "it reads words of any length"
    return _added(row.get("added_tokens") or []) or _vocabulary(model.get("vocab") or {})


def _config(row: dict[str, Any]) -> str:
    template = row.get("chat_template") or ""
    templates = template if isinstance(template, list) else [{"template": template}]
    for one in templates:
        text = one.get("template") if isinstance(one, dict) else None
        if not isinstance(text, str) or len(text) > LONGEST:
            return f"its chat template is no text of at most {LONGEST:,} characters"
    files = [row.get(key) for key in ("vocab_file", "merges_file", "spm_file", "tokenizer_file")] + list(
        row.get("fast_tokenizer_files") or []
    )
    if any(name is not None and (not isinstance(name, str) or ".." in name.split("/")) for name in files):
        return "it names files in other folders"
    return _added(row.get("added_tokens_decoder") or {})


def _added(tokens: Any) -> str:
    """Added tokens as tokenizer.json lists them, as tokenizer_config.json has them by number, or as
    added_tokens.json has their numbers.
    """
    rows = list(tokens)
    if isinstance(tokens, dict) and not all(type(one) is int for one in tokens.values()):
        rows = list(tokens.values())
    contents = [one["content"] if isinstance(one, dict) else str(one) for one in rows]
    if len(contents) > MOST_ADDED or sum(map(len, contents)) > MOST_ADDED_CHARACTERS:
        return f"it adds {len(contents):,} tokens of {sum(map(len, contents)):,} characters"
    return ""


def _vocabulary(vocabulary: Any) -> str:
    squares = 0
    for one in vocabulary:
        token = one[0] if isinstance(one, list) else one
        squares += len(token) ** 2
    return "its tokens are as long as texts" if squares > LONG_TOKENS else ""


def _nodes(part: Any) -> Iterator[dict[str, Any]]:
    """All objects within a part of tokenizer.json."""
    rest = [part]
    while rest:
        one = rest.pop()
        if isinstance(one, dict):
            yield one
            rest += one.values()
        elif isinstance(one, list):
            rest += one


def _growth(node: dict[str, Any]) -> int:
    """How many times as long a step may make a text: by a text that it puts in for a character."""
    texts = [node[key] for key in ("content", "prepend") if isinstance(node.get(key), str)]
    return max(1, *map(len, texts), _longest(node.get("precompiled_charsmap")))


def _longest(charsmap: Any) -> int:
    """The longest text that SentencePiece's table of replacements puts in the place of a character."""
    if not isinstance(charsmap, str):
        return 1
    raw = base64.b64decode(charsmap, validate=True)
    return max(map(len, raw[4 + int.from_bytes(raw[:4], "little") :].split(b"\0")))
