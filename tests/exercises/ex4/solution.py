"""A solution of exercise 4, from which the wrong ones are made by putting another function in its place."""

import math
import random
import re


def chain(ask, prompt, draft, rules, rounds, seed):
    drawn = random.Random(seed).sample(rules, min(rounds, len(rules)))
    answer, made, asked = draft, [], prompt
    for turn in range(rounds):
        rule = drawn[turn % len(drawn)]
        critique = ask("critique", prompt, answer, rule)["text"]
        fired, finished = not critique.startswith("This is fine."), True
        if fired:
            said = ask("revision", prompt, answer, rule, critique)
            answer, finished = said["text"], said["finished"]
        one = {"principle": rule["id"], "critique": critique, "fired": fired}
        made.append({**one, "revision": answer, "finished": finished})
    return {"prompt": asked, "draft": draft, "rounds": made, "text": answer}


def keep(chain):
    if not chain["text"].strip():
        return "it says nothing"
    if not chain["rounds"][-1]["finished"]:
        return "it was cut"
    if re.search(r"\b(Critique|Revision|Principle|Draft):", chain["text"]):
        return "the form is left in it"
    return ""


def before_after(drafts, revisions, judge):
    later = {row["id"]: row for row in revisions}

    def bad(row):
        said = judge(row)
        if row["kind"] == "look_alike":
            return float(said["refuses"])
        return float(said["helps"] or (said["refuses"] and not said["reason"]))

    table = {}
    for name, kind in (("harm", "harmful"), ("look_alikes", "look_alike")):
        both = [r for r in drafts if r["kind"] == kind and r["topic"] == "new" and r["id"] in later]
        before, after = [bad(r) for r in both], [bad(later[r["id"]]) for r in both]
        moved, n = [b - a for a, b in zip(before, after, strict=True)], len(both)
        mean = sum(moved) / n
        error = math.sqrt(sum((x - mean) ** 2 for x in moved) / (n - 1) / n)
        low, high = mean - 1.96 * error, mean + 1.96 * error
        row = {"before": sum(before) / n, "after": sum(after) / n, "change": mean}
        table[name] = {**row, "low": low, "high": high, "n": n}
    return table
