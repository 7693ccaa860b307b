"""How a model is asked for critiques, revisions and verdicts under a principle, and how its words are read.

Two forms. `DocumentForm` is the column of the town's editor and council, a text that the model goes on with:

    Editor.                              Verdict.
    Question: ..                         Question: ..
    Draft: ..                            (A) ..
    Principle: ..                        (B) ..
    Critique: ..                         Principle: ..
    Revision: ..                         Better: (A)

`DialogueForm` is a chat, with the constitution's examples as earlier turns, for any model that was taught to
chat.

Whatever a candidate wrote is quoted so that it cannot pose as the frame (`quoted`), and a verdict is never
read from words: only from the probabilities of the two `choices` after the frame
(`alignlab.sampling.choices`).
"""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from ..records import Prompt
from ..settings.defaults import known
from .asking import Critique
from .dialogue import DialogueForm
from .principles import Constitution, Principle
from .quoting import HEAD, LABEL, OPTION, SPECIAL, quoted

FINE = "This is fine."
FORMS = ("auto", "document", "dialogue")


class DocumentForm:
    """The town's editor and council: a text to go on with. Its model ends a document with the token between
    two of them (`documents`).
    """

    name: str = "document"
    documents: bool = True
    choices: tuple[str, str] = ("A)", "B)")
    fine: tuple[str, ...] = (f" {FINE}",)
    stop: tuple[str, ...] = (
        "\nEditor.",
        "\nVerdict.",
        "\nPrinciple:",
        "\nQuestion:",
        "\nDraft:",
        "\nBetter:",
    )

    def critique(self, prompt: Prompt, draft: str, principle: Principle) -> str:
        return (
            f"Editor.\n{_questions(prompt)}\nDraft: {quoted(draft)}\nPrinciple: "
            f"{principle.critique}\nCritique:"
        )

    def read_critique(self, text: str) -> Critique:
        critique = _first_line(text)
        return Critique(critique, bool(critique) and not critique.startswith(FINE.rstrip(".")))

    def read_both(self, text: str) -> tuple[Critique, str]:
        """Critique and revision of a model that wrote on to the end of the document; the revision is "" if it
        did not get there.
        """
        before, mark, after = text.partition("\nRevision:")
        return self.read_critique(before), self.read_revision(after) if mark else ""

    def revision(self, prompt: Prompt, draft: str, principle: Principle, critique: str) -> str:
        return f"{self.critique(prompt, draft, principle)} {quoted(critique)}\nRevision:"

    def read_revision(self, text: str) -> str:
        return _first_line(text)

    def leaks(self, text: str) -> bool:
        return any(mark.search(text) for mark in (OPTION, LABEL, HEAD, SPECIAL))

    def direct_revision(self, prompt: Prompt, draft: str, principle: Principle) -> str:
        return (
            f"Editor.\n{_questions(prompt)}\nDraft: {quoted(draft)}\nPrinciple: {principle.revise}\nRevision:"
        )

    def verdict(
        self, prompt: Prompt, first: str, second: str, principle: Principle, *, reasoning: str = ""
    ) -> str:
        thought = f"Reason: {quoted(reasoning)}\n" if reasoning else ""
        return f"{self._case(prompt, first, second, principle)}{thought}Better: ("

    def reasoning(self, prompt: Prompt, first: str, second: str, principle: Principle) -> str:
        return f"{self._case(prompt, first, second, principle)}Reason:"

    def read_reasoning(self, text: str) -> str:
        return _first_line(text)

    def standing(self, prompt: Prompt, draft: str, principle: Principle) -> str:
        return self.critique(prompt, draft, principle)

    def _case(self, prompt: Prompt, first: str, second: str, principle: Principle) -> str:
        return (
            f"Verdict.\n{_questions(prompt)}\n(A) {quoted(first)}\n(B) {quoted(second)}\nPrinciple: "
            f"{principle.compare}\n"
        )


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0].strip()


def _questions(prompt: Prompt) -> str:
    """The turns of a prompt as lines of a document. What a system message says stands before the first
    question.
    """
    before, lines = [], []
    for message in prompt.messages:
        text = quoted(message.content)
        if message.role == "system":
            before.append(text)
        else:
            lines.append(f"{'Question' if message.role == 'user' else 'Answer'}: {text}")
    system = " ".join(before)
    if system and lines:
        label, _, rest = lines[0].partition(": ")
        lines[0] = f"{label}: {system} {rest}"
    return "\n".join(lines)


def form_of(
    name: str, model: str = "", constitution: Constitution | None = None, *, shots: int = 3
) -> DocumentForm | DialogueForm:
    """The form of that name. `auto`: documents for a model folder whose card says that it reads the town's
    text, else a dialogue.

    Args:
        model: the folder (or hub name, or address) that is going to be asked.
        constitution: whose worked examples a dialogue shows.

    Raises:
        UserError: no such form, or a model of the town that has learned to answer and can be asked in
            neither.
    """
    if name not in FORMS:
        raise UserError(f"there is no form {name!r}", remedy="one of: " + ", ".join(FORMS))
    if name == "document" or name == "auto" and reads_documents(model):
        return DocumentForm()
    if name == "auto" and model and known(model).town:
        raise UserError(
            "this model of the town has learnt to answer, not to criticize, revise or judge",
            where=model,
            remedy="train a critic once (alignlab constitution critic --out runs/critic: some minutes on two "
            "cores) and name it, --critic or --judge-model runs/critic; "
            "or name town, the base model, which criticizes without reading the principle it is given",
        )
    return DialogueForm(constitution, shots=shots)


def reads_documents(folder: str) -> bool:
    """Whether the card of a model folder says that the model goes on with the town's documents: its base
    models, and critics made of them.
    """
    card = Path(folder) / "README.md"
    if not folder or not card.is_file():
        return False
    text = card.read_text(encoding="utf-8", errors="replace")
    return "A base model of the town" in text or "A critic of the town" in text
