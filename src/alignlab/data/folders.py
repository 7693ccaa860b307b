"""Where the rows of a source are: a file, a folder of files (by split, as the `datasets` library finds them),
a folder that library saved, a run, the hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, cast

from ..errors import DataError
from ..text.documents import Malformed, from_json, read_text
from ..text.escapes import first_line
from ..text.nearest import nearest_path
from .bounds import SUFFIXES, Rows, suffix
from .files import file_rows
from .formats import Want
from .own import own_rows, reader_in

SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
"""Words in the name of a file or folder, and the split that `datasets` takes them for
(`datasets.data_files.SPLIT_KEYWORDS`)."""
WORD = re.compile(rf"(?<![^\W\d_])({'|'.join(SPLITS)})(?![^\W\d_])", re.IGNORECASE)
HELD_OUT = re.compile(
    r"(?<![^\W\d_])((test|val|valid|validation|dev|eval)(set|data|split)|h[eo]ld[\W_]?out|unseen)(?![^\W\d_])",
    re.IGNORECASE,
)  # said otherwise
PACKED = (
    ".zst",
    ".bz2",
    ".xz",
    ".lz4",
    ".zip",
    ".tar",
    ".tsv",
    ".arrow",
    ".feather",
    ".jsonlines",
    ".xlsx",
)  # files of rows that are not read
SHARD = re.compile(
    r"(\w+(?:\.\w+)*)-\d{5}-of-\d{5}"
)  # data/NAME-00000-of-00001.parquet, as the hub writes splits of any name
NO_ROWS = (
    "config.json",
    "dataset_info.json",
    "dataset_infos.json",
    "dataset_dict.json",
)  # of the library's own
RUN_FILES: dict[
    Want, tuple[str, ...]
] = {  # files of a run's data folder that hold what is wanted, the best first
    "text": ("texts",),
    "prompt": ("prompts", "demonstrations", "rankings", "comparisons"),
    "demonstration": ("demonstrations", "comparisons", "rankings"),
    "comparison": ("comparisons", "rankings"),
    "ranking": ("rankings", "comparisons"),
    "unpaired": ("unpaired", "rankings", "comparisons"),
}


def sources(source: str | Path, want: Want, split: str) -> list[tuple[str, Rows]]:
    """The files (or the saved or fetched set, or what a reader of the user's own finds) behind a source, each
    with its rows.

    Raises:
        DataError: there is no such source, or the split is not in it.
    """
    if own := reader_in(str(source)):
        return [(str(source), own_rows(*own))]
    path = local(source)
    if not path.is_dir():
        return (
            [(str(path), file_rows(path))]
            if path.exists()
            else [(str(source), _hub_rows(str(source), path, split))]
        )
    if (path / "run.json").exists():
        return [(str(file), file_rows(file)) for file in run_files(path, want, split)]
    if is_saved(path):
        return [(str(path), _saved_rows(path, split))]
    return [(str(file), file_rows(file)) for file in folder_files(path, split)]


def local(source: str | Path) -> Path:
    """The path that a source may be. Raises DataError where the system cannot look there."""
    try:
        path = Path(source).expanduser()
        path.exists()
        return path
    except RuntimeError as error:  # ~NAME of nobody
        raise DataError(
            f"no such file or folder: {error}", where=str(source), remedy="write the whole path"
        ) from error
    except OSError as error:
        raise DataError(
            f"no file or folder of that name can be looked for: {error.strerror or error}",
            where=str(source),
            remedy="check the path and its permissions",
        ) from error


def run_files(run: Path, want: Want, split: str) -> list[Path]:
    for name in RUN_FILES[want]:
        file = run / "data" / (f"{name}.jsonl" if split == "train" else f"{name}_{split}.jsonl")
        if file.exists():
            return [file]
    held = ", ".join(sorted(f.stem for f in (run / "data").glob("*.jsonl"))) or "nothing"
    raise DataError(
        f"the run holds no {want} data for the split {split!r}",
        where=str(run / "data"),
        remedy=f"it holds {held}; a {want} is read from {' or '.join(RUN_FILES[want])}",
    )


def folder_files(folder: Path, split: str) -> list[Path]:
    """The data files of a folder that belong to a split; all of them are `train` where no name says a split.

    A word such as `train` or `test` between other characters than letters, in the name of a file or of a
    folder on the way to it, says its split.

    Raises:
        DataError: no data file, none of that split, a file of none beside others, or a file of two.
    """
    there = [
        file
        for file in sorted(folder.rglob("*"))
        if suffix(file) in (*SUFFIXES, *PACKED)
        and file.name not in NO_ROWS
        and file.is_file()
        and not any(part.startswith((".", "__")) for part in file.relative_to(folder).parts)
    ]
    files = [file for file in there if suffix(file) in SUFFIXES]
    if saved := next(
        (file.parent for file in files if file.name == "state.json" and is_saved(file.parent)), None
    ):
        raise DataError(
            "the folder holds sets that the `datasets` library saved, each by itself",
            where=str(folder),
            remedy=f"give one of them, such as {saved}",
        )
    if not files:
        raise DataError(
            "the folder holds no data files",
            where=str(folder),
            remedy=f"give a file or folder of {', '.join(SUFFIXES)}",
        )
    if len(files) < len(there):
        packed = next(file for file in there if suffix(file) in PACKED)
        raise DataError(
            f"files ending in {packed.suffix} are not read, and this one stands beside others that are",
            where=str(packed),
            remedy=f"write it as one of {', '.join(SUFFIXES)} (also .gz), or take it out of the folder",
        )
    found = {file: _splits_of(file.relative_to(folder)) for file in files}
    if not any(found.values()):
        if held := next((file for file in files if HELD_OUT.search(str(file.relative_to(folder)))), None):
            raise DataError(
                "the file is held out by its name, and no name here says train",
                where=str(held),
                remedy=(
                    "put train or test between other characters than letters into the names, as in "
                    "train_data.jsonl; or give the files by name"
                ),
            )
        found = dict.fromkeys(files, {"train"})
    for file, names in found.items():
        if len(names) != 1:
            what = (
                f"the file is of two splits by its path: {' and '.join(sorted(names))}"
                if names
                else "the file is of no split, and others in the folder are"
            )
            raise DataError(
                what,
                where=str(file),
                remedy=(
                    "put train or test into its name or its folder's; or give the files that you want, or "
                    "their folder, by name"
                ),
            )
    chosen = _chosen({name for names in found.values() for name in names}, split, folder)
    return [file for file, names in found.items() if chosen in names]


def _splits_of(path: Path) -> set[str]:
    if len(path.parts) == 2 and path.parts[0] == "data" and (shard := SHARD.match(path.name)):
        return {shard[1]}
    return {SPLITS[word.lower()] for part in path.parts for word in WORD.findall(part)}


def _chosen(names: set[str], split: str, where: Path) -> str:
    """The split of that name, or else the only one that has the word in its name (`train_sft`). Raises
    DataError.
    """
    split = SPLITS.get(split, split)
    near = (
        [split]
        if split in names
        else sorted(name for name in names if split in {SPLITS[word.lower()] for word in WORD.findall(name)})
    )
    if len(near) == 1:
        return near[0]
    raise DataError(
        f"the folder has several splits for {split!r}: {', '.join(near)}"
        if near
        else f"the folder has no split {split!r}",
        where=str(where),
        remedy="give the files of one of them" if near else f"it has: {', '.join(sorted(names))}",
    )


# sets that `datasets` saved or fetches


def is_saved(folder: Path) -> bool:
    """Is this what `Dataset.save_to_disk` or `DatasetDict.save_to_disk` writes?"""
    return (
        (folder / "dataset_dict.json").is_file()
        or (folder / "state.json").is_file()
        and (folder / "dataset_info.json").is_file()
    )


def _saved_rows(folder: Path, split: str) -> Rows:
    """The rows of a saved set, as its Arrow files hold them: nothing is decoded, so no picture or sound is
    opened or fetched.
    """
    try:
        if (folder / "dataset_dict.json").is_file():
            names = from_json(read_text(folder / "dataset_dict.json"))["splits"]
            chosen = _chosen(set(names), split, folder)
            if Path(chosen).name != chosen:
                raise Malformed(f"a split named {chosen!r}")
            folder = folder / chosen
        elif split != "train":
            raise DataError(
                f"a set without splits was saved, and {split!r} is asked for",
                where=str(folder),
                remedy="give the folder of that split",
            )
        state = from_json(read_text(folder / "state.json"))
        files = [
            folder / row["filename"]
            for row in chain(state["_data_files"], state.get("_indices_data_files") or [])
        ]
        if outside := next(
            (file for file in files if not file.resolve().is_relative_to(folder.resolve())), None
        ):
            raise DataError(
                "the saved set names a file outside its folder",
                where=str(outside),
                remedy="save it again with `save_to_disk`",
            )
        size = sum(file.stat().st_size for file in files)
    except (Malformed, LookupError, TypeError, AttributeError, OSError) as error:
        raise _not_read(folder, error) from error
    return _arrow_rows(folder, size)


def _arrow_rows(folder: Path, size: int) -> Rows:
    import datasets
    import pyarrow

    from .parquet import ROWS, table_rows

    def sound(tables: Iterable[Any]) -> Iterator[Any]:
        for table in tables:
            table.validate(full=True)  # Arrow files are mapped into memory as they are
            yield table

    try:
        saved = datasets.Dataset.load_from_disk(str(folder.resolve()), keep_in_memory=False).with_format(
            "arrow"
        )
        yield from table_rows(sound(saved.iter(batch_size=ROWS)), size, folder)
    except DataError:
        raise
    except (
        pyarrow.ArrowException,
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ImportError,
        RecursionError,
    ) as error:
        raise _not_read(folder, error) from error


def _not_read(folder: Path, error: Exception) -> DataError:
    return DataError(
        f"the saved set cannot be read: {type(error).__name__}: {first_line(error):.200}",
        where=str(folder),
        remedy="save it again with `save_to_disk`, or as Parquet with `to_parquet`",
    )


def _hub_rows(name: str, path: Path, split: str) -> Rows:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or suffix(path) in SUFFIXES or path.parent.exists():
        raise DataError(
            "no such file or folder",
            where=name,
            remedy=nearest_path(path) or "check the path; a hub name is owner/name",
        )
    import datasets

    try:
        rows = datasets.load_dataset(name, split=split)
    except Exception as error:  # the hub client raises a dozen kinds: no network, no such set, no such split, a set that needs code
        raise DataError(
            f"the data set could not be fetched from the hub: {first_line(error):.200}",
            where=f"{name}, split {split}",
            remedy="check the name and the network, or fetch its files elsewhere and give their folder",
        ) from error
    return enumerate(cast(Iterable[Any], rows), 1)
