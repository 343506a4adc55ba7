# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Opens whatever holds the rows: the built-in scenes, rows in memory, local files and folders, or the Hub."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from hf_multimodal.data.scenes import SPLITS, make_scenes
from hf_multimodal.modeling.audio_opening import AudioError, encode_wav
from hf_multimodal.modeling.configuration_multimodal import check_known
from hf_multimodal.modeling.image_opening import ImageError, open_image
from hf_multimodal.modeling.video_opening import VideoError, encode_video

Rows: TypeAlias = datasets.Dataset | datasets.IterableDataset
Source: TypeAlias = (
    str | Path | Sequence[Mapping[str, Any]] | Rows | datasets.DatasetDict | datasets.IterableDatasetDict
)

SCENES = "scenes"
SCENES_OPTIONS = ("num_rows", "seed", "image_size", "templates", "media")
# pandas would also take words such as None, NA and null for missing ones.
_EMPTY_IS_MISSING = {"keep_default_na": False, "na_values": [""]}
# File suffix -> the builder of `datasets` that reads it, with its options.
TABLE_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".parquet": ("parquet", {}),
    ".csv": ("csv", _EMPTY_IS_MISSING),
    ".tsv": ("csv", {"sep": "\t", **_EMPTY_IS_MISSING}),
    ".json": ("json", {}),
    ".jsonl": ("json", {}),
    ".tar": ("webdataset", {}),
}
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_METADATA_FILES = frozenset({"metadata.csv", "metadata.jsonl", "metadata.parquet"})
_SPLIT_ALIASES = {"valid": "validation", "val": "validation", "dev": "validation"}
_MAX_FILES_LOOKED_AT = 10_000


class SplitError(ValueError):
    """A split that is not there; the text names those that are."""


class OpenedSource(NamedTuple):
    """Rows with their original columns, and the folder that the paths in them are relative to and must not leave."""

    rows: Rows
    folder: Path | None = None


class _Request(NamedTuple):
    split: str | None
    streaming: bool
    revision: str | None
    options: dict[str, Any]


def open_source(
    source: Source,
    *,
    split: str | None,
    media_columns: Mapping[str, str],
    streaming: bool,
    revision: str | None,
    options: dict[str, Any],
) -> OpenedSource:
    """Opens one split of a source; see `load_rows`, whose arguments these are.

    Raises:
        TypeError: if the source is of a type that cannot hold rows.
        ValueError: if it does not exist, cannot be read, has no such split, or does not take the options.
    """
    request = _Request(split, streaming, revision, options)
    if not isinstance(source, (str, Path)):
        _refuse_options(request, "Rows in memory")
        return OpenedSource(_maybe_streamed(_rows_in_memory(source, split, media_columns), streaming))
    if source == SCENES:
        return OpenedSource(_maybe_streamed(_open_scenes(request), streaming))
    path = Path(source).expanduser()
    if path.is_dir():
        return _open_folder(path, request)
    if path.is_file():
        return _open_file(path, request)
    return OpenedSource(_open_hub(str(source), request))


def _refuse_options(request: _Request, what: str) -> None:
    given = [*request.options, *(["revision"] if request.revision is not None else [])]
    if given:
        raise ValueError(f"{what} takes no option, but got {', '.join(given)}. Remove it.")


def _maybe_streamed(rows: Rows, streaming: bool) -> Rows:
    # A dataset without rows cannot be streamed; load_rows refuses it.
    return rows.to_iterable_dataset() if streaming and isinstance(rows, datasets.Dataset) and len(rows) else rows


def _pick_split(split: str | None, available: Sequence[str], source: object) -> str:
    """Returns the split asked for, or the only one there is."""
    if split is None and len(available) == 1:
        return available[0]
    # A slice such as train[:100] is for `datasets` to read.
    if split is None or re.sub(r"\[[^]]*\]$", "", split) not in available:
        asked = "Say which split to read" if split is None else f"There is no split {split!r}"
        raise SplitError(f"{asked} of {str(source)!r}. Splits there are: {', '.join(available)}.")
    return split


