"""Every layout out: what it carries comes back equal, what it cannot is counted and never silently lost."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alignlab.data import load_records, write
from alignlab.data.formats import KINDS, detect
from alignlab.data.layouts import ASIDE, BLANKS, LABEL, LAYOUTS, PLAIN, TRL, layout, parts
from alignlab.data.write import WRITERS, WriteReport, rows_of
from alignlab.errors import DataError, ResourceError, UserError
from alignlab.records import Comparison, Completion, Demonstration, Message, Prompt, Ranking, Text, Unpaired

HI = Prompt.user("Hi?")
PIECES = [
    "Hi?",
    "a",
    "b c",
    "\n\nHuman: x",
    "\n\nAssistant:",
    "é\u2028中",
    " pad ",
    'say "so", then',
    "line\r\nline\rline",
    "1",
    "true",
    "{}",
    "[]",
    '[{"role": "user", "content": "x"}]',
    "{'from': 'gpt', 'value': 'x'}",
    "\t",
    "\ufeff",
    "\x1b",
]
WORD = st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join).filter(str.strip)
NOTES = st.sampled_from([{}, {}, {"source": "s", "n": 1}])


@st.composite
def prompts(draw):
    turns = [Message("user", draw(WORD))]
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        turns += [Message("assistant", draw(WORD)), Message("user", draw(WORD))]
    if draw(st.integers(0, 9)) == 0:
        turns.insert(0, Message("user", draw(WORD)))
    if draw(st.booleans()):
        turns.insert(
            draw(st.sampled_from([0, 0, 0, 1])) if len(turns) > 1 else 0, Message("system", draw(WORD))
        )
    return Prompt(tuple(turns), draw(NOTES))


FINISHED = st.sampled_from([True, True, True, False])


@st.composite
def pairs(draw):
    chosen, rejected = draw(st.lists(WORD, min_size=2, max_size=2, unique_by=str.strip))
    return Comparison(
        draw(prompts()),
        chosen,
        rejected,
        draw(st.none() | st.floats(-9, 9)),
        draw(st.integers(0, 5)) == 0,
        draw(FINISHED),
        draw(FINISHED),
        draw(NOTES),
        draw(st.sampled_from([None, None, 0.2, 0.75, 1.0])),
    )


@st.composite
def rankings(draw):
    prompt = draw(prompts())
    texts = draw(st.lists(WORD, min_size=2, max_size=4, unique_by=str.strip))
    ranks = draw(
        st.lists(st.integers(1, 4), min_size=len(texts), max_size=len(texts)).filter(
            lambda ranks: len(set(ranks)) > 1
        )
    )
    completions = tuple(
        Completion(prompt, text, finished=draw(FINISHED), source=draw(st.sampled_from(["", "m"])))
        for text in texts
    )
    soft = (
        {
            "labels": draw(st.lists(st.floats(0, 1), min_size=6, max_size=6))[
                : len(texts) * (len(texts) - 1) // 2
            ]
        }
        if draw(st.booleans())
        else {}
    )
    return Ranking(prompt, completions, tuple(ranks), draw(st.sampled_from(["", "ann"])), draw(NOTES) | soft)


RECORDS = {
    "text": st.builds(Text, WORD, NOTES),
    "prompt": prompts(),
    "demonstration": st.builds(Demonstration, prompts(), WORD, NOTES),
    "comparison": pairs(),
    "ranking": rankings(),
    "unpaired": st.builds(Unpaired, prompts(), WORD, st.booleans()),
}
SPELLINGS = [(one, False) for one in LAYOUTS.values() if one.kind] + [(one, True) for one in PLAIN.values()]


def bare(record, loses):
    """The record without what the layout loses, as far as order of ranks and completions does not matter."""
    if isinstance(record, Text):
        return Text(record.text)
    strip = str.strip if BLANKS in loses else str
    prompt = Prompt(
        tuple(
            Message(m.role, strip(m.content))
            for m in (record if isinstance(record, Prompt) else record.prompt).messages
        )
    )
    match record:
        case Demonstration():
            return Demonstration(prompt, strip(record.completion))
        case Unpaired():
            return Unpaired(prompt, strip(record.completion), record.label)
        case Comparison():
            record = record.favoured if LABEL in loses else record
            return Comparison(
                prompt,
                strip(record.chosen),
                strip(record.rejected),
                None if "a margin" in loses else record.margin,
                record.tie,
                record.chosen_finished,
                record.rejected_finished,
                label=record.label,
            )
        case Ranking():
            places = sorted(set(record.ranks))
            rows = sorted(
                (places.index(rank), c.text, c.finished, "" if "who wrote it" in loses else c.source)
                for rank, c in zip(record.ranks, record.completions, strict=True)
            )
            return (
                prompt,
                rows,
                "" if "who ranked it" in loses else record.annotator,
                None if LABEL in loses else record.meta.get("labels"),
            )
    return prompt


@pytest.mark.parametrize(
    ("one", "plain"), SPELLINGS, ids=[f"{one.name}{'-plain' * plain}" for one, plain in SPELLINGS]
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_written_is_read_back_and_the_rest_is_counted(tmp_path, one, plain, data):
    records = data.draw(
        st.lists(
            RECORDS[one.kind],
            min_size=1,
            max_size=4,
            unique_by=lambda r: json.dumps(str(bare(r, {BLANKS, *ASIDE}))),
        )
    )
    ending = data.draw(st.sampled_from([".csv", ".jsonl"] if plain else [".jsonl", ".json", ".parquet"]))
    carried = [record for record in records if not parts(record) & one.leaves_out]
    path = tmp_path / f"out{ending}"
    if not carried:
        with pytest.raises(DataError, match="left out"):
            write(records, path, format=one.name, plain=plain, overwrite=True)
        return
    report = write(records, path, format=one.name, plain=plain, overwrite=True)
    assert report.read == len(records) and report.written == len(carried)
    assert sum(report.left_out.values()) == len(records) - len(carried)
    for part in (ASIDE | {BLANKS}) & one.loses:
        assert report.lost.get(part, 0) == sum(part in parts(record) for record in carried)
    loaded = load_records(path, one.kind)
    assert len(loaded.report.formats) == 1
    assert [bare(record, one.loses) for record in loaded.records] == [
        bare(record, one.loses) for record in carried
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("kind", RECORDS)
def test_our_own_layout_loses_nothing(tmp_path, kind, data):
    records = [
        record
        for record in data.draw(
            st.lists(RECORDS[kind], min_size=1, max_size=3, unique_by=lambda r: json.dumps(r.to_json()))
        )
        if not getattr(record, "tie", False) and not parts(record) & LAYOUTS["records"].leaves_out
    ]
    if records and len({bare(record, {BLANKS, *ASIDE}).__repr__() for record in records}) == len(records):
        report = write(records, tmp_path / "r.jsonl", format="records", overwrite=True)
        assert not report.left_out and not report.lost
        assert load_records(tmp_path / "r.jsonl", kind).records == records


@pytest.mark.parametrize(
    ("one", "plain"), SPELLINGS, ids=[f"{one.name}{'-plain' * plain}" for one, plain in SPELLINGS]
)
def test_each_layout_is_detected_by_its_columns(one, plain):
    pair = Comparison(HI, "Yes.", "No.")
    record = {
        "text": Text("t"),
        "prompt": HI,
        "demonstration": Demonstration(HI, "Yes."),
        "comparison": pair,
        "unpaired": Unpaired(HI, "Yes.", False),
        "ranking": Ranking(HI, (Completion(HI, "No."), Completion(HI, "Yes.")), (2, 1)),
    }[one.kind]
    [row] = rows_of(record, one, WriteReport(one.name))
    assert detect(row) == {"alpaca-preference": "preference", "ultrafeedback": "ranking"}.get(
        one.name, one.name
    )


def test_trl_columns_are_trls():
    [row] = rows_of(Comparison(HI, "Yes.", "No.", 1.5), LAYOUTS["preference"], WriteReport(""))
    user, yes, no = (
        {"role": "user", "content": "Hi?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "assistant", "content": "No."},
    )
    assert row == {"prompt": [user], "chosen": [yes], "rejected": [no], "margin": 1.5}
    assert rows_of(Unpaired(HI, "Yes.", True), LAYOUTS["unpaired"], WriteReport("")) == [
        {"prompt": [user], "completion": [yes], "label": True}
    ]
    [hh] = rows_of(Comparison(HI, "Yes.", "No."), LAYOUTS["hh"], WriteReport(""))
    assert hh == {
        "chosen": "\n\nHuman: Hi?\n\nAssistant: Yes.",
        "rejected": "\n\nHuman: Hi?\n\nAssistant: No.",
    }
    [old] = rows_of(
        Ranking(HI, (Completion(HI, "b"), Completion(HI, "a")), (2, 1)),
        LAYOUTS["llamafactory-ranking"],
        WriteReport(""),
    )
    assert old == {"instruction": "Hi?", "input": "", "output": ["a", "b"]}
    assert {kind for kind in KINDS} == set(TRL)


def test_a_ranking_gives_its_pairs_and_ties_are_counted(tmp_path):
    ranking = Ranking(
        HI,
        tuple(Completion(HI, text, source="m", finished=text != "d") for text in "abcd"),
        (1, 2, 2, 3),
        "ann",
    )
    report = write([ranking], tmp_path / "pairs.jsonl")
    assert (report.layout, report.written) == ("preference", 2)
    assert report.left_out == {"a tie": 1, "an unfinished completion": 3} and report.lost == {
        "who ranked it": 1,
        "who wrote it": 1,
    }
    assert (
        "left out: 3 with an unfinished completion (first: record 1), 1 with a tie (first: record 1)"
        in str(report)
    )
    liked = write(
        [Comparison(HI, "Yes.", "No.", 2.0), Comparison(HI, "a", "b", rejected_finished=False)],
        tmp_path / "kto.jsonl",
        format="unpaired",
    )
    assert (
        liked.written == 3
        and liked.left_out == {"an unfinished completion": 1}
        and liked.lost == {"a margin": 1}
    )
    shown = write(
        [Completion(HI, "Yes."), Completion(HI, "Ye", finished=False), Unpaired(HI, "No.", False)],
        tmp_path / "sft.jsonl",
    )
    assert shown.written == 1 and sum(shown.left_out.values()) == 2


def test_margins_may_be_on_some_rows_only(tmp_path):
    rows = [Comparison(HI, "a", "b"), Comparison(HI, "c", "d", 0.5)]
    for ending in WRITERS:
        write(rows, tmp_path / f"a{ending}")
        assert [c.margin for c in load_records(tmp_path / f"a{ending}", "comparison").records] == [None, 0.5]
    assert sorted(file.suffix for file in tmp_path.iterdir()) == sorted(WRITERS), (
        "no staging file stays behind"
    )


def test_csv_holds_texts_alone(tmp_path):
    turns = Demonstration(
        Prompt((Message("user", "Q"), Message("assistant", "A"), Message("user", "Hi?"))), "Yes."
    )
    report = write([turns, Demonstration(HI, "Yes.")], tmp_path / "a.csv", format="alpaca")
    assert (
        report.written == 1
        and report.left_out == {"a list, which CSV cannot hold": 1}
        and report.examples == {"a list, which CSV cannot hold": 1}
    )
    with pytest.raises(DataError, match="nothing can be written"):
        write([turns], tmp_path / "b.csv", format="sharegpt")


def test_what_cannot_be_asked_for(tmp_path, monkeypatch):
    shown = [Demonstration(HI, "Yes.")]
    (tmp_path / "there.jsonl").write_text("mine")
    for path, options, says in (
        ("there.jsonl", {}, "there already"),
        ("a.txt", {}, "ending in .txt"),
        ("a.jsonl", {"format": "sharegtp"}, "no layout"),
        ("a.jsonl", {"format": "hh", "plain": True}, "no spelling with texts"),
        ("a.parquet", {"format": "records"}, "Parquet"),
    ):
        with pytest.raises(UserError, match=says) as caught:
            write(shown, tmp_path / path, **options)
        assert caught.value.remedy
    assert (tmp_path / "there.jsonl").read_text() == "mine"
    write(shown, tmp_path / "there.jsonl", overwrite=True)
    with pytest.raises(DataError, match="cannot be read as a text"):
        write(shown, tmp_path / "a.jsonl", format="text")
    with pytest.raises(DataError, match="no records"):
        write([], tmp_path / "a.jsonl")
    assert (
        layout("llamafactory", "comparison").name == "sharegpt-preference"
        and layout("openrlhf", "demonstration").name == "alpaca"
    )

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(WRITERS, ".jsonl", full)
    with pytest.raises(ResourceError, match="No space"):
        write(shown, tmp_path / "full.jsonl")
