# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A collection to vectors in parquet: streamed, sharded over processes, continued where it was stopped."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from hf_multimodal.data.captions import row_of_caption
from hf_multimodal.data.collator import MultimodalCollator, RowError
from hf_multimodal.data.columns import ROW_ID, source_name
from hf_multimodal.data.whole_files import whole_file
from hf_multimodal.modeling.configuration_multimodal import TOWER_INPUTS, check_known
from hf_multimodal.modeling.modeling_retrieval import MultimodalForRetrieval
from hf_multimodal.prediction.revision import model_revision
from hf_multimodal.retrieval.embeddings import EmbeddingManifest, part_file, prepare_folder
from hf_multimodal.retrieval.models import load_retrieval_model
from hf_multimodal.retrieval.token_store import to_bytes
from hf_multimodal.training.feature_cache import keep_features, open_features
from hf_multimodal.training.inference import process_state
from hf_multimodal.training.row_source import RowSource

PART_ROWS = 1024


def embed_rows(
    model: str,
    rows: RowSource,
    output: str | Path,
    *,
    modality: str,
    keep: Sequence[str] = (),
    unique_items: bool = False,
    with_tokens: bool = False,
    batch_size: int = 64,
    num_workers: int = 0,
    part_rows: int = PART_ROWS,
    feature_cache: str | Path | None = None,
) -> int:
    """Embeds one modality of a collection into parquet files with `id`, `vector`, the kept columns and tokens.

    The rows are cut into parts, of which each process takes its share; a part's file is there whole or not at all.
    Called again, it leaves finished parts alone, whatever number of processes made them.

    Args:
        model: Folder or Hub id of a retrieval model.
        rows: The collection. A row with several captions is as many rows.
        output: Folder for the files.
        modality: What is embedded.
        keep: Columns to store beside the vectors, for conditions and answers.
        unique_items: Whether to take of each item (the column `item`) the first row only, under the item's name.
        with_tokens: Whether to store the tokens, which reranking needs.
        batch_size: Rows encoded at a time.
        num_workers: Processes that open files, beside each that encodes.
        part_rows: Rows of a file.
        feature_cache: Folder of features of frozen towers, as `training.feature_cache` keeps them: what is there is not
            computed again, what is not is added.

    Returns:
        The number of rows.

    Raises:
        ValueError: if a row has nothing to embed, an id stands twice, the collection is empty, or the folder holds
            something else.
    """
    state, output = process_state(), Path(output)
    loaded, processor = load_retrieval_model(model)
    check_known("modality of this model", modality, processor.modalities)
    check_keep(keep, modality)
    if modality not in {name.split(".")[0] for name in rows.columns}:
        raise ValueError(f"No column is mapped to {modality}: say which, --column {modality}=COLUMN.")
    if unique_items and "item" not in rows.columns:
        raise ValueError("Taking each item once needs to know the items: map their column, --column item=COLUMN.")
    manifest = EmbeddingManifest(
        model=str(Path(model).resolve()) if Path(model).is_dir() else model,
        revision=model_revision(model),
        modality=modality,
        dimension=loaded.config.embedding_size,
        token_width=loaded.config.hidden_size if with_tokens else None,
        rows_of=rows.description,
        keep=list(keep),
        unique_items=unique_items,
        part_rows=part_rows,
    )
    collator = MultimodalCollator(processor, None, rows.columns)
    if feature_cache is not None:
        collator = open_features(loaded, collator, feature_cache, "float32", [modality])
    items = _distinct_rows(rows.stream(modality, keep=keep), modality, rows.columns, unique_items)
    first = _first_of(items)  # before anything is written, as columns and the first row may be wrong
    if state.is_main_process:
        prepare_folder(output, manifest)
    state.wait_for_everyone()
    if (finished := EmbeddingManifest.load(output).rows) is not None:
        return finished
    loaded.to(state.device)
    collate, count = _Batches(collator, modality), 0
    with tqdm(desc=f"Embedding {modality}", unit="row", disable=not state.is_main_process) as bar:
        for number, part in enumerate(_parts(chain([first], items), part_rows)):
            file = part_file(output, number)
            if file.exists():
                _check_part(file, part)
            elif number % state.num_processes == state.process_index:
                keep_features(loaded, collator, part)
                batches: Any = DataLoader(cast(Any, part), batch_size, collate_fn=collate, num_workers=num_workers)
                columns = _encode(loaded, modality, batches, with_tokens)
                _write_part(file, {ROW_ID: [row[ROW_ID] for row in part], **_kept(part, keep), **columns}, manifest)
            count += len(part)
            bar.update(len(part))
    state.wait_for_everyone()
    if state.is_main_process:
        replace(manifest, rows=count).save(output)
    return count