def _open_scenes(request: _Request) -> datasets.Dataset:
    for name in request.options:
        check_known("option of the scenes dataset", name, SCENES_OPTIONS)
    _refuse_options(request._replace(options={}), "The scenes dataset")
    return make_scenes(split=_pick_split(request.split, SPLITS, SCENES), **request.options)


def _rows_in_memory(source: Source, split: str | None, media_columns: Mapping[str, str]) -> Rows:
    if isinstance(source, (datasets.DatasetDict, datasets.IterableDatasetDict)):
        return source[_pick_split(split, [str(name) for name in source], "the dataset dictionary")]
    if isinstance(source, (datasets.Dataset, datasets.IterableDataset)):
        return source
    if isinstance(source, Sequence) and not isinstance(source, bytes):
        return _dataset_from_rows(source, media_columns)
    raise TypeError(
        f"Rows cannot be read from a {type(source).__name__}. Give {SCENES!r}, a local file or folder, a Hub id, a "
        "datasets.Dataset, or a list of dict rows."
    )


def _dataset_from_rows(rows: Sequence[Any], media_columns: Mapping[str, str]) -> datasets.Dataset:
    if not rows:
        raise ValueError("The list of rows is empty: give at least one row.")
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise TypeError(f"Row {index} is a {type(row).__name__}; each row must be a dict of column name to value.")
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    for name, modality in media_columns.items():
        if name in columns:
            encode = _ENCODERS[modality]
            columns[name] = [_stored_media(value, index, name, encode) for index, value in enumerate(columns[name])]
    for name, values in columns.items():
        try:
            datasets.Dataset.from_dict({name: values})
        except (ValueError, TypeError) as error:  # Arrow's own errors are of these types.
            raise ValueError(
                f"Column {name!r} holds values of different or unsupported types ({error}). Convert them to one type."
            ) from error
    return datasets.Dataset.from_dict(columns)


def _stored_media(
    value: Any,  # noqa: ANN401 (what open_image, open_audio and open_video take)
    row: int,
    column: str,
    encode: Callable[[Any], bytes],
) -> dict[str, Any] | None:
    """Brings an image, sound or clip into the form of an undecoded feature; encoded ones are not decoded here."""
    if value is None:
        return None
    if isinstance(value, Mapping) and value.get("array") is None:
        return {"bytes": value.get("bytes"), "path": value.get("path")}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": bytes(value), "path": None}
    if isinstance(value, (str, Path)):
        return {"bytes": None, "path": str(value)}
    try:
        return {"bytes": encode(value), "path": None}
    except (AudioError, ImageError, VideoError) as error:
        raise type(error)(f"Row {row}, column {column!r}: {error}") from error


def _png(value: Any) -> bytes:  # noqa: ANN401 (what open_image takes)
    buffer = io.BytesIO()
    open_image(value).save(buffer, format="PNG")
    return buffer.getvalue()


_ENCODERS: dict[str, Callable[[Any], bytes]] = {"image": _png, "audio": encode_wav, "video": encode_video}


def _open_folder(folder: Path, request: _Request) -> OpenedSource:
    for suffix in TABLE_FORMATS:
        files = _files_by_split(folder, suffix)
        if files:
            split = _pick_split(request.split, list(files), folder)
            return OpenedSource(_load_table(files[split.split("[")[0]], split, suffix, request), folder)
    if _holds_images(folder):
        return OpenedSource(_open_image_folder(folder, request), folder)
    raise ValueError(
        f"The folder {str(folder)!r} holds neither tables named after their splits (train-*.parquet, test.csv, in it "
        "or in data/) nor images. Put the images into one subfolder per label, or list them in a metadata.csv with a "
        "file_name column."
    )


