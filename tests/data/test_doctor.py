"""The doctor: each fault is found with its rows and remedy, and sound data passes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("alignlab.models.chat")

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from alignlab import cli
from alignlab.data.checks import require_one_reading
from alignlab.data.doctor import CHECKS, examine
from alignlab.data.doctor.rows import damage_of
from alignlab.data.read import survey
from alignlab.errors import CheckFailed
from alignlab.models.reader import Reader
from alignlab.records import Comparison, Completion, Demonstration, Message, Prompt, Ranking, Text, Unpaired
from alignlab.text.near_duplicates import near_duplicates

TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<end>{% endfor %}{% if add_generation_prompt "
    "%}<assistant>{% endif %}"
)


def reader(template=TEMPLATE, *, context=100, stops=("<end>",), bos=False, merges=(), **special):
    """A token a byte (and what `merges` joins), and one for each turn mark; with `bos`, one that the
    tokenizer adds.
    """
    vocabulary = {char: i for i, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    for a, b in merges:
        vocabulary[a + b] = len(vocabulary)
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    options = {
        "eos_token": "<end>",
        "pad_token": "<pad>",
        "additional_special_tokens": ["<system>", "<user>", "<assistant>"],
    } | special
    made = PreTrainedTokenizerFast(tokenizer_object=inner, **options, **({"bos_token": "<s>"} if bos else {}))
    if bos:
        made.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", made.bos_token_id)]
        )
    made.chat_template = template
    return Reader(made, "test", context, frozenset(made.convert_tokens_to_ids(list(stops))))


PLAIN = reader()


def shown(*pairs):
    return [Demonstration(Prompt.user(asked), said) for asked, said in pairs]


GOOD = shown(
    ("Who bakes the bread?", "Igor does."),
    ("When does it open?", "At seven."),
    ("Where is the well?", "Behind the church."),
)


def look(records, model=PLAIN, **options):
    diagnosis = examine(
        records, [f"row {i}" for i in range(1, len(records) + 1)], model, source="data", kind="any", **options
    )
    assert (
        len({finding.check for finding in diagnosis.findings}) + len(diagnosis.passed) >= len(CHECKS) - 1
    ), "each check either passes or says something"
    assert all(finding.remedy and finding.what for finding in diagnosis.findings)
    json.dumps(diagnosis.to_json())
    return diagnosis


def finding(check, records, model=PLAIN, **options):
    found = [f for f in look(records, model, **options).findings if f.check == check]
    assert found, f"{check} was not found"
    return found[0]


def test_sound_data_passes():
    diagnosis = look(GOOD)
    assert not diagnosis.findings and diagnosis.tokens["sequences"] == 3 and "empty-mask" in diagnosis.passed
    assert diagnosis.tokens["trained_share"] == pytest.approx(
        sum(len(d.completion) + 1 for d in GOOD)
        / sum(len(d.prompt.text) + len(d.completion) + 4 for d in GOOD)
    )


def test_pad_is_end_and_no_pad():
    assert "pad token is an end token (<end>)" in finding("pad-is-end", GOOD, reader(pad_token="<end>")).what
    assert "no pad token" in finding("pad-is-end", GOOD, reader(pad_token=None)).what


def test_ends():
    silent = reader(
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}{% if "
        "add_generation_prompt %}<assistant>{% endif %}"
    )
    assert "writes no end token" in finding("end-of-turn", GOOD, silent).what
    other = finding("end-of-turn", GOOD, reader(stops=("<pad>",)))
    assert (
        other.verdict == "look" and "stop at <pad>" in other.what and "generation_config.json" in other.remedy
    )
    cut = Comparison(Prompt.user("Hi?"), "Ye", "N", chosen_finished=False, rejected_finished=False)
    assert (
        finding("end-of-turn", [cut]).verdict == "broken"
        and finding("end-of-turn", [cut, Comparison(Prompt.user("Yo?"), "a", "b")]).verdict == "look"
    )


def test_empty_masks():
    found = finding("empty-mask", [*GOOD, Completion(Prompt.user("Hi?"), "", finished=False)])
    assert (found.verdict, found.count, found.rows, found.examples) == ("broken", 1, (3,), ("row 4  'Hi?'",))


def test_templates_that_fail():
    assert "no chat template" in finding("template", GOOD, reader(None)).what
    strict = reader(
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
        + TEMPLATE
    )
    found = finding(
        "template",
        [*GOOD, Demonstration(Prompt((Message("system", "S"), Message("user", "Hi?"))), "Yes.")],
        strict,
    )
    assert found.count == 1 and found.verdict == "broken" and "no system turn" in found.what


def test_begin_tokens():
    assert "adds it too" in finding("double-bos", GOOD, reader("<s>" + TEMPLATE, bos=True)).what
    assert finding("double-bos", GOOD, reader("<s><s>" + TEMPLATE, bos=True)).verdict == "broken"
    missing = finding("double-bos", GOOD, reader(bos=True))
    assert missing.verdict == "look" and "does not" in missing.what
    came_with_it = replace(reader(bos=True), own_template=True)
    assert not [f for f in look(GOOD, came_with_it).findings if f.check == "double-bos"], (
        "so its makers taught it"
    )


def test_boundary_merges():
    spaced = reader(
        TEMPLATE.replace("<assistant>{% endif", "Answer: {% endif").replace(
            "<{{ m['role'] }}>", "{{ 'Answer: ' if m['role'] == 'assistant' else '<user>' }}"
        ),
        merges=(("\u0120", "A"),),
    )
    found = finding("boundary-merges", shown(("Hi?", "Ann."), ("Ho?", "Bob.")), spaced)
    assert (found.count, found.rows, found.verdict) == (1, (0,), "note") and "\u0120A" in found.examples[0]


def test_special_tokens_in_text():
    found = finding("special-tokens-in-text", [*GOOD, *shown(("Hi<end><assistant>Sure", "Yes."))])
    assert found.count == 1 and "'<end>' in 'Hi<end><assistant>Sure'" in found.examples[0]
    chatml = reader(
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}<end>{% endfor %}{% if "
        "add_generation_prompt %}[assistant]{% endif %}"
    )
    assert (
        "[assistant]"
        in finding("special-tokens-in-text", shown(("a [assistant] b", "Yes.")), chatml).examples[0]
    ), "a turn mark that is no special token"


def test_lengths():
    prompt = Prompt.user("Hi?")
    long, alike = Comparison(prompt, "x" * 120 + "a", "x" * 120 + "b"), Comparison(prompt, "yes", "no")
    found = look([long, alike])
    checks = {f.check: f for f in found.findings}
    assert (
        checks["too-long"].count == 1
        and "(50.0%)" in checks["too-long"].what
        and checks["alike-when-cut"].count == 1
    )
    nothing = finding("too-long", [long])
    assert nothing.verdict == "broken" and "nothing fits into 100 tokens" in nothing.what
    assert (
        finding("too-long", GOOD, max_length=5).verdict == "broken"
        and not look(GOOD, max_length=10**9).findings
    )
    ranking = Ranking(
        prompt, (Completion(prompt, "a"), Completion(prompt, "b"), Completion(prompt, "x" * 200)), (1, 2, 3)
    )
    assert finding("too-long", [ranking]).verdict == "look", (
        "a ranking goes on without the completion that does not fit"
    )


def test_damage():
    assert damage_of("caf\u00c3\u00a9") == "'\u00c3\u00a9' stands for '\u00e9': UTF-8 read as Windows-1252"
    assert (
        "stands for '\u2019'" in damage_of("don\u00e2\u20ac\u2122t")
        and "U+FFFD" in damage_of("caf\ufffd")
        and "U+0008" in damage_of("a\bb")
    )
    for sound in (
        "caf\u00e9",
        "\u00c3o \u00e2ge",
        "na\u00efve \u4e2d\u6587",
        "tab\tline\r\n",
        "\u00ab\u00c9t\u00e9\u00bb",
    ):
        assert damage_of(sound) == ""
    assert (
        finding("damaged-text", [*GOOD, *shown(("caf\u00c3\u00a9?", "Yes."))]).examples[0].startswith("row 4")
    )


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="cp1252", categories=["L"]), min_size=1, max_size=20))
def test_damage_is_found_wherever_utf_8_was_read_wrongly(text):
    wrong = "".join(
        chr(byte) if byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else bytes([byte]).decode("cp1252")
        for byte in text.encode()
    )
    assert bool(damage_of(wrong)) == (not text.isascii())


def test_rows_and_records(tmp_path):
    file = tmp_path / "data.jsonl"
    rows = [
        {"prompt": "a?", "completion": "A."},
        {"prompt": 5, "completion": "B."},
        {"instruction": "c?", "output": "C."},
        {"prompt": "d?", "completion": " "},
        {"prompt": "e\0?", "completion": "E."},
        {"prompt": "a?", "completion": "A."},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"prompt": "cut')
    found = survey(file, "demonstration")
    assert [place.rsplit(":", 1)[1] for place in found.places] == ["1", "3", "6"] and len(found.broken) == 3
    diagnosis = examine(
        found.records,
        found.places,
        PLAIN,
        source="data",
        kind="demonstration",
        report=found.report,
        broken=found.broken,
    )
    checks = {f.check: f for f in diagnosis.findings}
    assert (
        checks["unreadable-rows"].count == 3
        and checks["mixed-formats"].count == 1
        and checks["duplicates"].count == 1
        and checks["teaches-nothing"].count == 1
    )
    assert f"{file}:2" in checks["unreadable-rows"].examples[0] and "middle of a row" in str(found.broken[-1])
    assert survey(file, "demonstration", limit=2).report.kept == 2


def test_what_nobody_reads_and_what_was_guessed(tmp_path):
    def checks(rows, want):
        file = tmp_path / "data.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        found = survey(file, want)
        return {
            f.check: f
            for f in examine(
                found.records,
                found.places,
                PLAIN,
                source="data",
                kind=want,
                report=found.report,
                broken=found.broken,
            ).findings
        }

    found = checks(
        [{"prompt": "Hi?", "completion": "Yes.", "persona": "a pirate", "id": "7", "source": "web"}] * 2,
        "demonstration",
    )["columns-not-read"]
    assert (
        (found.verdict, found.count) == ("look", 2)
        and "persona (2 rows)" in found.what
        and "source" not in found.what
        and "--columns" in found.remedy
    )
    guessed = checks([{"chosen": "A week has 7 days", "rejected": "A week has 6 days"}], "comparison")
    assert (guessed["guessed-prompts"].verdict, guessed["guessed-prompts"].count) == (
        "look",
        1,
    ) and "columns-not-read" not in guessed
    pair = {
        "prompt": "[INST] Say what a week is. [/INST]",
        "chosen": "[INST] Say what a week is. [/INST] 7 days",
        "rejected": "[INST] Say what a week is. [/INST] 6 days",
        "margin": -1,
    }
    doubtful = checks(
        [pair, *({"prompt": f"Q{i}?", "chosen": "a", "rejected": "b", "margin": 1} for i in range(3))],
        "comparison",
    )
    assert {
        doubtful[name].verdict for name in ("templated-prompts", "prompts-in-answers", "negative-margins")
    } == {"look"}
    clean = checks(
        [{"prompt": "Hi?", "completion": "Yes.", "system_prompt": "S", "id": "7"}], "demonstration"
    )
    assert not {"columns-not-read", "guessed-prompts"} & clean.keys()


def test_labels_roles_and_contradictions():
    liked = [Unpaired(Prompt.user(f"Q{i}?"), f"answer {i}", i > 0) for i in range(30)]
    assert (
        finding("labels-alike", liked).verdict == "look"
        and finding("labels-alike", liked[1:]).verdict == "broken"
    )
    order = finding(
        "roles-out-of-order", [Demonstration(Prompt((Message("user", "a"), Message("user", "b"))), "Yes.")]
    )
    assert order.examples == ("row 1  user, user",)
    prompt = Prompt.user("Hi?")
    both = finding("contradictions", [Comparison(prompt, "a", "b"), Comparison(prompt, "b", "a")])
    assert both.count == 2


def test_length_bias():
    pairs = [
        Comparison(
            Prompt.user(f"Question {i}?"),
            "long answer" * (2 if i < 27 else 1),
            "long answer" * (1 if i < 27 else 2),
        )
        for i in range(30)
    ]
    found = finding("length-bias", pairs)
    assert found.verdict == "look" and found.what.startswith(
        "the chosen completion is the longer one in 0.900 [0.735, 0.979] of 30 pairs"
    ), found.what


def test_leaks():
    found = finding(
        "leaked-prompts",
        GOOD,
        against=[Prompt.user("who  BAKES the bread?"), Prompt.user("Where is the old mill?")],
        against_name="test.jsonl",
    )
    assert found.verdict == "broken" and (found.count, found.rows) == (1, (0,)) and "test.jsonl" in found.what
    assert not look(GOOD, against=[Prompt.user("Where is the old mill?")]).findings
    long = "The baker opens at seven on every day but Sunday, when he sleeps until the bells ring twice"
    assert (
        "0 the same but for case and blanks, 1 nearly"
        in finding("leaked-prompts", shown((long + ".", "Yes.")), against=[Prompt.user(long + "!?")]).what
    )


def test_a_reward_model_that_reads_otherwise():
    other = replace(
        reader(TEMPLATE.replace("<user>", "<user> ").replace("m['content']", "' ' + m['content']")), name="rm"
    )
    found = finding("reward-reads-otherwise", GOOD, reward=other)
    assert found.verdict == "broken" and found.count == 3 and "reward model" in found.examples[0]
    assert not look(GOOD, reward=reader()).findings
    merged = reader(merges=(("b", "r"),))
    assert "vocabularies differ" in finding("reward-reads-otherwise", GOOD[:1], reward=merged).examples[0]
    with pytest.raises(CheckFailed, match="read the same chat otherwise") as caught:
        require_one_reading(PLAIN.tokenizer, other.tokenizer, [GOOD[0].prompt], "rm")
    assert caught.value.exit_code == 5 and caught.value.remedy
    require_one_reading(PLAIN.tokenizer, reader().tokenizer, [d.prompt for d in GOOD], "rm")


def test_documents_have_no_turns():
    assert not look(
        [Text("The baker opens at seven."), Text("The mill stands by the river.")], reader(None)
    ).findings


WORDS = st.lists(
    st.sampled_from("the baker opens at seven and bread is good in town where igor lives".split()),
    min_size=12,
    max_size=40,
).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(WORDS, WORDS)
def test_near_duplicates_are_those_that_share_their_runs(a, b):
    def runs(text):
        return {text[i : i + 5] for i in range(len(text) - 4)}

    overlap = len(runs(a) & runs(b)) / len(runs(a) | runs(b))
    assert bool(near_duplicates([a, b])) == (overlap >= 0.8) or abs(overlap - 0.8) < 0.05
    assert near_duplicates([a, "x" * 50, "  ".join(a.upper().split(" "))]) == [(2, 0)], (
        "case and blanks do not count"
    )
    assert (
        near_duplicates([b, a, a], first=2) in ([(2, 0)], [(2, 1)])
        and near_duplicates([a, "", "y", ""]) == []
    )


# --- the command
# ------------------------------------------------------------------------------------------------------------


def run(*words, capsys):
    code = cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_the_command(tmp_path, capsys):
    code, out, err = run("doctor", "town:demos-clean", "--count", 40, capsys=capsys)
    assert code == 0 and "nothing found: unreadable-rows" in out and "nothing to mend" in out, err
    rows = [{"prompt": f"Where does number {i} live?", "completion": "By the well."} for i in range(30)] + [
        {"prompt": "Hi<|end|>", "completion": 3}
    ]
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, _ = run("doctor", file, "--against", file, "--json", capsys=capsys)
    document = json.loads(out)
    assert (
        code == 5
        and document["schema"] == 1
        and document["broken"] == 2
        and document["kind"] == "demonstration"
    )
    assert {f["check"] for f in document["findings"] if f["verdict"] == "broken"} == {
        "unreadable-rows",
        "leaked-prompts",
    }
    assert run("doctor", file, "--kind", "prompt", "--count", 30, capsys=capsys)[0] == 0, (
        "the broken row is behind the first 30"
    )


def test_the_command_shows_tokens_of_the_row(tmp_path, capsys):
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps({"prompt": "Hi <|end|> you", "completion": "Yes, I do."}) + "\n")
    code, out, _ = run("doctor", file, "--model", "town-s", capsys=capsys)
    assert code == 0 and "look   special-tokens-in-text: 1 of 1" in out and "⟦ Yes, I do.<|end|>⟧" in out, out
    assert "\x1b" not in out, "no colour off a terminal"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "no data is named"),
        (("nowhere.jsonl",), 4, "no such file"),
        (("town:demos", "--kind", "pairs"), 2, "no kind 'pairs'"),
        (("town:demos", "--model", "nowhere"), 4, "no model"),
        (("town:demos", "--against", "nowhere.jsonl", "--count", "5"), 4, "no such file"),
        (("town:demos", "--chat-template", "nowhere.jinja"), 4, "nowhere.jinja"),
    ],
)
def test_mistakes(words, code, says, capsys):
    found, _, err = run("doctor", *words, capsys=capsys)
    assert found == code and says in err, err


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hh_rlhf/harmless-base-train-1788.jsonl.gz", {"teaches-nothing": 4}),
        ("oasst_sample/oasst_ranked_pairs.jsonl", {"length-bias": 165}),
        ("llamafactory_demo/dpo_en_demo.json", {"duplicates": 5, "damaged-text": 2}),
        ("llamafactory_demo/kto_en_demo.json", {"special-tokens-in-text": 1}),
    ],
)
def test_real_files(name, expected, capsys):
    import os

    file = (
        Path(os.environ.get("ALIGNLAB_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data") / name
    )
    if not file.exists():
        pytest.skip(f"{name} is not there: set ALIGNLAB_DATA to the folder of real data")
    code, out, _ = run("doctor", file, "--json", capsys=capsys)
    document = json.loads(out)
    found = {f["check"]: f["count"] for f in document["findings"]}
    broken = {f["check"] for f in document["findings"] if f["verdict"] == "broken"}
    lost = document["lengths"][-1]["lost"] > document["records"] / 2  # of a model whose context is the town's
    assert (
        broken == ({"too-long"} if lost else set())
        and code == (5 if lost else 0)
        and found | expected == found
    ), found
