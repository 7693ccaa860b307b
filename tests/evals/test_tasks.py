"""Evaluation tasks: what each asks and how it scores, on rows written here and on the authors' files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from alignlab import names
from alignlab.errors import DataError, UserError
from alignlab.evals import by_name, gsm8k, ifeval, tasks, truthfulqa
from alignlab.evals.answers import Pairs, summarize
from alignlab.evals.ifeval_checks import CHECKS
from alignlab.records import Completion, Prompt, Score
from alignlab.report.page import write_report
from alignlab.settings import EvalSettings, ModelSettings, SamplingSettings
from alignlab.stages import evaluate


def asked(text: str = "Question?", **columns) -> Prompt:
    return Prompt.user(text, columns=columns)


def value(task: tasks.Task, prompt: Prompt, answer: str) -> float:
    assert task.score
    ((question,), _) = task.questions([prompt])
    return task.score(Completion(question, answer)).value


@pytest.mark.parametrize(
    ("name", "reference", "right", "wrong"),
    [
        ("exact:answer", "Paris", " Paris\n", "In Paris"),
        ("exact:answer", ["4", 5], "5", "45"),
        ("contains:answer", "paris", "It is PARIS.", "It is Rome."),
        ("number:answer", "1,200 apples", "So 3 times 400 is 1200.0", "1200 less 1 is 1199"),
        ("number:answer", -3, "It is -3.", "It is 3."),
        ("regex:answer", r"\bcat(s|)\b", "two cats", "catalogue"),
    ],
)
def test_scorers_by_name(name: str, reference, right: str, wrong: str) -> None:
    task = by_name.named(name)
    assert (value(task, asked(answer=reference), right), value(task, asked(answer=reference), wrong)) == (
        1,
        0,
    )


@pytest.mark.parametrize(
    ("name", "columns", "words"),
    [
        ("exact:answer", {"solution": "4"}, "no column 'answer'"),
        ("exact:answer", {"answer": "  "}, "is empty"),
        ("exact:answer", {"answer": {"a": 1}}, "neither text nor a number"),
        ("number:answer", {"answer": "many"}, "holds no number"),
        ("regex:answer", {"answer": "("}, "no regular expression"),
        ("regex:answer", {"answer": "(a*)*b"}, "is not run"),
        ("gsm8k", {"answer": "18"}, "no number behind ####"),
        (
            "ifeval",
            {"instruction_id_list": ["punctuation:no_comma"], "kwargs": []},
            "two lists of one length",
        ),
        ("ifeval", {"instruction_id_list": ["startend:end_checker"], "kwargs": [{}]}, "end_phrase"),
        ("truthfulqa", {"mc1_targets": {"a": 1}, "mc2_targets": {"a": 1, "b": 0}}, "mc1_targets must have"),
    ],
)
def test_a_row_of_other_data_says_so(name: str, columns: dict, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        by_name.named(name).questions([asked(**columns)])
    assert f"--task {name}" in caught.value.what and caught.value.remedy


@pytest.mark.parametrize("name", ["exact", "gsm8", "exact:", "no_such_module:task", "my task"])
def test_a_name_that_is_no_task(name: str) -> None:
    with pytest.raises(UserError) as caught:
        by_name.check(name)
    assert caught.value.remedy


def test_gsm8k_by_its_authors_rule() -> None:
    prompt = asked(answer="He has 1,000 and 24.\n#### 1,024")
    for answer, right, loosely in (
        ("It is\n#### 1024", 1, 1),
        ("#### 1,024.", 0, 1),  # the authors take the full stop as part of the number
        ("The answer is 1024", 0, 1),
        ("#### 1024 and then #### 7", 1, 0),
        ("#### 7", 0, 0),
    ):
        score = gsm8k.score(Completion(prompt, answer))
        assert (score.value, score.parts["last_number"]) == (right, loosely), answer
    assert gsm8k.question(prompt).text.startswith("Question?\n\n") and "####" in gsm8k.question(prompt).text


KEPT = {  # kind: kwargs, an answer that keeps it, one that does not
    "keywords:existence": ({"keywords": ["cat", "dog"]}, "Cats and dogs", "Cats"),
    "keywords:frequency": ({"keyword": "a", "frequency": 2, "relation": "at least"}, "a A", "a"),
    "keywords:forbidden_words": ({"forbidden_words": ["cat"]}, "A catalogue", "A Cat."),
    "keywords:letter_frequency": (
        {"letter": "#", "let_frequency": 2, "let_relation": "less than"}, "# one", "# and #",
    ),
    "length_constraints:number_words": ({"num_words": 3, "relation": "less than"}, "two words", "it's three"),
    "length_constraints:number_sentences": (
        {"num_sentences": 2, "relation": "at least"}, "One. \"Two!\" Three", "3.5 is one",
    ),
    "length_constraints:number_paragraphs": ({"num_paragraphs": 2}, "a *** b ***", "a *** *** b"),
    "length_constraints:nth_paragraph_first_word": (
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Then"}, "One\n\n\"then, two", "Then\n\nOne",
    ),
    "detectable_content:number_placeholders": ({"num_placeholders": 2}, "[a] and [b]", "[a"),
    "detectable_content:postscript": ({"postscript_marker": "P.P.S"}, "Bye\np. p.s more", "P.S. more"),
    "detectable_format:number_bullet_lists": ({"num_bullets": 2}, "* one\n- two", "* one\n** two"),
    "detectable_format:number_highlighted_sections": ({"num_highlights": 2}, "*a* and *b*", "*a* and * *"),
    "detectable_format:multiple_sections": (
        {"section_spliter": "Section", "num_sections": 2},
        "Section 1\na\nSection 2\nb",
        "Section 1 Section b",
    ),
    "detectable_format:title": ({}, "<<a title>>", "<<>>"),
    "detectable_format:json_format": ({}, "```json\n{\"a\": 1}\n```", "{a: 1}"),
    "detectable_format:constrained_response": ({}, "My answer is no.", "My answer is sure."),
    "combination:two_responses": ({}, "one ****** two", "one ****** one"),
    "combination:repeat_prompt": ({"prompt_to_repeat": "Say it"}, "say it again", "I say it"),
    "startend:end_checker": ({"end_phrase": "The end."}, '"... the END."', "The end. Or not"),
    "startend:quotation": ({}, ' "quoted" ', '"'),
    "punctuation:no_comma": ({}, "none here", "one, here"),
    "change_case:english_capital": ({}, "ALL 3 UP", "ALL Up"),
    "change_case:english_lowercase": ({}, "all 3 down", "all Down"),
    "change_case:capital_word_frequency": (
        {"capital_frequency": 2, "capital_relation": "less than"}, "ONE up", "TWO UP",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHECKS)
def test_every_check_of_ifeval_by_an_answer_that_keeps_it_and_one_that_does_not(kind: str) -> None:
    options, kept, broken = KEPT[kind]
    prompt = asked(instruction_id_list=[kind], kwargs=[options])
    found = [ifeval.score(Completion(prompt, text)) for text in (kept, broken, " ")]
    assert [score.value for score in found] == [1, 0, 0] and kind in found[1].reason


def test_ifeval_loose_and_by_instruction() -> None:
    prompt = asked(
        instruction_id_list=["startend:quotation", "punctuation:no_comma"], kwargs=[{}, {"num_words": None}]
    )
    texts = ['Sure, here it is:\n"All of it"', '"a, b"']
    scores = [ifeval.score(Completion(prompt, text)) for text in texts]
    assert [(score.value, score.parts["loose"]) for score in scores] == [(0, 1), (0, 0)]
    results = [(Completion(prompt, text), score) for text, score in zip(texts, scores, strict=True)]
    summary = summarize(ifeval.TASK, {"greedy": results})
    assert summary["prompt_strict"]["mean"] == 0 and summary["prompt_loose"]["mean"] == 0.5
    assert summary["instruction_strict"]["mean"] == 0.25 and summary["instruction_loose"]["mean"] == 0.75
    assert summary["instruction_strict"]["instructions"] == 4
    assert summary["by_instruction"]["startend:quotation"]["mean"] == 0.5


def test_answers_to_a_prompt_that_is_asked_twice_count_once_together() -> None:
    task = tasks.Task("own", figures={"kept": "kept"}, breakdowns=("kind",))
    questions = [Prompt.user(text, kind="k") for text in ("Again?", "Again?", "Once?")]
    scores = [Score(value, parts={"kept": value}) for value in (1.0, 0.0, 1.0)]
    results = [(Completion(prompt, "x"), score) for prompt, score in zip(questions, scores, strict=True)]
    there = [0.0, 0.0, 1.0]
    wins = Pairs([score.value for score in scores], there, [prompt.id for prompt in questions])
    summary = summarize(task, {"greedy": results}, wins)
    for found in (summary["score"], summary["kept"], summary["by_kind"]["k"]):
        assert found["mean"] == 0.75 and found["n"] == 2
    won, tied = summary["win_rate_vs_sft"], summary["ties_vs_sft"]
    assert won["mean"] == (0.75 + 0.5) / 2 and tied["mean"] == (0.5 + 1) / 2 and won["n"] == tied["n"] == 2


def test_what_cannot_be_checked_is_not_asked_and_never_passes() -> None:
    spoken = asked(instruction_id_list=["language:response_language"], kwargs=[{"language": "de"}])
    plain = asked("Other?", instruction_id_list=["punctuation:no_comma"], kwargs=[{}])
    assert by_name.named("ifeval").questions([spoken, plain]) == ([plain], 1)
    with pytest.raises(DataError, match="can score none"):
        by_name.named("ifeval").questions([spoken])


def test_truthfulqa_by_hand() -> None:
    prompt = asked(mc1_targets={"true": 1, "false": 0}, mc2_targets={"true": 1, "so": 1, "false": 0, "no": 0})
    assert truthfulqa.choices(prompt) == ["true", "false", "so", "no"]
    logps = [math.log(share) for share in (0.2, 0.1, 0.3, 0.4)]
    score = truthfulqa.choose(prompt, logps)
    assert score.value == 1 and score.parts["mc2"] == pytest.approx(0.5)
    assert truthfulqa.choose(prompt, [-3.0, -2.0, -9.0, -9.0]).value == 0


def test_the_authors_files_are_read_whole(data_dir: Path) -> None:
    for name, file, count, left_out in (
        ("gsm8k", "gsm8k/test.jsonl", 1319, 0),
        ("ifeval", "ifeval/input_data.jsonl", 541, 31),
        ("truthfulqa", "truthfulqa/mc_task.json", 790, 0),
    ):
        prompts = names.data.read_data(str(data_dir / file), "prompt").records
        questions, missing = by_name.named(name).questions(prompts)
        assert (len(questions) + missing, missing) == (count, left_out)
    kinds = {kind for prompt in prompts for kind in prompt.meta["columns"].get("instruction_id_list", ())}
    assert kinds <= {*CHECKS, "language:response_language"}


SMALL = EvalSettings(
    prompts=4,
    sampled=False,
    sampling=SamplingSettings(temperature=0.0, max_new_tokens=8),
    model=ModelSettings(threads=1),
)
TOWN_WORDS = ("town's", "of the town", "people, places", "interview", "Askell", "gold", "look-alikes")


def ask(out: Path, **options) -> dict:
    given = {"model": "town-s", "judge": "", "baseline": "", "seed": 0, "resume": False, "settings": SMALL}
    return evaluate(**given | options, out=out)


def test_a_task_of_ones_own_from_file_to_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"How much is {i} plus {i}?", "answer": str(2 * i)} for i in range(6)]
    Path("sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("own_tasks.py").write_text(
        "from alignlab.evals.tasks import Task, Words\n"
        "from alignlab.records import Score\n"
        "def brief():\n"
        "    return Task('brief', figure='brevity', score=lambda c: Score(1 / (1 + len(c.text))),\n"
        "                words=Words(note='n = {n} of {data}, {0.__class__}', heads={'brevity': 'brevity "
        "<b>'}))\n"
    )
    exact = ask(Path("runs/exact"), task="number:answer", data="sums.jsonl")
    brief = ask(Path("runs/brief"), task="own_tasks:brief", data="sums.jsonl")
    assert exact["summary"]["accuracy"]["n"] == 4 and exact["summary"]["task"]["name"] == "number:answer"
    assert 0 < brief["summary"]["brevity"]["mean"] <= 1
    again = ask(Path("runs/again"), task="number:answer", data="sums.jsonl", baseline="runs/exact")
    assert again["summary"]["paired"]["greedy"]["mean"] == 0
    page = write_report([Path("runs")], Path("page.html")).read_text(encoding="utf-8")
    assert (
        "the last number in the answer is the last number in answer" in page and "brevity &lt;b&gt;" in page
    )
    assert "n = 4 of sums.jsonl, {0.__class__}" in page and "How much is 0 plus 0?" in page
    assert not [words for words in TOWN_WORDS if words in page]


def test_what_a_task_of_ones_own_does_wrong_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    Path("bad_tasks.py").write_text(
        "from alignlab.evals.tasks import Task\n"
        "def none(): return 3\n"
        "def fails(): return Task('fails', score=lambda c: 1 / 0)\n"
    )
    with pytest.raises(UserError, match="returned int, and no task"):
        by_name.named("bad_tasks:none")
    with pytest.raises(DataError, match="bad_tasks:fails failed: ZeroDivisionError"):
        value(by_name.named("bad_tasks:fails"), asked(), "anything")


def test_a_task_by_likelihood_writes_nothing(tmp_path: Path) -> None:
    targets = {"Yes.": 1, "No, never.": 0}
    rows = [
        {"question": f"Is {i} a number?", "mc1_targets": targets, "mc2_targets": targets} for i in range(3)
    ]
    file = tmp_path / "mc.json"
    file.write_text(json.dumps(rows))
    summary = ask(tmp_path / "mc", task="truthfulqa", data=str(file))["summary"]
    assert summary["mc1"]["n"] == 3 and 0 < summary["mc2"]["mean"] < 1 and summary["mean_length"] is None
    page = write_report([tmp_path / "mc"], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "MC2" in page and "greedy" not in page.split("<h2>The same prompts")[0].split("</style>")[1]


def test_who_scores_is_said_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="scores by itself"):
        ask(tmp_path / "a", task="gsm8k", data="town:test", judge="town:gold")
    with pytest.raises(UserError, match="is not asked on town:test") as caught:
        ask(tmp_path / "a", task="gsm8k", data="town:test")
    assert "grade-school-math" in (caught.value.remedy or "")
    with pytest.raises(UserError, match="needs a judge"):
        ask(tmp_path / "a", data="mine.jsonl")


def test_words_of_a_run_folder_may_be_anything() -> None:
    for value in (None, [], {"heads": [], "glossary": [["a"], 3, ["t", {}]], "note": 7, "knows": "yes"}):
        words = tasks.Words.from_json(value)
        assert not words.knows and all(isinstance(text, str) for term in words.glossary for text in term)
    task = tasks.Task("t", words=tasks.Words(heads={"a": "b"}, glossary=[("x", "y")], knows=True))
    assert tasks.Words.from_json(json.loads(json.dumps(task.summary()))) == task.words


def test_figures_of_a_task_by_its_own_names() -> None:
    task = tasks.Task("t", figure="f", figures={"more": "part"}, breakdowns=("kind",))
    results = [
        (Completion(Prompt.user("q", kind=k), "a b"), Score(v, {"part": 1.0}))
        for k, v in (("x", 1.0), ("y", 0.0))
    ]
    summary = summarize(task, {"greedy": results})
    assert summary["f"]["mean"] == 0.5 and summary["more"]["mean"] == 1 and summary["mean_length"] == 2
    assert {kind: row["mean"] for kind, row in summary["by_kind"].items()} == {"x": 1, "y": 0}
