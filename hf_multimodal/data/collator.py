# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows to a batch: opens images and sounds as needed, encodes labels, and names the row where anything is wrong."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm

from hf_multimodal.data.columns import TEACHER_LOGITS, Columns, is_empty, source_name
from hf_multimodal.data.labels import ItemSchema, LabelError, LabelSchema, Schema, TaskSchemas, TextSchema
from hf_multimodal.data.masking import MaskingSchema
from hf_multimodal.modeling.audio_opening import AudioError, open_audio
from hf_multimodal.modeling.configuration_multimodal import PROCESSOR_ARGUMENTS, check_known
from hf_multimodal.modeling.image_opening import ImageError, open_image
from hf_multimodal.modeling.modeling_losses import NO_LABEL
from hf_multimodal.modeling.series_processing_multimodal import OpenedSeries, SeriesError
from hf_multimodal.modeling.video_opening import VideoError, open_video

if TYPE_CHECKING:
    import datasets
    import numpy as np
    from PIL import Image
    from transformers import BatchFeature

    from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor

ROW_IDS = "row_ids"
Row = Mapping[str, Any]
# how a batch's texts are cut and padded, here and where some of its inputs are made apart
BATCH_OPTIONS: dict[str, Any] = {"padding": True, "truncation": True, "return_tensors": "pt"}


class RowError(ValueError):
    """A row that cannot be used; the text names the row and the column, and says what to do."""