def _first_of(items: Iterator[dict[str, Any]]) -> dict[str, Any]:
    try:
        return next(items)
    except (StopIteration, pa.ArrowInvalid, RuntimeError) as error:  # what empty files come to in `datasets`
        raise ValueError(f"The collection is empty: there is nothing to embed. ({error})") from error


def _check_part(file: Path, part: Sequence[Mapping[str, Any]]) -> None:
    """Checks that a file which is there already holds these rows."""
    if pq.read_table(file, columns=["id"]).column("id").to_pylist() != [row[ROW_ID] for row in part]:
        raise ValueError(
            f"{str(file)!r} holds other rows than the source has now at that place: the source has changed. Give "
            "another folder."
        )


def _distinct_rows(
    rows: Iterable[Mapping[str, Any]], modality: str, columns: Mapping[str, str], unique_items: bool
) -> Iterator[dict[str, Any]]:
    """Goes through the rows, a row per caption; refuses those that have another's id or nothing to embed."""
    seen: set[str] = set()
    for row in rows:
        for one in _spread(row, modality):
            key = one.get("item") if unique_items else one[ROW_ID]
            if key is None:
                what = "item" if unique_items else "id"
                raise RowError(f"A row after {len(seen)} others has no {what}: fill it in, or drop the row.")
            name = str(key)
            if name in seen:
                if unique_items:
                    continue
                raise RowError(
                    f"Two rows have the id {name!r}: ids must be distinct. Map another column to id, or leave it out "
                    "to number the rows."
                )
            seen.add(name)
            value = one.get(modality)
            if value is None or (modality == "text" and isinstance(value, str) and not value.strip()):
                column = source_name(columns, modality)
                raise RowError(f"Row {name!r}, column {column!r}: there is no {modality} to embed. Drop the row.")
            yield {**one, ROW_ID: name}


def _spread(row: Mapping[str, Any], modality: str) -> Iterator[dict[str, Any]]:
    if modality != "text" or not isinstance(row["text"], list):
        yield dict(row)
        return
    for place in range(max(1, len(row["text"]))):
        yield row_of_caption(row, place)


def _parts(rows: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    while part := list(islice(rows, size)):
        yield part


def _kept(part: Sequence[Mapping[str, Any]], keep: Sequence[str]) -> dict[str, list[Any]]:
    named = [*keep, *(["item"] if "item" in part[0] else [])]
    return {name: [row[name] for row in part] for name in named}


@dataclass(frozen=True)
class _Batches:
    """Collates one modality of the rows; it can be pickled for the worker processes of a DataLoader."""

    collator: MultimodalCollator
    modality: str

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        batch = self.collator([{ROW_ID: row[ROW_ID], self.modality: row[self.modality]} for row in rows])
        return {name: tensor for name, tensor in batch.items() if name in TOWER_INPUTS[self.modality]}


@torch.inference_mode()
def _encode(
    model: MultimodalForRetrieval, modality: str, batches: Iterable[Mapping[str, torch.Tensor]], with_tokens: bool
) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {"vector": [], **({"tokens": []} if with_tokens else {})}
    for batch in batches:
        towers = model.encode(**{name: tensor.to(model.device) for name, tensor in batch.items()})
        columns["vector"] += list(model.embed(towers)[modality].float().cpu().numpy())
        if with_tokens:
            columns["tokens"] += to_bytes(towers[modality])
    return columns


def _write_part(file: Path, columns: Mapping[str, list[Any]], manifest: EmbeddingManifest) -> None:
    vectors = pa.array(np.concatenate(columns["vector"]), pa.float32())
    arrays = {name: pa.array(values) for name, values in columns.items() if name not in (ROW_ID, "vector")}
    table = pa.table(
        {
            "id": pa.array(columns[ROW_ID], pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(vectors, manifest.dimension),
            **arrays,
        }
    )
    with whole_file(file) as partial:
        pq.write_table(table, partial)


def check_keep(keep: Sequence[str], modality: str) -> None:
    """Refuses columns whose names the files need themselves.

    Raises:
        ValueError: naming the column.
    """
    for name in keep:
        if name in (modality, "id", "item", "vector", "tokens", ROW_ID):
            raise ValueError(f"keep names {name!r}, which the files need themselves: rename the column.")


__all__ = ["check_keep", "embed_rows"]
