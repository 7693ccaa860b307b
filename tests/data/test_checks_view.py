"""What fits the model is found before training, and the view shows what is trained on without harming the
terminal.
"""

import io
import unicodedata

import pytest

pytest.importorskip("alignlab.models.chat")

from rich.console import Console
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from alignlab import cli
from alignlab.data.checks import encode, fit
from alignlab.data.view import show, spelled, tokens
from alignlab.errors import DataError
from alignlab.models.chat import Rendered
from alignlab.records import Comparison, Completion, Demonstration, Prompt, Ranking, Text, Unpaired

HI = Prompt.user("Hi?")
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer():
    """One token a byte, and one for each turn mark."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    marks = ["<system>", "<user>", "<assistant>"]
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<end>", pad_token="<pad>", additional_special_tokens=marks
    )
    made.chat_template = TEMPLATE
    return made


# A record of HI takes 1 + 3 + 1 + 1 = 6 prompt tokens (<user>Hi?<end><assistant>); a completion of n letters
# n + 1 more (its <end>).


def test_encode_gives_one_sequence_a_completion(tokenizer):
    [shown] = encode(Demonstration(HI, "Yes."), tokenizer)
    assert (len(shown.ids), sum(shown.loss_mask)) == (11, 5)
    chosen, rejected = encode(Comparison(HI, "Yes.", "No", rejected_finished=False), tokenizer)
    assert chosen.ids == shown.ids and (len(rejected.ids), sum(rejected.loss_mask)) == (8, 2)
    assert encode(HI, tokenizer)[0].ids == shown.ids[:6]
    assert encode(Text("abc"), tokenizer)[0].loss_mask == [1, 1, 1]
    ranking = Ranking(HI, (Completion(HI, "a"), Completion(HI, "bc", finished=False)), (1, 2))
    assert [sum(s.loss_mask) for s in encode(ranking, tokenizer)] == [2, 2]


def test_too_long_is_dropped_and_counted(tokenizer):
    records = [Demonstration(HI, "x" * n) for n in (3, 4, 5, 50)]
    kept, report = fit(records, tokenizer, 11)
    assert kept == records[:2]
    assert (report.read, report.kept, report.longest, report.dropped) == (4, 2, 57, {"too long": 2})
    assert (report.tokens, report.learned) == (21, 9)
    assert str(report) == (
        "2 of 4 records fit into 11 tokens (longest 57); 9 of 21 tokens are trained on\n  dropped: 2 too "
        "long\n"
        "max_length   whole     cut    lost\n        11     50%      0%     50%   <- here\n       128   "
        " 100%      0%      0%"
    )
    with pytest.raises(DataError, match="no record fits") as caught:
        fit(records[3:], tokenizer, 11)
    assert caught.value.remedy == "raise max_length to 57, if the model's context holds as many"


def test_prompts_are_measured_with_the_generation_prompt(tokenizer):
    assert fit([HI, Prompt.user("Hello?")], tokenizer, 6)[0] == [HI]
    assert fit([Unpaired(HI, "Yes.", False)], tokenizer, 11)[1].kept == 1


def test_pairs_that_encode_alike_are_dropped(tokenizer):
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    try:
        composed, decomposed = "caf\u00e9", "cafe\u0301"
        kept, report = fit(
            [Comparison(HI, composed, decomposed), Comparison(HI, "Yes.", "No.")], tokenizer, 50
        )
        assert len(kept) == 1 and report.dropped == {"the same tokens chosen and rejected": 1}
    finally:
        tokenizer.backend_tokenizer.normalizer = None
    cut = Comparison(HI, "Yes", "Yes", rejected_finished=False)
    assert fit([cut], tokenizer, 50)[0] == [cut], "the end token alone can make the difference"


def test_a_ranking_goes_on_without_what_does_not_fit(tokenizer):
    def ranking(texts, ranks):
        return Ranking(HI, tuple(Completion(HI, text) for text in texts), ranks, "ann")

    kept, report = fit(
        [
            ranking(["a", "x" * 50, "b", "a"], (1, 2, 3, 4)),
            ranking(["a", "x" * 50], (1, 2)),
            ranking(["a", "b"], (2, 1)),
        ],
        tokenizer,
        20,
    )
    assert kept == [ranking(["a", "b"], (1, 3)), ranking(["a", "b"], (2, 1))]
    assert sum(report.dropped.values()) == 2 and report.tokens == 4 * 8


def test_a_row_with_nothing_to_learn_is_an_error(tokenizer):
    with pytest.raises(DataError, match="nothing to learn in comparison 'Hi\\?'") as caught:
        fit(
            [Comparison(HI, "Yes.", "No."), Comparison(HI, "Yes.", "", rejected_finished=False)],
            tokenizer,
            50,
        )
    assert caught.value.where == "record 2"


def printed(records, tokenizer, **options):
    console = Console(file=io.StringIO(), width=200, **options)
    show(records, tokenizer, console=console)
    return console.file.getvalue()


def test_view_without_colour_marks_what_is_trained_on(tokenizer):
    text = printed([Comparison(HI, "Yes.", "No", rejected_finished=False)], tokenizer)
    assert text.splitlines() == [
        "1 chosen: 11 tokens, 5 trained on",
        "<user>Hi?<end><assistant>⟦Yes.<end>⟧",
        "1 rejected: 8 tokens, 2 trained on",
        "<user>Hi?<end><assistant>⟦No⟧",
    ]
    assert "rank 2" in printed([Ranking(HI, (Completion(HI, "a"), Completion(HI, "b")), (2, 1))], tokenizer)


def test_view_with_colour(tokenizer):
    line = tokens(encode(Demonstration(HI, "[bold]é"), tokenizer)[0], tokenizer)
    assert line.plain == "<user>Hi?<end><assistant>[bold]Ã©<end>", (
        "markup is text, part of a character is its vocabulary entry"
    )
    styles = {line.plain[span.start : span.end]: str(span.style) for span in line.spans}
    assert "green" in styles["["] and "green" not in styles["H"] and "magenta" in styles["<user>"]
    assert "\x1b[" in printed(
        [Demonstration(HI, "Yes.")], tokenizer, force_terminal=True, color_system="truecolor"
    )


def test_nothing_in_the_data_reaches_the_terminal_as_a_command(tokenizer):
    nasty = "\x1b[31mred\x1b]0;title\x07\r\x00\x9b\u202eabc\u200b\u2028\U000e0041"
    shown = spelled(nasty + "\n")
    assert shown.startswith(
        "\\x1b[31mred\\x1b]0;title\\x07\\x0d\\x00\\x9b\\u202eabc\\u200b\\u2028\\U000e0041\\n"
    )
    assert not any(unicodedata.category(char)[0] == "C" for char in shown if char != "\n")
    assert "\x1b" not in printed([Demonstration(Prompt.user("\x1b[2J"), "\x1b]8;;x\x07")], tokenizer)
    assert tokens(Rendered([], []), tokenizer).plain == ""


def test_the_commands_that_only_look_take_a_template_as_every_stage_does(tokenizer, tmp_path, capsys):
    """A base model has none: what the error says to add is what the command takes."""
    from transformers import LlamaConfig, LlamaForCausalLM

    base = tmp_path / "base"
    tokenizer.chat_template, kept = None, tokenizer.chat_template
    tokenizer.save_pretrained(base)
    tokenizer.chat_template = kept
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
        )
    ).save_pretrained(base)
    data = tmp_path / "mine.jsonl"
    data.write_text('{"prompt": "Hi?", "completion": "Yes."}\n')
    asked = {
        "view": ["view", "--model", str(base), "--data", str(data)],
        "doctor": ["doctor", str(data), "--model", str(base)],
    }
    assert cli.main(asked["view"]) == 4 and "--model.chat_template chatml" in capsys.readouterr().err
    assert cli.main(asked["doctor"]) == 5 and "--model.chat_template chatml" in capsys.readouterr().out
    for words in asked.values():
        assert cli.main([*words, "--model.chat_template", "chatml"]) == 0, words
    assert (
        cli.main([*asked["view"], "--chat-template", "chatml"]) == 0
        and "<|im_start|>assistant" in capsys.readouterr().out
    )