@dataclass
class MultimodalCollator:
    """Collates rows as `load_rows` returns them into the tensors a model takes.

    It can be pickled, so it works in the worker processes of a `DataLoader`.

    Args:
        processor: Turns text and images into tensors; its `modalities` say which columns are read. Texts are cut at its
            tokenizer's `model_max_length`.
        label_schema: How labels are encoded, of one task, of several, of retrieval, or of what is to be written.
            Without it the batch holds no labels.
        column_names: The user's own column name of each canonical one, for the errors.
        share_pictures: Whether a picture that several rows of a batch have is opened and encoded once; `pixel_values`
            then holds the distinct ones, and `picture_indices` says which of them each row has.
        with_row_ids: Whether the batch also holds `row_ids`, a list, which no model takes: a Trainer of this package
            takes it out.
    """

    processor: "MultimodalProcessor"
    label_schema: "Schema | None" = None
    column_names: Columns | None = field(default=None)
    share_pictures: bool = field(default=False, kw_only=True)
    with_row_ids: bool = field(default=False, kw_only=True)

    def __call__(self, rows: Sequence[Row]) -> "BatchFeature":
        """Collates rows.

        Args:
            rows: Mappings with a key per modality (None or no key: absent), and optionally `label` (`label.TASK` of
                several tasks), `item`, `row_id` and `teacher_logits`.

        Returns:
            The processor's tensors, and where rows have labels `labels`: (B,) long for a single label, (B,) float for
            one regression target, else (B, num_labels) float. Of several tasks a dict of these, with -100 (long) or NaN
            (float) for a missing label. Of retrieval (B,) long, the rows' items, which are the rows themselves where
            they name none. Of texts (B, T) long, see `MultimodalProcessor.encode_targets`. Of
            pretraining what is hidden, see `MaskingSchema`.

        Raises:
            RowError: if a row has no modality at all, or one of its values cannot be used.
            ValueError: if a row has the label of a task that nobody declared.
        """
        row_ids = [row.get("row_id", index) for index, row in enumerate(rows)]
        columns: dict[str, list[Any]] = {modality: [] for modality in self.processor.modalities}
        opened: dict[Hashable, Any] | None = {} if self.share_pictures else None
        for row, row_id in zip(rows, row_ids, strict=True):
            for modality, value in self.read_row(row, row_id, opened).items():
                columns[modality].append(value)
        batch = self.tensors(columns)
        if isinstance(self.label_schema, (ItemSchema, MaskingSchema)):
            named = [row if "item" in row else {"item": row_id} for row, row_id in zip(rows, row_ids, strict=True)]
            items = self._encode(named, row_ids, "item", ItemSchema.encode)
            if isinstance(self.label_schema, MaskingSchema):
                batch["labels"] = self.label_schema.hide(batch, self.processor.tokenizer, row_ids, items)
            else:
                batch["labels"] = torch.tensor(items)
        elif isinstance(self.label_schema, TextSchema) and any("label" in row for row in rows):
            texts = self._encode(rows, row_ids, "label", self.label_schema.encode)
            batch["labels"] = self.processor.encode_targets(texts)
        elif (labels := self.labels_of(rows, row_ids)) is not None:
            batch["labels"] = labels
        if all(TEACHER_LOGITS in row for row in rows):
            batch[TEACHER_LOGITS] = torch.tensor([row[TEACHER_LOGITS] for row in rows], dtype=torch.float32)
        if self.with_row_ids:
            batch[ROW_IDS] = [str(row_id) for row_id in row_ids]
        return batch

    def labels_of(self, rows: Sequence[Row], row_ids: list[int | str]) -> Any:  # noqa: ANN401 (described below)
        """Encodes the labels of one task or of several, as a batch has them; None where rows have none.

        Args:
            rows: As of a call.
            row_ids: Their ids, for errors.

        Raises:
            RowError: if a label cannot be used.
            ValueError: if a row has the label of a task that nobody declared.
        """
        if isinstance(self.label_schema, TaskSchemas):
            self._check_tasks(rows, self.label_schema)
            if any(key.startswith("label.") for row in rows for key in row):
                return self._task_labels(rows, row_ids, self.label_schema)
        elif isinstance(self.label_schema, LabelSchema) and any("label" in row for row in rows):
            return self._labels(rows, row_ids, self.label_schema)
        return None

    def tensors(self, columns: Mapping[str, list[Any]]) -> "BatchFeature":
        """Makes the inputs of what `read_row` returned, modality by modality."""
        pictures = columns.get("image", ()) if self.share_pictures else ()
        distinct = _distinct(pictures)
        if 0 < len(distinct) < len(pictures):
            return self._shared_tensors(columns, distinct)
        arguments: dict[str, Any] = {PROCESSOR_ARGUMENTS[modality]: cells for modality, cells in columns.items()}
        return self.processor(**arguments, **BATCH_OPTIONS)

    def _shared_tensors(self, columns: Mapping[str, list[Any]], distinct: list[Any]) -> "BatchFeature":
        places = {id(picture): place for place, picture in enumerate(distinct)}
        indices = torch.tensor([places.get(id(picture), 0) for picture in columns["image"]])  # 0 of those without
        batch = self.processor.tensors_of({**columns, "image": distinct}, **BATCH_OPTIONS)
        batch = type(batch)({"picture_indices": indices, **batch})  # first: by it Trainer counts a batch's rows
        batch["modality_mask"] = presence_mask(columns)
        return batch

    def for_evaluation(self) -> "MultimodalCollator":
        """Returns the collator for rows that are evaluated: what is hidden of a row is always the same.

        Pictures that stand in several rows are encoded once, unless parts of them are hidden.
        """
        if not isinstance(self.label_schema, MaskingSchema):
            return replace(self, share_pictures=True)
        return replace(self, label_schema=self.label_schema.for_evaluation())

    def read_row(self, row: Row, row_id: int | str, opened: dict[Hashable, Any] | None = None) -> dict[str, Any]:
        """Opens one row: modality -> text, image, or None where absent.

        Args:
            row: The row.
            row_id: Its id, for errors.
            opened: Pictures that were opened already, by what they are in the rows; None opens each anew.

        Raises:
            RowError: if the row has no modality at all, or one of its values cannot be used.
        """
        values = {}
        for modality in self.processor.modalities:
            key = picture_key(row.get(modality)) if opened is not None and modality == "image" else None
            if opened is None or key is None:
                values[modality] = self.read_value(row, row_id, modality)
                continue
            if key not in opened:
                opened[key] = self.read_value(row, row_id, modality)
            values[modality] = opened[key]
        if all(value is None for value in values.values()):
            missing = ", ".join(repr(self._source(modality)) for modality in values)
            raise RowError(
                f"Row {row_id!r} has nothing in any of its columns {missing}: at least one modality must be there. "
                "Fill one in or drop the row."
            )
        return values

    def _source(self, canonical: str) -> str:
        return source_name(self.column_names, canonical)

    def read_value(self, row: Row, row_id: int | str, modality: str) -> Any:  # noqa: ANN401 (a text or an image)
        """Opens one cell; None where it is absent.

        Raises:
            RowError: if it cannot be used.
        """
        value = row.get(modality)
        if value is None:
            return None
        try:
            return _READERS[modality](value, self.processor)
        except (AudioError, ImageError, SeriesError, VideoError, TypeError) as error:
            raise RowError(f"Row {row_id!r}, column {self._source(modality)!r}: {error}") from error

    def _labels(self, rows: Sequence[Row], row_ids: list[int | str], schema: LabelSchema) -> torch.Tensor:
        labels = self._encode(rows, row_ids, "label", schema.encode)
        is_index = schema.problem_type == "single_label_classification"
        return torch.tensor(labels, dtype=torch.long if is_index else torch.float)

    def _encode(
        self, rows: Sequence[Row], row_ids: list[int | str], column: str, encode: Callable[..., Any]
    ) -> list[Any]:
        source = self._source(column)
        try:
            return [
                encode(row.get(column), row=row_id, column=source) for row, row_id in zip(rows, row_ids, strict=True)
            ]
        except LabelError as error:
            raise RowError(str(error)) from error

    @staticmethod
    def _check_tasks(rows: Sequence[Row], schemas: TaskSchemas) -> None:
        named = {key.removeprefix("label.") for row in rows for key in row if key.startswith("label.")}
        for task in sorted(named):
            check_known("task", task, tuple(schemas.schemas))

    def _task_labels(
        self, rows: Sequence[Row], row_ids: list[int | str], schemas: TaskSchemas
    ) -> dict[str, torch.Tensor]:
        labels = {}
        for task, schema in schemas.schemas.items():
            values = self._encode(rows, row_ids, f"label.{task}", partial(schemas.encode, task))
            is_index = schema.problem_type == "single_label_classification"
            is_list = schema.problem_type == "multi_label_classification" or schema.num_labels > 1
            missing: Any = NO_LABEL if is_index else [math.nan] * schema.num_labels if is_list else math.nan
            filled = [missing if value is None else value for value in values]
            labels[task] = torch.tensor(filled, dtype=torch.long if is_index else torch.float)
        return labels


