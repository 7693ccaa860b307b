"""The checks of IFEval, each a function of the answer and what the row's `kwargs` say. They do what the
authors' do, with four differences, as three libraries of theirs are not here:

- `length_constraints:number_sentences`: sentences end at . ! or ? before a blank or the end; theirs are cut
  by a trained model (nltk's punkt), which knows abbreviations
- `change_case:capital_word_frequency`: words are cut at blanks and at punctuation; theirs by nltk's tokenizer
- `change_case:english_capital`, `change_case:english_lowercase`: the letters alone are looked at; theirs must
  also be found to be English (langdetect)

`language:response_language` needs langdetect and is not here. Keywords are taken as plain text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

Check = Callable[..., bool]
CHECKS: dict[str, Check] = {}


def check(kind: str) -> Callable[[Check], Check]:
    def add(function: Check) -> Check:
        CHECKS[kind] = function
        return function

    return add


def holds(count: int, relation: str, bound: int) -> bool:
    if relation == "less than":
        return count < bound
    if relation == "at least":
        return count >= bound
    raise ValueError(f"no relation {relation!r:.40}")


# --- keywords and letters ---


def occurrences(word: str, answer: str) -> int:
    return len(re.findall(re.escape(word), answer, re.IGNORECASE))


@check("keywords:existence")
def keywords_exist(answer: str, keywords: Sequence[str]) -> bool:
    return all(occurrences(word, answer) for word in keywords)


@check("keywords:frequency")
def keyword_frequency(answer: str, keyword: str, frequency: int, relation: str) -> bool:
    return holds(occurrences(keyword, answer), relation, frequency)


@check("keywords:forbidden_words")
def no_forbidden_word(answer: str, forbidden_words: Sequence[str]) -> bool:
    return not any(re.search(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE) for word in forbidden_words)


@check("keywords:letter_frequency")
def letter_frequency(answer: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    if len(letter) != 1:
        raise ValueError(f"{letter!r:.20} is not one letter")
    return holds(answer.lower().count(letter.lower()), let_relation, let_frequency)


# --- lengths ---


@check("length_constraints:number_words")
def number_of_words(answer: str, num_words: int, relation: str) -> bool:
    return holds(len(re.findall(r"\w+", answer)), relation, num_words)


@check("length_constraints:number_sentences")
def number_of_sentences(answer: str, num_sentences: int, relation: str) -> bool:
    sentences = [part for part in re.split(r"(?<=[.!?])[\"')\]]*\s+", answer.strip()) if part.strip()]
    return holds(len(sentences), relation, num_sentences)


@check("length_constraints:number_paragraphs")
def number_of_paragraphs(answer: str, num_paragraphs: int) -> bool:
    """Paragraphs are parted by three asterisks; the first and the last may be empty and do not count."""
    first, *middle = re.split(r"\s?\*\*\*\s?", answer)
    *middle, last = middle or [""]
    if not all(part.strip() for part in middle):
        return False
    return len(middle) + bool(first.strip()) + bool(last.strip()) == num_paragraphs


@check("length_constraints:nth_paragraph_first_word")
def first_word_of_paragraph(answer: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Paragraphs are parted by an empty line; the n-th, empty ones counted, begins with the word."""
    paragraphs = answer.split("\n\n")
    count = sum(bool(paragraph.strip()) for paragraph in paragraphs)
    if not 1 <= nth_paragraph <= count:
        return False
    words = paragraphs[nth_paragraph - 1].split()
    if not words:
        return False
    begins = re.split(r"[.,?!'\"]", words[0].lstrip("'").lstrip('"'), maxsplit=1)[0]
    return count == num_paragraphs and begins.lower() == first_word.lower()


# --- forms ---


@check("detectable_content:number_placeholders")
def number_of_placeholders(answer: str, num_placeholders: int) -> bool:
    return len(re.findall(r"\[.*?\]", answer)) >= num_placeholders


@check("detectable_content:postscript")
def has_postscript(answer: str, postscript_marker: str) -> bool:
    patterns = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    pattern = patterns.get(postscript_marker) or re.escape(postscript_marker.lower())
    return re.search(pattern, answer.lower()) is not None


@check("detectable_format:number_bullet_lists")
def number_of_bullets(answer: str, num_bullets: int) -> bool:
    stars = re.findall(r"^\s*\*[^*].*$", answer, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", answer, re.MULTILINE)
    return len(stars) + len(dashes) == num_bullets


@check("detectable_format:number_highlighted_sections")
def number_of_highlights(answer: str, num_highlights: int) -> bool:
    """*One* or **two** asterisks around something; what has two is found both ways, as there."""
    single = [text for text in re.findall(r"\*[^\n*]*\*", answer) if text.strip("*").strip()]
    double = [text for text in re.findall(r"\*\*[^\n*]*\*\*", answer) if text[2:-2].strip()]
    return len(single) + len(double) >= num_highlights


@check("detectable_format:multiple_sections")
def number_of_sections(answer: str, section_spliter: str, num_sections: int) -> bool:
    parts = re.split(rf"\s?{re.escape(section_spliter)}\s?\d+\s?", answer)
    return len(parts) - 1 >= num_sections


@check("detectable_format:title")
def has_title(answer: str) -> bool:
    return any(title.strip("<>").strip() for title in re.findall(r"<<[^\n]+>>", answer))


@check("detectable_format:json_format")
def is_json(answer: str) -> bool:
    text = answer.strip()
    for mark in ("```json", "```Json", "```JSON", "```"):
        text = text.removeprefix(mark)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


@check("detectable_format:constrained_response")
def is_one_of_three(answer: str) -> bool:
    return any(f"My answer is {word}." in answer for word in ("yes", "no", "maybe"))


# --- beginnings, ends, case ---


@check("combination:two_responses")
def are_two_responses(answer: str) -> bool:
    parts = answer.split("******")
    if not all(part.strip() for part in parts[1:-1]):
        return False
    responses = [part.strip() for part in parts if part.strip()]
    return len(responses) == 2 and responses[0] != responses[1]


@check("combination:repeat_prompt")
def repeats_prompt(answer: str, prompt_to_repeat: str) -> bool:
    return answer.strip().lower().startswith(prompt_to_repeat.strip().lower())


@check("startend:end_checker")
def ends_with(answer: str, end_phrase: str) -> bool:
    return answer.strip().strip('"').lower().endswith(end_phrase.strip().lower())


@check("startend:quotation")
def is_quoted(answer: str) -> bool:
    text = answer.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


@check("punctuation:no_comma")
def has_no_comma(answer: str) -> bool:
    return "," not in answer


@check("change_case:english_capital")
def is_capital(answer: str) -> bool:
    return answer.isupper()


@check("change_case:english_lowercase")
def is_lowercase(answer: str) -> bool:
    return answer.islower()


@check("change_case:capital_word_frequency")
def capital_words(answer: str, capital_frequency: int, capital_relation: str) -> bool:
    words = re.findall(r"\w+(?:[-'.]\w+)*", answer)
    return holds(sum(word.isupper() for word in words), capital_relation, capital_frequency)
