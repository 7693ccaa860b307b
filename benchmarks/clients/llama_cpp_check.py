#!/usr/bin/env python3
"""llama.cpp on what `alignlab export --gguf` wrote: the same tokens for the same prompts, and greedy answers beside those of our own sampler.

    pip install llama-cpp-python; python benchmarks/clients/llama_cpp_check.py FILE.gguf ANSWERS.jsonl

ANSWERS.jsonl: rows of {"text": the rendered prompt, "ids": its token ids, "answer": token ids of our greedy answer}, as
`python benchmarks/clients/llama_cpp_check.py --write MODEL ANSWERS.jsonl [COUNT]` writes them (run that one with alignlab's own Python).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def write(model: str, file: str, count: str = "50") -> None:
    from alignlab import names
    from alignlab.models.chat import prompt_ids
    from alignlab.models.load import load_policy
    from alignlab.records import Prompt
    from alignlab.sampling.local import LocalSampler
    from alignlab.settings import ModelSettings

    policy = load_policy(names.model_path(model), ModelSettings(precision="fp32"))
    prompts = [Prompt(record.messages) for record in names.data("town:test", "prompt", count=int(count)).records]
    found = LocalSampler(policy.model, policy.tokenizer, end_ids=policy.end_ids).sample(prompts, max_new_tokens=48, temperature=0.0)
    with open(file, "w") as out:
        for prompt, [completion] in zip(prompts, found, strict=True):
            text = policy.tokenizer.apply_chat_template([m.to_json() for m in prompt.messages], tokenize=False, add_generation_prompt=True)
            out.write(json.dumps({"text": text, "ids": prompt_ids(policy.tokenizer, prompt), "answer": completion.ids}) + "\n")


def check(file: str, answers: str) -> None:
    import llama_cpp

    model = llama_cpp.Llama(file, n_ctx=512, verbose=False, logits_all=False, n_threads=1)
    rows = [json.loads(line) for line in Path(answers).read_text().splitlines()]
    same_ids = same_answers = agreed = tokens = 0
    for row in rows:
        same_ids += model.tokenize(row["text"].encode(), add_bos=False, special=True) == row["ids"]
        model.reset()
        written: list[int] = []
        for token in model.generate(row["ids"], temp=0.0, top_k=1, repeat_penalty=1.0):
            written.append(token)
            if len(written) == len(row["answer"]):
                break
        same_answers += written == row["answer"]
        agreed += next((i for i, (a, b) in enumerate(zip(written, row["answer"], strict=True)) if a != b), len(written))
        tokens += len(row["answer"])
    print(f"llama-cpp-python {llama_cpp.__version__}, {Path(file).name}: prompts with the same tokens {same_ids} of {len(rows)}, "
          f"greedy answers the same {same_answers} of {len(rows)}, tokens up to the first difference {agreed} of {tokens}")


if __name__ == "__main__":
    write(*sys.argv[2:5]) if sys.argv[1] == "--write" else check(*sys.argv[1:3])