def presence_mask(columns: Mapping[str, Sequence[Any]]) -> torch.Tensor:
    """Says which of their modalities rows have, of cells per modality: (B, M) bool."""
    return torch.tensor([[cell is not None for cell in cells] for cells in zip(*columns.values(), strict=True)])


def picture_key(cell: Any) -> Hashable:  # noqa: ANN401 (any cell)
    """What two rows have in common that hold the same picture undecoded; None where it cannot be told."""
    if not isinstance(cell, Mapping):
        return None
    return cell.get("bytes") or cell.get("path")


def _distinct(pictures: Sequence[Any]) -> list[Any]:
    """The pictures without repetition and without what is absent; the same one is one object."""
    return list({id(picture): picture for picture in pictures if picture is not None}.values())


def check_rows(
    dataset: "datasets.Dataset",
    collator: MultimodalCollator,
    description: str = "Checking rows",
    *,
    quiet: bool = False,
) -> None:
    """Opens every row once, so that a bad one is found before training starts.

    Args:
        dataset: Rows as `load_rows` returns them.
        collator: Says which modalities are read, and the user's own column names.
        description: Shown beside the progress bar.
        quiet: Whether to show none.

    Raises:
        RowError: naming the first row that cannot be used, its column, and the remedy.
    """
    for index, row in enumerate(tqdm(dataset, desc=description, leave=False, mininterval=0.5, disable=quiet)):
        collator.read_row(row, row.get("row_id", index))


def _read_text(value: Any, processor: "MultimodalProcessor") -> str:  # noqa: ANN401 (any cell)
    if not isinstance(value, str):
        raise TypeError(
            f"{value!r} is of type {type(value).__name__}, not a text. Convert the column with str(), or use None for "
            "an absent text."
        )
    return value


def _read_image(value: Any, processor: "MultimodalProcessor") -> "Image.Image | None":  # noqa: ANN401 (any cell)
    return None if is_empty(value) else open_image(value)


def _read_audio(value: Any, processor: "MultimodalProcessor") -> "np.ndarray | None":  # noqa: ANN401 (any cell)
    return None if is_empty(value) else open_audio(value, sampling_rate=processor.feature_extractor.sampling_rate)


def _read_video(value: Any, processor: "MultimodalProcessor") -> "np.ndarray | None":  # noqa: ANN401 (any cell)
    return None if is_empty(value) else open_video(value, num_frames=processor.num_frames)


def _read_series(value: Any, processor: "MultimodalProcessor") -> "OpenedSeries | None":  # noqa: ANN401 (any cell)
    return None if is_empty(value) else processor.series_feature_extractor.open(value)


# keys: configuration_multimodal.MODALITIES
_READERS: dict[str, Callable[[Any, Any], Any]] = {
    "text": _read_text,
    "image": _read_image,
    "audio": _read_audio,
    "video": _read_video,
    "series": _read_series,
}
