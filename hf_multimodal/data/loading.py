# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Loads rows from any source under the package's own column names, with images, sounds and clips left undecoded."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets

from hf_multimodal.data.columns import ROW_ID, Columns, check_columns, flatten_columns
from hf_multimodal.data.sources import Rows, Source, open_source

# How columns of pictures, sounds and clips come: undecoded, opened by the collator only.
MEDIA = {
    "image": datasets.Image(decode=False),
    "audio": datasets.Audio(decode=False),
    "video": datasets.Video(decode=False),
}
# `datasets` would want torchcodec to encode streamed sounds, though they are encoded, and takes no absent clip.
_UNDECODED = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
_STREAMED_MEDIA = {**MEDIA, "audio": _UNDECODED, "video": _UNDECODED}


def load_rows(
    source: Source,
    *,
    split: str | None,
    columns: Columns,
    keep: Sequence[str] = (),
    streaming: bool = False,
    revision: str | None = None,
    text_lists: bool = False,
    **load_kwargs: Any,  # noqa: ANN401 (of datasets.load_dataset or make_scenes)
) -> Rows:
    """Loads one split and maps its columns.

    Columns of images, sounds and clips hold file paths, encoded bytes or decoded media in the source; in the result
    they are undecoded `datasets.Image`, `datasets.Audio` and `datasets.Video`, opened by the collator only. Paths in
    local tables are relative to the table's folder and may not leave it. Nothing is written beside the source:
    `datasets` caches in its usual place.

    Args:
        source: `"scenes"` (built in); a `datasets.Dataset` or dictionary of them; a list of dict rows; a local folder
            with tables named after their splits (`train-*.parquet`, `data/test.csv`) or with images (one subfolder per
            label, or listed in a metadata.csv); a .parquet, .csv, .tsv, .json or .jsonl file; or a Hub id.
        split: Name of the split, where the source has any; None takes the only one. A table's split is in its file's
            name, else it is `train`. A slice such as `train[:100]` works for files, folders and the Hub.
        columns: The source's column for each of `text`, `image`, `audio`, `video`, `series`, `label`, `id` and `item`
            (of retrieval: the same in rows that belong together); at least one modality. For `series` a column of
            sequences, or a list of columns, which become one of mappings; for `label` with several tasks a mapping of
            task to column.
        keep: Other columns to carry along under their own names.
        streaming: Whether to read rows as they are needed, without a cache.
        revision: Revision of a Hub dataset.
        text_lists: Whether a row's `text` may be a list of texts, such as the captions of a picture; `CaptionRows`
            makes a row of each.
        **load_kwargs: Options of `datasets.load_dataset` for files, folders and the Hub; the arguments
            of `make_scenes` for the scenes.

    Returns:
        Rows with the columns `columns` names (`label.TASK` where there are several tasks), those of `keep`, and
        `row_id` (of the `id` column, else the row's index).

    Raises:
        ValueError: if the source, split, or a column does not exist, cannot be read, or holds something else.
    """
    wanted = flatten_columns(columns)
    opened = open_source(
        source,
        split=split,
        media_columns={name: modality for modality, name in wanted.items() if modality in MEDIA},
        streaming=streaming,
        revision=revision,
        options=load_kwargs,
    )
    rows = opened.rows
    if isinstance(rows, datasets.Dataset) and len(rows) == 0:
        raise ValueError("The source has no rows.")
    available = rows.column_names or _columns_of_first(rows)
    check_columns(wanted, keep, available)
    new_names = {name: ROW_ID if canonical == "id" else canonical for canonical, name in wanted.items()}
    new_names.update({name: name for name in keep})
    if rows.features is not None:
        _check_features(wanted, rows.features, text_lists=text_lists)
    map_columns = _map_dataset if isinstance(rows, datasets.Dataset) else _map_stream
    mapped = map_columns(rows, new_names, opened.folder)
    return _bundle_series(mapped, [name for name in new_names.values() if name.startswith("series.")])


def _columns_of_first(rows: Rows) -> list[str]:
    try:
        return list(next(iter(rows.take(1)), {}))
    except StopIteration:  # of `datasets`, where a file is empty
        return []


