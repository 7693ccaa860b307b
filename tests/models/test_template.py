"""Chat templates are filled in as transformers fills them in, and one that means harm is stopped, whatever it
does.
"""

from __future__ import annotations

import os
import random
import threading

import pytest

from alignlab.errors import ModelError
from alignlab.models import template
from alignlab.models.chat import prompt_ids
from alignlab.models.chat_template import end_token_id, install_template, marks
from alignlab.models.template import TemplateBound, fill
from alignlab.records import Message, Prompt

from .test_chat import TEMPLATES, THINKING

HI = (Message("user", "Hi, \u00e9\ud800 \u2028\n there"),)

USED = (
    TEMPLATES
    | THINKING
    | {
        "generation marks": (
            "{% for m in messages %}{% if m.role == 'user' %}U {{ m.content }}{% else %}{% generation %}{{ "
            "m.content }}<end>{% endgeneration %}{% endif %}{% endfor %}"
        ),
        "namespace and loop controls": "{% set ns = namespace(n=0, self=1) %}{% for m in messages %}"
        "{% if loop.first %}{% continue %}{% endif %}{% set ns.n = ns.n + 1 %}"
        "{% if ns.n > 1 %}{% break %}{% endif %}{{ m.content }}{% endfor %}{{ ns.n }}",
        "json": "{{ messages | tojson(indent=2) }}{{ dict(a=[1, '\u00e9<']) | tojson }}",
        "blocks trimmed": "{% if true %}\n  {% for m in messages %}\n    {{- m.content }}\n  {% endfor %}\n"
        "{% endif %}",
        "macro": (
            "{% macro say(m, mark='x') %}<{{ mark }}>{{ m.content | trim | upper }}{% endmacro %}{% for m "
            "in messages %}{{ say(m) }}{% endfor %}"
        ),
        "date": (
            "{{ strftime_now('%Y') }}{% if tools is none and documents is none %}none{% endif %}{{ "
            "bos_token }}{{ eos_token }}"
        ),
        "recursive": (
            "{% for m in messages[::-1] recursive %}{{ m.content if m is mapping else m }}{% if m is "
            "mapping %}{{ loop([m.role]) }}{% endif %}{% endfor %}"
        ),
    }
)


@pytest.mark.parametrize("name", USED)
def test_a_template_writes_what_it_writes_under_transformers(tokenizer, name):
    said = [*HI, Message("assistant", "an answer"), Message("user", "and?")]
    for messages in (HI, said[:2], said):
        for generation in (False, True):
            theirs = tokenizer.apply_chat_template(
                [m.to_json() for m in messages],
                chat_template=USED[name],
                tokenize=False,
                add_generation_prompt=generation,
            )
            assert fill(USED[name], messages, tokenizer.special_tokens_map, generation=generation) == theirs


REFUSED = {
    "their words": "{{ raise_exception('roles must alternate') }}",
    "no template": "{% for %}",
    "nothing of that name": "{{ nobody.name }}",
    "recursion": "{% macro f(x) %}{{ f(x) + f(x) }}{% endmacro %}{{ f(1) }}",
    "brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "out of the sandbox": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "under a namespace": "{% set n = namespace(__class__=1) %}",
    "a file": "{% include '/etc/passwd' %}",
    "a range": "{{ range(10**9) | list }}",
    "a huge number": "{{ 9**(9**6) }}",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_template_that_does_not_work_says_why(name):
    with pytest.raises(ModelError) as caught:
        fill(REFUSED[name], HI, {}, generation=True)
    assert (
        not isinstance(caught.value, TemplateBound) and caught.value.remedy and len(caught.value.what) < 500
    )


LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}BODY{% endfor %}{% endfor %}"
DOUBLED = (
    "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = STEP %}{% endfor %}{{ ns.s | "
    "length }}"
)
QUICK = {
    "loops": LOOP.replace("BODY", ""),
    "doubling": DOUBLED.replace("STEP", "ns.s + ns.s"),
    "joined": DOUBLED.replace("STEP", "[ns.s, ns.s] | join"),
    "tilde": DOUBLED.replace("STEP", "ns.s ~ ns.s"),
    "replaced": DOUBLED.replace("STEP", "ns.s.replace('a', ns.s)"),
    "times": "{{ 'a' * 10**10 }}",
    "percent": "{{ '%1000000000d' % 3 }}",
    "format": "{{ '{:>1000000000}'.format(1) }}",
    "center": "{{ 'x' | center(10**10) }}",
    "ljust": "{{ 'x'.ljust(10**10) }}",
    "list": "{{ ([0] * 10**9) | length }}",
    "writes much": "{% for i in range(3000) %}{{ 'a' * 1000 }}{% endfor %}",
    "long": "a" * (template.LONGEST + 1),
}
SLOW = {
    "power": "{{ (7 ** (9 ** 8)) % 10 }}",
    "indent": "{{ ('a\n' * 10**5) | indent(10**5) }}",
    "macros": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "lipsum": "{{ lipsum(n=10**6) }}",
    "slices": "{{ [1] | slice(10**9) | list }}",
    "batch": "{{ [1] | batch(10**9, 0) | list }}",
    "wordwrap": "{{ ('ab ' * 10**6) | wordwrap(1) | wordwrap(2) | length }}" * 40,
    "zfill": "{{ '1'.zfill(10**10) }}",
    "json indent": "{{ [[[[1]]]] | tojson(indent=10**9) }}",
    "output of nothing": LOOP.replace("BODY", "{{ '' }}"),
    "sorted": LOOP.replace("BODY", "{{ (range(99999) | sort | list)[:0] }}"),
    "expandtabs": "{{ '\t'.expandtabs(10**10) }}",
    "recursive loop": "{% for x in [[1]] recursive %}{% for i in range(9) %}{{ loop(x) }}{% endfor %}"
    "{% endfor %}",
    "striptags": LOOP.replace("BODY", "{{ (('<' * 9999) | striptags)[:0] }}"),
    "translate": "{{ ('a' * 10**6).translate({97: 'b' * 10**6}) }}",
    "while it has": (
        "{% for a in range(99999) %}{% for b in 'ab' * 99999 %}{% if a is divisibleby(b | length) %}{% "
        "endif %}{% endfor %}{% endfor %}"
    ),
}


