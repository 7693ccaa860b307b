"""Model folders that mean harm: a sound one of each kind, and what is done to it. Seeded, so that each run
tries the same.
"""

from __future__ import annotations

import base64
import json
import os
import random
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

Spoil = Callable[[Path], Any]
DRAW = random.Random(0)


def edit(name: str, **values: Any) -> Spoil:
    """A JSON file with other values; a dotted name goes into what it holds."""

    def spoil(folder: Path) -> None:
        row = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
        for key, value in values.items():
            at, parts = row, key.split("__")
            for part in parts[:-1]:
                at = at.setdefault(part, {})
            at[parts[-1]] = value
        (folder / name).write_text(json.dumps(row))

    return spoil


def text(name: str, content: str | bytes) -> Spoil:
    return lambda folder: (folder / name).write_bytes(
        content.encode() if isinstance(content, str) else content
    )


def big(name: str, begin: bytes, size: int) -> Spoil:
    """A file that is said to be large: the rest of it is a hole."""

    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(begin)
        os.truncate(folder / name, size)

    return spoil


def link(name: str, target: str) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        moved = folder.parent / f"{folder.name}-elsewhere"
        moved.mkdir(exist_ok=True)
        if path.exists():
            path.rename(moved / path.name)
        path.symlink_to(target.format(moved=moved, name=path.name))

    return spoil