def limit_rows(rows: datasets.Dataset, count: int | None, seed: int) -> datasets.Dataset:
    """Takes some rows at random, the same ones for the same seed; all of them where there are no more than that.

    Args:
        rows: Rows.
        count: How many to take, or None for all.
        seed: Seed of the choice.
    """
    return rows if count is None or count >= len(rows) else rows.shuffle(seed=seed).select(range(count))


def _check_features(wanted: Mapping[str, str], features: datasets.Features, *, text_lists: bool) -> None:
    """Refuses columns of a type that no row can be right in."""
    remedies = {
        "text": ("text", _is_text_or_list if text_lists else _is_text, "Convert it to strings, or map another column."),
        "image": ("images", _is_media, "Map a column of images, of encoded bytes or of file paths."),
        "audio": ("sounds", _is_media, "Map a column of sounds, of encoded bytes or of file paths."),
        "video": ("clips", _is_media, "Map a column of clips, of encoded bytes or of file paths."),
        "id": ("ids", _is_id, "Convert it to strings or integers, or leave `id` out to number the rows."),
        "item": ("ids of items", _is_id, "Convert it to strings or integers, or leave `item` out: a row is an item."),
    }
    for canonical, name in wanted.items():
        if canonical in remedies:
            what, is_fit, remedy = remedies[canonical]
            if not is_fit(features[name]):
                raise ValueError(f"Column {name!r} holds {features[name]}, which cannot be {what}. {remedy}")


def _dtype(feature: Any) -> str:  # noqa: ANN401 (a datasets feature)
    return feature.dtype if isinstance(feature, datasets.Value) else ""


def _is_text(feature: Any) -> bool:  # noqa: ANN401 (a datasets feature)
    return _dtype(feature) in ("string", "large_string", "null")


def _is_text_or_list(feature: Any) -> bool:  # noqa: ANN401 (a datasets feature)
    return _is_text(feature) or is_list_of_texts(feature)


def is_list_of_texts(feature: Any) -> bool:  # noqa: ANN401 (a datasets feature)
    """Says whether a column holds lists of texts."""
    return isinstance(feature, (datasets.List, datasets.LargeList)) and _is_text(feature.feature)


def _is_id(feature: Any) -> bool:  # noqa: ANN401 (a datasets feature)
    return _dtype(feature) in ("string", "large_string") or "int" in _dtype(feature)


def _is_media(feature: Any) -> bool:  # noqa: ANN401 (a datasets feature)
    if isinstance(feature, Mapping):
        return not set(feature) - {"bytes", "path"}
    return (
        isinstance(feature, (datasets.Audio, datasets.Image, datasets.Video))
        or _is_text(feature)
        or _dtype(feature) in ("binary", "large_binary")
    )


def _map_dataset(rows: datasets.Dataset, new_names: Mapping[str, str], folder: Path | None) -> datasets.Dataset:
    source_names = {new: name for name, new in new_names.items()}
    rows = rows.select_columns(list(new_names)).rename_columns(dict(new_names))
    if ROW_ID not in source_names:
        rows = rows.add_column(ROW_ID, list(range(len(rows))))
    for modality, feature in MEDIA.items():
        if modality not in source_names:
            continue
        paths = _stored_paths(rows, modality) if folder is not None else None
        if folder is not None and paths is not None:
            resolve = _path_resolver(folder, source_names[modality])
            ids = rows.with_format(None)[ROW_ID]
            resolved = [resolve(path, row) for path, row in zip(paths, ids, strict=True)]
            rows = rows.remove_columns(modality).add_column(modality, resolved)
        rows = rows.cast_column(modality, feature)
    return rows


def _stored_paths(rows: datasets.Dataset, column: str) -> list[str | None] | None:
    """The file paths that a column holds, or None if it holds the images themselves."""
    values = rows.select_columns([column]).with_format("arrow")[:].column(column)
    if _is_text(rows.features[column]):
        return values.to_pylist()
    if "binary" in _dtype(rows.features[column]):
        return None
    fields = dict(zip((field.name for field in values.type), values.flatten(), strict=True))
    has_bytes = "bytes" in fields and fields["bytes"].null_count < len(values)
    return None if has_bytes or "path" not in fields else fields["path"].to_pylist()