def _files_by_split(folder: Path, suffix: str) -> dict[str, list[Path]]:
    """Finds tables such as `train.csv` or `data/train-00000-of-00002.parquet`, by the name of their split."""
    files: dict[str, list[Path]] = {}
    for path in sorted([*folder.glob(f"*{suffix}"), *folder.glob(f"data/*{suffix}")]):
        if path.name not in _METADATA_FILES and path.is_file():
            files.setdefault(_split_of(path), []).append(path)
    return files


def _split_of(path: Path) -> str:
    name = re.split(r"\W", path.stem, maxsplit=1)[0]
    return _SPLIT_ALIASES.get(name, name) or "train"


def _holds_images(folder: Path) -> bool:
    files = islice((path for path in folder.rglob("*") if path.is_file()), _MAX_FILES_LOOKED_AT)
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in files)


def _open_image_folder(folder: Path, request: _Request) -> Rows:
    options = {"data_dir": str(folder), **request.options}
    builder = datasets.load_dataset_builder("imagefolder", **options)
    available = [str(name) for name in builder.config.data_files]
    split = _pick_split(request.split, available, folder)
    return _load("imagefolder", str(folder), split=split, streaming=request.streaming, **options)


def _open_file(path: Path, request: _Request) -> OpenedSource:
    suffix = path.suffix.lower()
    if suffix not in TABLE_FORMATS:
        raise ValueError(f"The file {str(path)!r} is not a table that is read: {', '.join(TABLE_FORMATS)}.")
    own = _split_of(path)
    own = own if own in SPLITS else "train"
    split = _pick_split(request.split, [own], path)
    return OpenedSource(_load_table([path], split, suffix, request), path.parent)


def _load_table(files: list[Path], split: str, suffix: str, request: _Request) -> Rows:
    builder, format_options = TABLE_FORMATS[suffix]
    if suffix == ".parquet":
        files = _parquet_with_rows(files)
    data_files = {split.split("[")[0]: [str(path.resolve()) for path in files]}
    options = {**format_options, **request.options}
    return _load(builder, str(files[0]), data_files=data_files, split=split, streaming=request.streaming, **options)


def _parquet_with_rows(files: list[Path]) -> list[Path]:
    """Leaves out files of no rows, on which `datasets` fails ("BatchSize must be greater than 0").

    Raises:
        ValueError: if none holds a row, or one is not whole.
    """
    filled = []
    for path in files:
        try:
            if pq.read_metadata(path).num_rows:
                filled.append(path)
        except pa.ArrowInvalid as error:
            raise _unreadable(str(path), "parquet", error) from error
    if not filled:
        raise ValueError(f"{', '.join(str(path) for path in files)}: there are no rows.")
    return filled


def _load(builder: str, name: str, **arguments: Any) -> Rows:  # noqa: ANN401 (of datasets.load_dataset)
    try:
        return datasets.load_dataset(builder, **arguments)
    except StopIteration as error:  # of `datasets`, streaming a file of nothing
        raise ValueError(f"{name!r} has no rows.") from error
    except (datasets.exceptions.DatasetGenerationError, ValueError) as error:  # Arrow's own errors are ValueErrors.
        raise _unreadable(name, builder, error.__cause__ or error) from error


def _unreadable(name: str, builder: str, reason: BaseException) -> ValueError:
    return ValueError(f"{name!r} cannot be read as {builder}: {reason}. Check that the file is whole.")


def _open_hub(name: str, request: _Request) -> Rows:
    looks_local = name.startswith((".", "/", "~")) or Path(name).suffix.lower() in TABLE_FORMATS or name.count("/") > 1
    if looks_local:
        raise ValueError(f"There is no file or folder {name!r} (looked from {str(Path.cwd())!r}). Correct the path.")
    try:
        return datasets.load_dataset(
            name, split=request.split, revision=request.revision, streaming=request.streaming, **request.options
        )
    except (ConnectionError, FileNotFoundError) as error:
        raise ValueError(
            f"{name!r} is neither {SCENES!r}, nor a local file or folder, nor a dataset that can be had from the Hub "
            f"({error}). Correct the name, or check your connection and token."
        ) from error