def special(name: str, kind: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(folder / name)
        elif kind == "socket":
            here = os.getcwd()
            os.chdir(folder)
            socket.socket(socket.AF_UNIX).bind(name)
            os.chdir(here)
        else:
            (folder / name).symlink_to(kind)

    return spoil


def header(change: Callable[[dict[str, Any]], Any] | bytes, *, length: int | None = None) -> Spoil:
    """The header of model.safetensors with something else in it."""

    def spoil(folder: Path) -> None:
        file = next(folder.glob("*model.safetensors"))
        raw = file.read_bytes()
        old = int.from_bytes(raw[:8], "little")
        if isinstance(change, bytes):
            new = change
        else:
            row = json.loads(raw[8 : 8 + old])
            new = json.dumps(change(row) or row).encode()
        file.write_bytes(struct.pack("<Q", len(new) if length is None else length) + new + raw[8 + old :])

    return spoil


def first(**values: Any) -> Spoil:
    return header(lambda row: row[next(name for name in row if name != "__metadata__")].update(values))


def shards(name: str) -> Spoil:
    """The weights in shards, the first of which lies elsewhere."""

    def spoil(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
        raw = (folder / "model-00001-of-00001.safetensors").read_bytes()
        names = [
            key for key in json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")]) if key != "__metadata__"
        ]
        (folder.parent / "outside.safetensors").write_bytes(raw)
        (folder / "model.safetensors.index.json").write_text(
            json.dumps(
                {
                    "metadata": {},
                    "weight_map": dict.fromkeys(names, name.format(parent=folder.parent.resolve())),
                }
            )
        )

    return spoil


def template(words: str) -> Spoil:
    return text("chat_template.jinja", words)


CATASTROPHES = [
    "(a+)+$",
    "(a|a)*b",
    "(a|aa)+$",
    "(a*)*b",
    "(.*a){25}",
    "(\\w+\\s?)*$",
    "a*a*a*a*a*b",
    "(?:a?){60}a{60}",
    "([a-z]+)*\\d",
    "(a+)\\1+b",
    "a?" * 40 + "a" * 40,
]
DEEP = "[" * 100_000 + "]" * 100_000


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def replaced(content: str, pattern: str = "a") -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


def charsmap() -> dict[str, Any]:
    return {
        "type": "Precompiled",
        "precompiled_charsmap": base64.b64encode(
            struct.pack("<I", 4) + b"\0\0\0\0" + b"b" * 100_000 + b"\0"
        ).decode(),
    }


ROOT = "/etc/hostname"
MODEL: dict[str, Spoil] = {
    **{
        f"a link to {what}: {name}": link(name, target)
        for name in (
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "chat_template.jinja",
            "generation_config.json",
        )
        for what, target in (("its own, moved", "{moved}/{name}"), ("above", "../{name}"))
    },
    "a link of a link": lambda folder: (
        link("config.json", "{moved}/{name}")(folder),
        (folder / "a").symlink_to("config.json"),
    ),
    "a link to a folder": link("additional_chat_templates/x.jinja", ROOT),
    "a link in a circle": link("x.json", "x.json"),
    "a broken link": link("vocab.json", "nothing"),
    "a snapshot of another repository": link("special_tokens_map.json", "../../blobs/x"),
    **{
        f"{name} is {kind}": special(name, kind)
        for name in (
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "chat_template.jinja",
            "vocab.json",
            "notes",
        )
        for kind in ("pipe", "/dev/zero", "socket")
    },
    **{
        f"shards at {name}": shards(name)
        for name in (
            "../outside.safetensors",
            "{parent}/outside.safetensors",
            "./../outside.safetensors",
            "x/../../outside.safetensors",
            "",
            ".",
            "..",
            "model-00001-of-00001.safetensors/../../outside.safetensors",
            "config.json",
        )
    },
    "shards of numbers": lambda folder: (
        shards("a")(folder),
        edit("model.safetensors.index.json", weight_map={"a": 1})(folder),
    ),
    "shards without a map": lambda folder: (
        shards("a")(folder),
        edit("model.safetensors.index.json", weight_map=[1])(folder),
    ),
    "weights elsewhere": edit("config.json", transformers_weights="../outside.safetensors"),
    # headers
    "a header of 90 MB": lambda folder: big(
        "model.safetensors", struct.pack("<Q", 90_000_000) + b"{", 90_000_100
    )(folder),
    "a header of 2**63": header(b"{}", length=2**63),
    "a header longer than the file": header(b"{}", length=10**7),
    "no header": text("model.safetensors", b""),
    "seven bytes": text("model.safetensors", b"1234567"),
    "a header that is no JSON": header(b"{" * 50),
    "a header that is deep": header(DEEP.encode()),
    "a header that is a list": header(b"[1]"),
    "a million empty tensors": header(
        b"{"
        + b",".join(b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % i for i in range(300_000))
        + b"}"
    ),
    "a type of its own": first(dtype="F7"),
    "no type": first(dtype=None),
    "a shape of texts": first(shape=["a"]),
    "a huge shape": first(shape=[2**40, 2**40]),
    "a negative shape": first(shape=[-1, -1]),
    "offsets behind the file": first(data_offsets=[0, 10**12]),
    "offsets that go back": first(data_offsets=[8, 0]),
    "three offsets": first(data_offsets=[0, 1, 2]),
    "offsets of texts": first(data_offsets=["0", "1"]),
    "a tensor that is a number": header(lambda row: row | {"x": 1}),
    "a name twice": header(
        b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    ),
    "tensors over one another": header(
        lambda row: row | {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    ),
    # configurations
    **{
        f"{name} = {value:.3g}": edit("config.json", **{name: value})
        for name, value in (
            ("num_hidden_layers", 10**7),
            ("num_hidden_layers", 10**9),
            ("num_hidden_layers", 20_000),
            ("num_hidden_layers", 900),
            ("num_hidden_layers", 1e9),
            ("hidden_size", 10**6),
            ("hidden_size", 10**9),
            ("intermediate_size", 10**9),
            ("intermediate_size", 2**24),
            ("vocab_size", 10**9),
            ("vocab_size", 2**24),
            ("num_labels", 10**9),
            ("num_labels", 10**6),
            ("num_attention_heads", 10**9),
            ("num_key_value_heads", 10**8),
            ("head_dim", 10**9),
            ("head_dim", 2**22),
            ("max_position_embeddings", 10**12),
            ("num_hidden_layers", -1),
            ("hidden_size", 0),
            ("num_attention_heads", 0),
            ("pad_token_id", 10**15),
        )
    },
    "all sizes at random": lambda folder: edit(
        "config.json",
        **{
            name: DRAW.choice([10**5, 10**7, 10**9])
            for name in ("hidden_size", "intermediate_size", "vocab_size")
        },
    )(folder),
    "layers of text": edit("config.json", num_hidden_layers="9" * 50),
    "a list of layers": edit("config.json", num_hidden_layers=[2]),
    "experts": edit(
        "config.json", model_type="mixtral", architectures=["MixtralForCausalLM"], num_local_experts=10**5
    ),
    "experts, few": edit(
        "config.json",
        model_type="mixtral",
        architectures=["MixtralForCausalLM"],
        num_local_experts=4000,
        num_hidden_layers=200,
    ),
    "local attention": edit(
        "config.json",
        model_type="gpt_neo",
        architectures=["GPTNeoForCausalLM"],
        attention_types=[[["global"], 10**9]],
        num_layers=2,
    ),
    "a mask of positions": edit(
        "config.json",
        model_type="gptj",
        architectures=["GPTJForCausalLM"],
        n_positions=10**6,
        n_embd=32,
        n_head=2,
        n_layer=2,
        rotary_dim=4,
    ),
    "learnt positions": edit(
        "config.json",
        model_type="gpt2",
        architectures=["GPT2LMHeadModel"],
        n_positions=10**8,
        n_embd=32,
        n_head=2,
        n_layer=2,
    ),
    "a vision part": edit(
        "config.json",
        model_type="gemma3",
        architectures=["Gemma3ForConditionalGeneration"],
        vision_config={"num_hidden_layers": 10**8},
        text_config={"num_hidden_layers": 10**8},
    ),
    "a deep configuration": text("config.json", '{"a":' * 5000 + "1" + "}" * 5000),
    "a name twice in it": text("config.json", '{"model_type": "llama", "model_type": "gpt2"}'),
    "NaN": text("config.json", '{"model_type": "llama", "rms_norm_eps": NaN}'),
    "a number of 5,000 digits": text("config.json", '{"hidden_size": ' + "1" * 5000 + "}"),
    "UTF-16": text("config.json", '{"model_type": "llama"}'.encode("utf-16")),
    "a byte order mark": text("config.json", b'\xef\xbb\xbf{"model_type": "llama"}'),
    "no UTF-8": text("config.json", b'{"model_type": "\xff\xfe"}'),
    "a NUL": text("config.json", b"\0" * 100),
    "a large one": big("config.json", b"{", 2**33),
    "5 million values": text("config.json", '{"a": [' + "[]," * 1_500_000 + "[]]}"),
    "a class that is none": edit("config.json", architectures=["OsSystem"], model_type="os"),
    "architectures of numbers": edit("config.json", architectures=7, model_type=7),
    "code": edit("config.json", auto_map={"AutoModelForCausalLM": "x.Y"}),
    "ends of text": edit("generation_config.json", eos_token_id="all"),
    "ends in ends": edit("generation_config.json", eos_token_id=[[1], [2]]),
    "an end beyond numbers": edit("generation_config.json", eos_token_id=10**30),
    "a length beyond numbers": edit("generation_config.json", max_length=10**29),
    "a deep generation": text("generation_config.json", DEEP),
    # tokenizers
    **{
        f"cut by {pattern:.20}": edit(
            "tokenizer.json", pre_tokenizer={"type": "Sequence", "pretokenizers": [split(pattern)]}
        )
        for pattern in CATASTROPHES
    },
    "an expression in a normalizer": edit(
        "tokenizer.json", normalizer={"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}
    ),
    "an expression in a decoder": edit(
        "tokenizer.json", decoder={"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}
    ),
    "text that doubles": edit(
        "tokenizer.json", normalizer={"type": "Sequence", "normalizers": [replaced("aa")] * 60}
    ),
    "a letter that is a book": edit("tokenizer.json", normalizer=replaced("b" * 10**6)),
    "a book before each text": edit("tokenizer.json", normalizer={"type": "Prepend", "prepend": "b" * 10**6}),
    "a table of books": lambda folder: edit("tokenizer.json", normalizer=charsmap())(folder),
    "a million steps": edit(
        "tokenizer.json", normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}] * 100_000}
    ),
    "texts padded to 10**9": edit(
        "tokenizer.json",
        padding={
            "strategy": {"Fixed": 10**9},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "<pad>",
        },
    ),
    "texts padded to multiples": edit(
        "tokenizer.json",
        padding={
            "strategy": "BatchLongest",
            "direction": "Right",
            "pad_to_multiple_of": 10**9,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "<pad>",
        },
    ),
    "a million ids before a text": edit(
        "tokenizer.json",
        post_processor={
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0] * 10**6, "tokens": ["<s>"] * 10**6}},
        },
    ),
    "300,000 added tokens": edit(
        "tokenizer.json",
        added_tokens=[
            {
                "id": i,
                "content": f"<t{i}>",
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for i in range(300_000)
        ],
    ),
    "added tokens like books": edit(
        "tokenizer.json", added_tokens=[{"id": 0, "content": "x" * 4_000_000, "special": True}]
    ),
    "tokens like books": edit("tokenizer.json", model__vocab={"y" * 1_000_000: 0}),
    "added tokens of a number": edit("tokenizer.json", added_tokens=[7]),
    "added_tokens_decoder": edit(
        "tokenizer_config.json",
        added_tokens_decoder={str(i): {"content": f"<t{i}>", "special": True} for i in range(300_000)},
    ),
    "a tokenizer of 70 MB": big("tokenizer.json", b"{", 70 * 2**20),
    "no model in it": edit("tokenizer.json", model=None),
    "a deep tokenizer": text("tokenizer.json", DEEP),
    "a tokenizer that is a list": text("tokenizer.json", "[]"),
    "a tokenizer of 5 million values": text("tokenizer.json", '{"a": [' + "0," * 5_000_000 + "0]}"),
    "words of any length": edit(
        "tokenizer.json",
        model={
            "type": "WordPiece",
            "unk_token": "a",
            "continuing_subword_prefix": "#",
            "max_input_chars_per_word": 10**9,
            "vocab": {"a": 0},
        },
    ),
    "templates of a number": edit("tokenizer_config.json", chat_template=7),
    "a template of 5 MB": template("a" * 5_000_000),
    "a template of 2 MB": edit("tokenizer_config.json", chat_template="a" * 2_000_000),
    "code of the tokenizer": edit("tokenizer_config.json", auto_map={"AutoTokenizer": ["x.Y", None]}),
    "files elsewhere": edit("tokenizer_config.json", fast_tokenizer_files=["../x.json"]),
    # templates: more of them in test_template.py
    "a template of loops": template(
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    ),
    "a template that doubles": template(
        "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor "
        "%}{{ ns.s }}"
    ),
    "a template of powers": template("{{ (7 ** (9 ** 8)) % 10 }}"),
    "a template that says something else": template("{{ messages[0].content }}"),
}


