"""Records into a file that others read, or a model into one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import names
from ..errors import ConfigError, UserError
from ..run import check_file
from ..settings import ModelSettings

if TYPE_CHECKING:
    pass


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
        load_policy(names.models.model(model).path, ModelSettings(precision="fp32", device="cpu")),
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
    from ..models.load import load_merged
    from ..models.policy import Policy
    from ..models.saving import save_policy, save_reward_model
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
    made = load_merged(names.models.model(model).path)
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
