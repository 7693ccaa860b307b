"""Stages about data alone: what is wrong with it, what the model sees of it, and out into a file."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .. import names
from ..errors import CheckFailed, ConfigError, UserError
from ..run import check_file
from ..settings import ModelSettings

if TYPE_CHECKING:
    from ..data.doctor import Diagnosis
    from ..data.formats import Want
    from ..data.read import Survey


def export(
    *,
    data: str,
    format: str,
    out: str,
    count: int,
    plain: bool,
    overwrite: bool,
    gguf: bool = False,
    merge: bool = False,
    model: str = "",
    quantize: str = "",
) -> dict[str, Any]:
    """Records of any data name into a file that others read; what the layout cannot carry is counted. With
    `gguf` or `merge` a model instead.
    """
    from ..data import layouts
    from ..data.write import write

    if gguf and merge:
        raise ConfigError(
            "--gguf writes a file and --merge a folder",
            remedy="take one of the two away: --gguf merges adapters, too",
        )
    if (gguf or merge) and data:
        raise ConfigError(
            f"--{'gguf' if gguf else 'merge'} writes a model, and --data names none",
            remedy="take one of the two away",
        )
    if quantize and not gguf:
        raise ConfigError("--quantize means nothing without --gguf", remedy="add --gguf, or take it away")
    if gguf:
        return export_gguf(model=model, out=out, kind=quantize or "q8_0", overwrite=overwrite)
    if merge:
        return export_merged(model=model, out=out, overwrite=overwrite)
    if model:
        raise ConfigError(
            "--model means nothing without --gguf or --merge", remedy="add one of them, or take it away"
        )
    if not data or not out:
        raise UserError(
            "export needs data and a file", remedy="alignlab export --data D --format trl --out FILE.jsonl"
        )
    check_file(Path(out), ours=lambda _: True)  # `write` says that it is there
    known = layouts.LAYOUTS.get(format)
    kind = names.data.kind(data)
    loaded = names.data.read(data, kind, count=count)
    report = write(loaded.records, Path(out), format=format, plain=plain, overwrite=overwrite)
    said = [loaded.report, str(report), out]
    return {
        "file": out,
        "kind": kind,
        **report.to_json(),
        "readers": known.readers if known else format,
        "text": "\n".join(line for line in said if line),
    }


def export_gguf(*, model: str, out: str, kind: str, overwrite: bool) -> dict[str, Any]:
    """A model as a GGUF file."""
    from ..interop.gguf import write_gguf
    from ..models.load import load_policy

    if not model or not out.endswith(".gguf"):
        raise UserError(
            "export --gguf needs a model and a .gguf file",
            remedy="alignlab export --gguf --model M --quantize q8_0 --out FILE.gguf",
        )
    if Path(out).exists() and not overwrite:
        raise UserError(f"{out} is there already", remedy="another --out, or --overwrite")
    check_file(Path(out), ours=lambda _: True)
    done = write_gguf(
        load_policy(names.known.model_path(model), ModelSettings(precision="fp32", device="cpu")),
        Path(out),
        kind=kind,
    )
    said = f"{out}: {done.tensors} tensors, {done.kind}, {done.bytes / 1e6:.1f} MB" + (
        f"; {done.plain} could not be quantised and are f16" if done.plain else ""
    )
    return {
        "file": out,
        "model": model,
        "quantize": done.kind,
        "tensors": done.tensors,
        "not_quantized": done.plain,
        "bytes": done.bytes,
        "text": said,
    }


def export_merged(*, model: str, out: str, overwrite: bool) -> dict[str, Any]:
    """A model as a plain folder of transformers: adapters added to the weights, in fp32, so that nothing is
    lost.
    """
    from ..models.load import Policy, load_merged, save_policy, save_reward_model
    from ..run import writing

    if not model or not out:
        raise UserError(
            "export --merge needs a model and a folder",
            remedy="alignlab export --merge --model M --out FOLDER",
        )
    if overwrite:
        raise ConfigError(
            "--overwrite replaces files: a folder, which may be a run, is never replaced",
            remedy="another --out",
        )
    if os.path.lexists(out):
        raise UserError(f"{out} is there already", remedy="another --out")
    made = load_merged(names.known.model_path(model))
    card = f"# {Path(model).name}\n\n`{model}` without adapters, in fp32, written by alignlab.\n"
    with writing(Path(out).parent):
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(made, Policy):
            save_policy(made, out, card=card)
        else:
            save_reward_model(made, out, card=card)
    size = sum(file.stat().st_size for file in Path(out).glob("*.safetensors"))
    return {
        "folder": out,
        "model": model,
        "bytes": size,
        "text": f"{out}: a plain model in fp32, {size / 1e6:.1f} MB",
    }


def view(*, model: str, data: str, count: int, chat_template: str = "") -> None:
    """Tokens and loss mask of the first rows, in colour."""
    from ..data.view import show

    records = names.data.read(data, names.data.kind(data), count=count).records[:count]
    from ..models.reader import load_reader

    show(
        records,
        load_reader(names.known.model_path(model), ModelSettings(chat_template=chat_template)).tokenizer,
    )


def doctor(
    *,
    data: str,
    model: str,
    reward: str,
    against: str,
    kind: str,
    max_length: int,
    chat_template: str,
    count: int,
) -> dict[str, Any]:
    """Every check of the data for a model; exit code 5 if something is broken."""
    if not data:
        raise UserError("no data is named", remedy="alignlab doctor DATA --model M")
    want = kind or names.data.kind(data)
    found = surveyed(data, want, count)
    other = surveyed(against, "text" if want == "text" else "prompt", 0).records if against else []
    from ..data.doctor import examine
    from ..models.reader import load_reader

    settings = ModelSettings(chat_template=chat_template)
    reader = load_reader(names.known.model_path(model), settings)
    scorer = load_reader(names.known.model_path(reward), settings) if reward else None
    diagnosis = examine(
        found.records,
        found.places,
        reader,
        source=data,
        kind=want,
        max_length=max_length,
        report=found.report,
        broken=found.broken,
        reward=scorer,
        against=other,
        against_name=against,
    )
    return {
        **diagnosis.to_json(),
        "load": found.report.to_json(),
        "model": model,
        "text": said(diagnosis, found, reader.tokenizer, max_length),
        "styled": sys.stdout.isatty(),
        "exit_code": CheckFailed.exit_code if diagnosis.broken else 0,
    }


def surveyed(name: str, want: str, count: int) -> Survey:
    """All of a data name, whatever is wrong with it; sets of the town and mixtures come as training gets
    them.
    """
    from ..data.mixture import PREFIX
    from ..data.read import LoadReport, Survey, survey

    if not name.startswith(("town:", PREFIX)):
        names.data.check_columns(name)
        names.known.check_finished(name)
        return survey(name, cast("Want", want), limit=count or None)
    records = list(names.data.read(name, want, count=count).records)
    return Survey(
        LoadReport(name, cast("Want", want), len(records), len(records), {want: len(records)}),
        records,
        [f"record {i}" for i in range(1, len(records) + 1)],
    )


def said(diagnosis: Diagnosis, found: Survey, tokenizer: Any, max_length: int = 0) -> str:
    """The findings for people, with the first row of each that the tokens explain; in colour on a terminal."""
    from rich.console import Console

    from ..data.lengths import told
    from ..data.view import show
    from ..text.escapes import visible

    console = Console(
        file=io.StringIO(), force_terminal=sys.stdout.isatty(), width=160, soft_wrap=True, highlight=False
    )

    def line(text: str, style: str = "") -> None:
        console.print(visible(text), style=style or None, markup=False)

    line(str(found.report))
    if t := diagnosis.tokens:
        line(
            (
                f"{t['sequences']:.0f} sequences: median {t['median']:.0f} tokens, 95 % at most "
                f"{t['p95']:.0f}, longest {t['longest']:.0f}"
            )
            + (
                f"; {t['trained_share']:.1%} of the tokens carry the loss"
                if diagnosis.kind != "prompt"
                else ""
            )
        )
        if len(diagnosis.lengths) > 1:
            line(
                "what each length keeps, where --truncate is "
                f"{diagnosis.truncate}:\n{told(diagnosis.lengths, here=max_length)}"
            )
    styles = {"broken": "bold red", "look": "yellow", "note": ""}
    for finding in diagnosis.findings:
        line(str(finding), styles[finding.verdict])
        if finding.check in SHOW_TOKENS and finding.rows:
            show([found.records[finding.rows[0]]], tokenizer, console=console, most=80)
    line(f"nothing found: {', '.join(diagnosis.passed)}")
    broken = len(diagnosis.broken)
    line(
        f"{broken} broken, {sum(f.verdict == 'look' for f in diagnosis.findings)} to look at"
        if diagnosis.findings
        else "nothing to mend"
    )
    return cast(io.StringIO, console.file).getvalue().rstrip("\n")


SHOW_TOKENS = (
    "empty-mask",
    "double-bos",
    "boundary-merges",
    "special-tokens-in-text",
    "same-tokens",
    "end-of-turn",
)