def pattern_of(name: str, value: Any = 2) -> Spoil:
    return edit("adapter_config.json", **{name: value})


ADAPTER: dict[str, Spoil] = {
    **{
        f"{key} by {pattern:.20}": pattern_of(key, {pattern: 2})
        for key in ("rank_pattern", "alpha_pattern")
        for pattern in CATASTROPHES[:4]
    },
    **{
        f"saves {pattern:.20}": pattern_of("modules_to_save", [pattern])
        for pattern in (*CATASTROPHES[:3], "", "model", "layers")
    },
    "saves many": pattern_of("modules_to_save", ["lm_head"] * 10**5),
    "saves a number": pattern_of("modules_to_save", 7),
    **{
        f"rank {rank!r:.12}": pattern_of("r", rank) for rank in (10**9, 100, 0, -1, "2", None, 2.5, True, [2])
    },
    "a rank of a pattern": pattern_of("rank_pattern", {"q_proj": 10**9}),
    "patterns in a list": pattern_of("rank_pattern", ["q_proj"]),
    "alpha without end": pattern_of("lora_alpha", float("inf")),
    "alpha of text": pattern_of("lora_alpha", "x"),
    "layers again and again": pattern_of("layer_replication", [[0, 2]] * 1000),
    "layers to 10**9": pattern_of("layer_replication", [[0, 10**9]]),
    "another module": edit("adapter_config.json", megatron_config={"a": 1}, megatron_core="os"),
    "prompts": pattern_of("peft_type", "PROMPT_TUNING"),
    "x-lora": pattern_of("peft_type", "XLORA"),
    "no type": pattern_of("peft_type", 7),
    "targets of numbers": pattern_of("target_modules", [1, 2]),
    "targets in a table": pattern_of("target_modules", {"a": 1}),
    "excludes a number": pattern_of("exclude_modules", 7),
    "dropout": pattern_of("lora_dropout", 7),
    "dropout of text": pattern_of("lora_dropout", "0"),
    "parameters": pattern_of("target_parameters", ["x"]),
    "its base is itself": lambda folder: edit("adapter_config.json", base_model_name_or_path=str(folder))(
        folder
    ),
    "its base is a pipe": lambda folder: (
        os.mkfifo(folder.parent / "pipe.gguf"),
        edit("adapter_config.json", base_model_name_or_path=str(folder.parent / "pipe.gguf"))(folder),
    ),
    "its base is a number": pattern_of("base_model_name_or_path", 7),
    "its base is a list": pattern_of("base_model_name_or_path", ["a"]),
    "a deep adapter": text("adapter_config.json", DEEP),
    "an adapter of 5 MB": big("adapter_config.json", b"{", 2**23),
    "a header": header(b"{}", length=2**60),
    "a link": link("adapter_model.safetensors", "{moved}/{name}"),
    "code": pattern_of("auto_map", {"a": "b.C"}),
}
HARMLESS: dict[str, Spoil] = {  # expressions that the tensors say as well, and others of no harm
    **{
        f"targets {pattern:.20}": pattern_of("target_modules", pattern)
        for pattern in (
            *CATASTROPHES[:3],
            ".*\\.(q_proj|v_proj)",
            "model\\.layers\\.\\d+\\.self_attn\\.[qv]_proj",
        )
    },
    **{f"excludes {pattern:.20}": pattern_of("exclude_modules", pattern) for pattern in CATASTROPHES[:3]},
    "layers": edit("adapter_config.json", layers_pattern=CATASTROPHES[0], layers_to_transform=[0, 1]),
}