def _bundle_series(rows: Rows, names: Sequence[str]) -> Rows:
    """Turns the columns `series.NAME` into one, `series`, that holds a mapping of names to values."""
    if not names:
        return rows
    features = None
    if rows.features is not None:
        features = datasets.Features({name: rows.features[name] for name in rows.features if name not in names})
        of_parts = {name.partition(".")[2]: rows.features[name] for name in names}
        features["series"] = {name: _as_category(feature) for name, feature in of_parts.items()}
    named = {n: rows.features[n].names for n in names if isinstance((rows.features or {}).get(n), datasets.ClassLabel)}
    bundle = partial(_bundle, names=names, class_names=named)
    if isinstance(rows, datasets.Dataset):  # apart from the other columns, in memory: no file is written
        series = datasets.Features({"series": features["series"]}) if features is not None else None
        table = rows.select_columns(names).map(bundle, remove_columns=names, features=series, keep_in_memory=True)
        return datasets.concatenate_datasets([rows.remove_columns(names), table], axis=1)
    return rows.map(bundle, remove_columns=names, features=features)


def _as_category(feature: Any) -> Any:  # noqa: ANN401 (a datasets feature)
    return datasets.Value("string") if isinstance(feature, datasets.ClassLabel) else feature


def _bundle(row: Mapping[str, Any], names: Sequence[str], class_names: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    values = {name: row[name] for name in names}
    for name, known in class_names.items():
        values[name] = known[values[name]] if values[name] is not None and values[name] >= 0 else None
    return {"series": {name.partition(".")[2]: value for name, value in values.items()}}


def _map_stream(rows: datasets.IterableDataset, new_names: Mapping[str, str], folder: Path | None) -> Rows:
    source_names = {new: name for name, new in new_names.items()}
    media = [modality for modality in MEDIA if modality in source_names]
    features = None
    if rows.features is not None:
        features = datasets.Features({new: rows.features[name] for name, new in new_names.items()})
        features.update({} if ROW_ID in features else {ROW_ID: datasets.Value("int64")})
        features.update({modality: _STREAMED_MEDIA[modality] for modality in media})
        for modality in media:
            if isinstance(rows.features[source_names[modality]], type(MEDIA[modality])):
                rows = rows.cast_column(source_names[modality], MEDIA[modality])
    resolvers = {m: _path_resolver(folder, source_names[m]) if folder is not None else None for m in media}
    map_row = partial(_map_row, new_names=dict(new_names), resolvers=resolvers)
    return rows.map(map_row, with_indices=True, remove_columns=rows.column_names, features=features)


def _map_row(
    row: Mapping[str, Any], index: int, new_names: Mapping[str, str], resolvers: Mapping[str, "_PathResolver | None"]
) -> dict[str, Any]:
    mapped = {new: row[name] for name, new in new_names.items()}
    mapped.setdefault(ROW_ID, index)
    for modality, resolve in resolvers.items():
        mapped[modality] = _stored_form(mapped[modality], mapped[ROW_ID], resolve)
    return mapped


def _stored_form(value: Any, row: int | str, resolve: "_PathResolver | None") -> Any:  # noqa: ANN401 (a cell)
    """Brings paths and bytes into the form of an undecoded feature."""
    if isinstance(value, (str, bytes)):
        value = {"bytes": None, "path": value} if isinstance(value, str) else {"bytes": value, "path": None}
    if resolve is not None and isinstance(value, Mapping) and value.get("bytes") is None:
        path = resolve(value.get("path"), row)
        return {"bytes": None, "path": path} if path is not None else None
    return value


_PathResolver = Callable[[str | None, int | str], str | None]


def _path_resolver(folder: Path, column: str) -> _PathResolver:
    return partial(_resolve_path, root=os.path.realpath(folder), column=column)


def _resolve_path(path: str | None, row: int | str, *, root: str, column: str) -> str | None:
    """Makes a path absolute; one that leaves the table's folder could read any file of this machine.

    Raises:
        ValueError: naming the row and column of a path that leaves the folder or is a URL.
    """
    if not path:
        return None
    if "://" in path:
        raise ValueError(f"Row {row!r}, column {column!r}: {path!r} is a URL, and URLs are not read. Download it.")
    resolved = os.path.realpath(os.path.join(root, path))
    if os.path.commonpath((root, resolved)) != root:
        raise ValueError(
            f"Row {row!r}, column {column!r}: {path!r} leads out of {root!r}. Move the file into that folder, or give "
            "the rows as a list of dicts."
        )
    return resolved
