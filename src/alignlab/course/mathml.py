"""LaTeX -> MathML, for the plain constructs that the lecture writes: no script and no fonts, and screen
readers say it aloud. What is not known is refused, and all text is escaped; latex2mathml 3.81 lets markup and
addresses through, and braces that do not close.
"""

from __future__ import annotations

import re
from html import escape

_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\d+(?:[.,]\d+)*|\s+|.", re.DOTALL)
LETTERS = dict(
    alpha="α", beta="β", gamma="γ", delta="δ", epsilon="ε", varepsilon="ε", zeta="ζ", eta="η", theta="θ",
    kappa="κ", mu="μ", nu="ν", xi="ξ", pi="π", rho="ρ", sigma="σ", tau="τ", phi="φ", varphi="φ", chi="χ",
    psi="ψ", omega="ω", Gamma="Γ", Delta="Δ", Theta="Θ", Lambda="Λ", Pi="Π", Sigma="Σ", Phi="Φ", Psi="Ψ",
    Omega="Ω", infty="∞", ell="ℓ", partial="∂", nabla="∇",
) | {"lambda": "λ"}  # fmt: skip
SIGNS = dict(
    cdot="⋅", times="×", le="≤", leq="≤", ge="≥", geq="≥", ne="≠", neq="≠", approx="≈", sim="∼", pm="±",
    mid="|", to="→", rightarrow="→", leftarrow="←", succ="≻", prec="≺", ldots="…", cdots="⋯", dots="…",
    propto="∝", equiv="≡", ll="≪", gg="≫", vert="|", Vert="‖", colon=":", forall="∀", exists="∃",
    cup="∪", cap="∩", langle="⟨", rangle="⟩", lfloor="⌊", rfloor="⌋", lceil="⌈", rceil="⌉", circ="∘",
    odot="⊙", oplus="⊕", minus="−", lbrace="{", rbrace="}",
) | {"in": "∈"}  # fmt: skip
LARGE = dict(sum="∑", prod="∏", int="∫")
NAMED = "log ln exp min max arg argmax argmin sup inf lim Pr sin cos tanh det dim clip".split()
SPACES = {
    ",": "0.17em",
    ";": "0.28em",
    ":": "0.22em",
    "quad": "1em",
    "qquad": "2em",
    " ": "0.33em",
    "!": "0em",
}
ACCENTS = dict(hat="^", bar="¯", tilde="~", overline="¯", widehat="^", vec="→", dot="˙")
BOARD = {"E": "𝔼", "R": "ℝ", "N": "ℕ", "P": "ℙ", "1": "𝟙", "I": "𝕀"}
SCRIPT = {"D": "𝒟", "L": "ℒ", "N": "𝒩", "Y": "𝒴", "X": "𝒳", "J": "𝒥", "A": "𝒜", "S": "𝒮"}
LIMITS = {*LARGE, "min", "max", "argmax", "argmin", "lim"}  # what stands below these stands below, in a block


class NotPlain(ValueError):
    """LaTeX that is not among the plain constructs; the text names it."""


def mathml(latex: str, *, display: bool = False) -> str:
    """A `<math>` element. Raises NotPlain for a command that is not known here, or braces that do not
    close.
    """
    tokens = [token for token in _TOKEN.findall(latex)]
    rows = _Rows(tokens, display)
    try:
        row = rows.row(until="")
    except RecursionError:
        raise NotPlain("too many braces inside each other") from None
    kind = ' display="block"' if display else ""
    return f"<math{kind}><mrow>{row}</mrow></math>"