def gguf_value(kind: int, raw: bytes, name: str = "x") -> bytes:
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind) + raw


def gguf_file(
    values: list[bytes], tensors: list[bytes], *, counts: tuple[int, int] | None = None, version: int = 3
) -> Spoil:
    made = (
        b"GGUF"
        + struct.pack("<IQQ", version, *(counts or (len(tensors), len(values))))
        + b"".join(values + tensors)
    )
    return lambda file: file.write_bytes(made + b"\0" * 4096)


def gguf_tensor(dims: list[int], kind: int = 0, offset: int = 0, name: str = "a") -> bytes:
    return (
        struct.pack("<Q", len(name))
        + name.encode()
        + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)
    )


def gguf_set(key: str, value: int) -> Spoil:
    """One number of a sound file, said otherwise."""

    def spoil(file: Path) -> None:
        raw = bytearray(file.read_bytes())
        at = raw.index(struct.pack("<Q", len(key)) + key.encode()) + 8 + len(key) + 4
        raw[at : at + 4] = struct.pack("<I", value)
        file.write_bytes(bytes(raw))

    return spoil


def gguf_template(words: str) -> Spoil:
    """The chat template of a sound file, which writes a turn for each message, made to do something else in
    as many bytes.
    """

    def spoil(file: Path) -> None:
        raw, key = file.read_bytes(), b"tokenizer.chat_template"
        at = raw.index(key) + len(key) + 4
        length = struct.unpack("<Q", raw[at : at + 8])[0]
        assert len(words) <= length
        file.write_bytes(raw[: at + 8] + words.ljust(length).encode() + raw[at + 8 + length :])

    return spoil