@pytest.mark.parametrize("name", QUICK)
def test_a_template_without_end_is_stopped(name):
    with pytest.raises(TemplateBound, match="is stopped") as caught:
        fill(QUICK[name], HI, {}, generation=True)
    assert caught.value.exit_code == 4 and "--model.chat_template" in caught.value.remedy
    assert fill("{{ messages[0].content }}", HI, {}, generation=True) == HI[0].content, (
        "the next is filled in as ever"
    )


@pytest.mark.campaign
@pytest.mark.parametrize("name", SLOW)
def test_other_templates_without_end(name):
    with pytest.raises(ModelError):
        fill(SLOW[name], HI, {}, generation=True)


@pytest.mark.campaign
def test_programs_at_random_end():
    """Loops, doublings and filters put together by chance: each comes to an end, with a text or with a
    ModelError.
    """
    draw = random.Random(0)
    bound = 0
    for _ in range(60):
        body = "{{ ns.s | length }}"
        for _ in range(draw.randint(1, 4)):
            step = draw.choice(
                [
                    "ns.s + ns.s",
                    "ns.s * 99",
                    "ns.s | indent(99)",
                    "ns.s.replace('a', 'aa')",
                    "ns.s | center(9**9)",
                    "'%999s' % ns.s",
                    "ns.s | urlize",
                    "ns.s[::-1] ~ 'a'",
                ]
            )
            body = (
                f"{{% for i in range({draw.choice([9, 99, 99999])}) %}}{{% set ns.s = {step} %}}{body}{{% "
                f"endfor %}}"
            )
        try:
            fill("{% set ns = namespace(s='a <') %}" + body, HI, {}, generation=True)
        except ModelError:
            bound += 1
    assert 0 < bound < 60


def test_the_bound_holds_wherever_a_tokenizer_is_asked(tokenizer, tmp_path):
    tokenizer.chat_template = QUICK["doubling"]
    for call in (
        lambda: prompt_ids(tokenizer, Prompt.user("hi")),
        lambda: end_token_id(tokenizer),
        lambda: marks(tokenizer),
    ):
        with pytest.raises(TemplateBound):
            call()
    os.mkfifo(tmp_path / "pipe.jinja")
    for file in (tmp_path / "pipe.jinja", "/dev/zero", tmp_path):
        with pytest.raises(ModelError, match="chat template"):
            install_template(tokenizer, str(file))


def test_several_templates_by_name(tokenizer):
    plain = tokenizer.chat_template
    want = prompt_ids(tokenizer, Prompt.user("hi"))
    tokenizer.chat_template = {"tool_use": "{{ 1 }}", "default": plain}
    assert prompt_ids(tokenizer, Prompt.user("hi")) == want
    for odd in ({"tool_use": "{{ 1 }}"}, {"default": [1]}):
        tokenizer.chat_template = odd
        with pytest.raises(ModelError, match="chat template"):
            prompt_ids(tokenizer, Prompt.user("hi"))


def test_threads_and_forks_ask_side_by_side():
    found: dict[int, str] = {}
    threads = [
        threading.Thread(
            target=lambda i=i: found.update(
                {i: fill("{{ messages[0].content }}", [Message("user", str(i))], {}, generation=True)}
            )
        )
        for i in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: str(i) for i in range(20)}
    read, write = os.pipe()
    if not (child := os.fork()):
        os.write(write, fill("forked", HI, {}, generation=True).encode())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0 and os.read(read, 99) == b"forked"
    assert fill("{{ messages[0].content }}", [Message("user", "ours")], {}, generation=True) == "ours"