class _Rows:
    def __init__(self, tokens: list[str], display: bool) -> None:
        self.tokens, self.at, self.display = tokens, 0, display

    def peek(self) -> str:
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def row(self, until: str) -> str:
        parts = []
        while (token := self.peek()) != until:
            if not token or token == "}":
                raise NotPlain("braces or brackets do not close")
            parts.append(self.scripted())
        self.at += bool(until)
        return "".join(parts)

    def group(self) -> str:
        if self.peek() == "{":
            self.at += 1
            return f"<mrow>{self.row('}')}</mrow>"
        return self.atom()

    def raw(self) -> str:
        """The letters between braces."""
        if self.take() != "{":
            raise NotPlain("a command without braces after it")
        letters = []
        while (token := self.tokens[self.at] if self.at < len(self.tokens) else "") != "}":
            if not token:
                raise NotPlain("braces do not close")
            letters.append(token.removeprefix("\\") if len(token) == 2 else token)
            self.at += 1
        self.at += 1
        return "".join(letters)

    def scripted(self) -> str:
        token = self.peek()
        named = token.removeprefix("\\") if token.startswith("\\") else ""
        base = self.atom()
        below, above = "", []
        while (mark := self.peek()) in ("_", "^", "'"):
            self.at += 1
            if mark == "'":
                above.append("<mo>′</mo>")
            elif mark == "_":
                below = self.group()
            else:
                above.append(self.group())
        placed = _placed(base, below, above, self.display and named in LIMITS)
        if named not in NAMED:
            return placed
        gap = "" if self.peek() in ("(", "[", r"\left") else f'<mspace width="{SPACES[","]}"/>'
        return f"{placed}<mo>&#8289;</mo>{gap}"

    def atom(self) -> str:
        token = self.take()
        if not token:
            raise NotPlain("it ends where something is to follow")
        if token == "{":
            return f"<mrow>{self.row('}')}</mrow>"
        if not token.startswith("\\"):
            return _letter(token)
        name = token[1:]
        if name in ("frac", "dfrac", "tfrac"):
            return f"<mfrac>{self.group()}{self.group()}</mfrac>"
        if name == "sqrt":
            return f"<msqrt>{self.group()}</msqrt>"
        if name in ("text", "textrm", "textit", "mbox"):
            return f"<mtext>{escape(self.raw())}</mtext>"
        if name in ("mathrm", "operatorname", "mathit", "mathbf", "texttt", "mathtt"):
            return f'<mi mathvariant="normal">{escape(self.raw())}</mi>'
        if name in ("mathbb", "mathcal"):
            letter = self.raw()
            return f"<mi>{(BOARD if name == 'mathbb' else SCRIPT).get(letter, escape(letter))}</mi>"
        if name in ACCENTS:
            return f'<mover accent="true">{self.group()}<mo>{ACCENTS[name]}</mo></mover>'
        if name in ("left", "right", "big", "Big", "bigl", "bigr", "Bigl", "Bigr"):
            stretched = "true" if name in ("left", "right") else "false"
            return self.fence(stretched)
        if name in SPACES:
            return f'<mspace width="{SPACES[name]}"/>'
        return _named(name)

    def fence(self, stretchy: str) -> str:
        token = self.take()
        if not token:
            raise NotPlain("it ends where a bracket is to follow")
        sign = SIGNS.get(token.removeprefix("\\"), token.removeprefix("\\"))
        return "" if sign == "." else f'<mo stretchy="{stretchy}">{escape(sign)}</mo>'


def _placed(base: str, below: str, above: list[str], limits: bool) -> str:
    """The base with its scripts; `base` is one element."""
    over = above[0] if len(above) == 1 else f"<mrow>{''.join(above)}</mrow>"
    if below and above:
        kind = "munderover" if limits else "msubsup"
        return f"<{kind}>{base}{below}{over}</{kind}>"
    if below:
        kind = "munder" if limits else "msub"
        return f"<{kind}>{base}{below}</{kind}>"
    if above:
        kind = "mover" if limits else "msup"
        return f"<{kind}>{base}{over}</{kind}>"
    return base


def _named(name: str) -> str:
    if found := LETTERS.get(name):
        return f"<mi>{found}</mi>"
    if name in NAMED:
        return f"<mi>{name}</mi>"
    if found := LARGE.get(name):
        return f'<mo largeop="true">{found}</mo>'
    if found := SIGNS.get(name):
        return f"<mo>{escape(found)}</mo>"
    if name in ("{", "}", "%", "_", "#", "&", "$", "|"):
        return f"<mo>{escape('‖' if name == '|' else name)}</mo>"
    raise NotPlain(f"\\{name} is not among the plain constructs")


def _letter(token: str) -> str:
    if token[0].isdigit():
        return f"<mn>{token}</mn>"
    if token.isalpha():
        return f"<mi>{escape(token)}</mi>"
    if token in ("^", "_", "&", "}"):
        raise NotPlain(f"{token} stands where nothing is")
    signs = {"-": "−", "*": "∗"}
    stretchy = ' stretchy="false"' if token in "()[]|" else ""
    return f"<mo{stretchy}>{escape(signs.get(token, token))}</mo>"