GGUF: dict[str, Spoil] = {
    **{
        f"{key} = {value:,}": gguf_set(f"llama.{key}", value)
        for key, value in (
            ("block_count", 10**9),
            ("block_count", 20_000),
            ("block_count", 900),
            ("embedding_length", 10**9),
            ("embedding_length", 2**22),
            ("feed_forward_length", 10**9),
            ("attention.head_count", 10**9),
            ("context_length", 2**32 - 1),
            ("vocab_size", 10**9),
            ("block_count", 0),
            ("attention.head_count", 0),
        )
    },
    "values without end": gguf_file([], [], counts=(0, 10**15)),
    "tensors without end": gguf_file([], [], counts=(10**15, 0)),
    "a million values of nothing": gguf_file([], [], counts=(0, 10**6)),
    "a long text": gguf_file([gguf_value(8, struct.pack("<Q", 2**62))], []),
    "a long name": gguf_file([struct.pack("<Q", 2**62)], [], counts=(0, 1)),
    "a long list": gguf_file([gguf_value(9, struct.pack("<IQ", 4, 2**60))], []),
    "a long list of texts": gguf_file([gguf_value(9, struct.pack("<IQ", 8, 2**60))], []),
    "a list of lists": gguf_file([gguf_value(9, struct.pack("<IQ", 9, 1))], []),
    "a kind of its own": gguf_file([gguf_value(77, b"")], []),
    "a name twice": gguf_file([gguf_value(4, b"1234")] * 2, []),
    "alignment 0": gguf_file([gguf_value(4, struct.pack("<I", 0), "general.alignment")], []),
    "a tensor of 10**18": gguf_file([], [gguf_tensor([10**9, 10**9])]),
    "nine dimensions": gguf_file([], [gguf_tensor([1] * 9)]),
    "no dimension": gguf_file([], [gguf_tensor([])]),
    "a type of its own": gguf_file([], [gguf_tensor([4], kind=99)]),
    "behind the file": gguf_file([], [gguf_tensor([4], offset=2**50)]),
    "version 9": gguf_file([], [], version=9),
    "nothing": lambda file: file.write_bytes(b""),
    "only a name": lambda file: file.write_bytes(b"GGUF"),
    "no GGUF": lambda file: file.write_bytes(b"x" * 100),
    "a pipe": lambda file: (file.unlink(), os.mkfifo(file)),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "/dev/zero": lambda file: (file.unlink(), file.symlink_to("/dev/zero")),
    "cut": lambda file: os.truncate(file, file.stat().st_size // 2),
    "a template without end": gguf_template(
        "{% for i in range(99999) %}{% for i in range(99999) %}{% endfor %}{% endfor %}"
    ),
    "bytes at random": lambda file: file.write_bytes(
        b"GGUF" + struct.pack("<I", 3) + random.Random(1).randbytes(9999)
    ),
}


ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    2**31,
    10**30,
    -(10**30),
    1e300,
    float("inf"),
    "",
    "x",
    "../x",
    "/dev/zero",
    "(a+)+$",
    "9" * 50,
    [],
    {},
    [1],
    ["x"],
    [[]],
    {"x": 1},
    {"Regex": "(a+)+$"},
    "\ud800",
    "\0",
]


def mutated(seed: int) -> Spoil:
    """One value somewhere in the JSON of a folder, or a few bytes of a header, made odd."""

    def spoil(source: Path) -> None:
        draw = random.Random(seed)
        files = sorted(source.glob("*.json")) if source.is_dir() else []
        if not files or draw.random() < 0.2:
            file = source if source.is_file() else next(source.glob("*model.safetensors"))
            raw = bytearray(file.read_bytes())
            for _ in range(draw.randint(1, 4)):
                raw[draw.randrange(min(len(raw), 3000))] = draw.choice([0, 1, 127, 255, draw.randrange(256)])
            file.write_bytes(bytes(raw))
            return
        file = draw.choice(files)
        row = at = json.loads(file.read_text())
        while True:
            key = draw.choice(sorted(at) if isinstance(at, dict) else range(len(at)))
            if isinstance(at[key], dict | list) and at[key] and draw.random() < 0.8:
                at = at[key]
                continue
            at[key] = draw.choice(ODD)
            break
        file.write_text(json.dumps(row))

    return spoil
