#!/usr/bin/env python3
"""llama.cpp (by xllamacpp, which ships it built) on what `alignlab export --gguf` wrote: the same tokens for
the same prompts, and greedy answers beside those of our own sampler.

    pip install xllamacpp; python benchmarks/clients/llama_cpp_check.py FILE.gguf ANSWERS.jsonl

ANSWERS.jsonl: rows of {"text": the rendered prompt, "ids": its token ids, "answer": token ids of our greedy
answer}, as `python benchmarks/clients/llama_cpp_check.py --write MODEL ANSWERS.jsonl [COUNT]` writes them
(run that one with alignlab's own Python).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from alignlab.sampling import Sampling


def write(model: str, file: str, count: str = "50") -> None:
    from alignlab import names
    from alignlab.models.chat import prompt_ids
    from alignlab.models.load import load_policy
    from alignlab.records import Prompt
    from alignlab.sampling.local import LocalSampler
    from alignlab.settings import ModelSettings

    policy = load_policy(names.models.model(model).path, ModelSettings(precision="fp32"))
    prompts = [
        Prompt(record.messages) for record in names.data.read("town:test", "prompt", count=int(count)).records
    ]
    found = LocalSampler.of(policy).sample(prompts, Sampling(max_new_tokens=48, temperature=0.0))
    with open(file, "w") as out:
        for prompt, [completion] in zip(prompts, found, strict=True):
            text = policy.tokenizer.apply_chat_template(
                [m.to_json() for m in prompt.messages], tokenize=False, add_generation_prompt=True
            )
            out.write(
                json.dumps(
                    {"text": text, "ids": prompt_ids(policy.tokenizer, prompt), "answer": completion.ids}
                )
                + "\n"
            )


def check(file: str, answers: str) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.n_parallel, params.port, params.cpuparams.n_threads = (
        file,
        512,
        1,
        0,
        1,
    )
    server = xllamacpp.Server(params)  # it goes away with its name

    def ask(path: str, row: dict[str, Any]) -> dict[str, Any]:
        request = Request(
            f"{server.listening_address}{path}",
            json.dumps(row).encode(),
            {"Content-Type": "application/json"},
        )
        return json.loads(urlopen(request, timeout=60).read())

    rows = [json.loads(line) for line in Path(answers).read_text().splitlines()]
    same_ids = same_answers = agreed = tokens = 0
    for row in rows:
        same_ids += (
            ask("/tokenize", {"content": row["text"], "add_special": True, "parse_special": True})["tokens"]
            == row["ids"]
        )
        found = ask(
            "/completion",
            {
                "prompt": row["ids"],
                "n_predict": len(row["answer"]),
                "temperature": 0,
                "top_k": 1,
                "return_tokens": True,
                "cache_prompt": False,
            },
        )
        written, want = found["tokens"], row["answer"]
        same_answers += written == want
        agreed += next(
            (i for i, (x, y) in enumerate(zip(written, want, strict=False)) if x != y),
            min(len(written), len(want)),
        )
        tokens += len(want)
    print(
        f"xllamacpp {xllamacpp.__version__}, {Path(file).name}: prompts with the same tokens {same_ids} of "
        f"{len(rows)}, "
        f"greedy answers the same {same_answers} of {len(rows)}, tokens up to the first difference "
        f"{agreed} of {tokens}"
    )


if __name__ == "__main__":
    write(*sys.argv[2:5]) if sys.argv[1] == "--write" else check(*sys.argv[1:3])
