# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What a label column means: its problem type, its names, and how one value becomes a training target."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias

from hf_multimodal.data.label_encoding import ENCODERS, LabelError, LabelNames, is_missing

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedConfig, PreTrainedModel

    from hf_multimodal.data.columns import Columns
    from hf_multimodal.data.masking import MaskingSchema

__all__ = [
    "ItemSchema",
    "LabelError",
    "LabelSchema",
    "Schema",
    "TaskSchemas",
    "TextSchema",
    "check_labels",
    "labels_from_config",
    "schema_of_model",
]


@dataclass(frozen=True)
class LabelSchema:
    """The labels of a dataset.

    Args:
        problem_type: `single_label_classification`, `multi_label_classification` or `regression`, as in transformers,
            or `scored_answers`.
        names: The label names in index order; for regression, the names of the targets.
        stored_names: What the integers of a `ClassLabel` column stand for. They may be ordered otherwise than `names`,
            as when a saved model's names are applied to another dataset.

    Raises:
        ValueError: if the problem type is unknown or the names are not distinct strings.
    """

    problem_type: str
    names: tuple[str, ...]
    stored_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks the fields and freezes the names."""
        # Imported here because the package's command line imports this file, and the configuration imports torch.
        from hf_multimodal.modeling.configuration_multimodal import PROBLEM_TYPES, check_known

        check_known("problem_type", self.problem_type, PROBLEM_TYPES)
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "stored_names", tuple(self.stored_names))
        LabelNames(self.problem_type, self.names, self.stored_names)

    @cached_property
    def _labels(self) -> LabelNames:
        return LabelNames(self.problem_type, self.names, self.stored_names)

    @property
    def num_labels(self) -> int:
        """Number of classes, or of regression targets."""
        return len(self.names)

    @property
    def id2label(self) -> dict[int, str]:
        """Index to name, as in a transformers configuration."""
        return dict(enumerate(self.names))

    @property
    def label2id(self) -> dict[str, int]:
        """Name to index, as in a transformers configuration."""
        return dict(self._labels.ids)

    @classmethod
    def from_config(cls, config: "PreTrainedConfig") -> "LabelSchema":
        """Returns the labels a model was built for, in the order of its logits."""
        names: Any = config.id2label
        problem_type = config.problem_type
        if problem_type is None:  # left open: as transformers infers it
            problem_type = "regression" if config.num_labels == 1 else "single_label_classification"
        return cls(problem_type, tuple(names[i] for i in range(len(names))))

    @classmethod
    def from_dataset(
        cls,
        dataset: "datasets.Dataset | datasets.IterableDataset",
        column: str = "label",
        problem_type: str | None = None,
        names: Sequence[str] | None = None,
    ) -> "LabelSchema":
        """Infers the schema from a label column.

        Strings, integers, bools and `ClassLabel` mean a single label, lists of these mean several labels, floats mean
        regression, lists of floats mean regression with several targets, and lists of `{"answer", "score"}` mean scored
        answers. The names are those of the `ClassLabel`,
        else the distinct values in order.

        Args:
            dataset: Rows with the label column. A streamed dataset is not read through: unless its column is a
                `ClassLabel`, `names` and `problem_type` must be given.
            column: The label column's name.
            problem_type: Overrides the inferred problem type.
            names: Overrides the inferred names.

        Raises:
            ValueError: if the column is missing or empty, or its values do not fit the problem type.
        """
        from hf_multimodal.data.label_inference import infer_labels

        return cls(*infer_labels(dataset, column, problem_type, names))

    def encode(self, value: Any, *, row: int | str, column: str) -> int | float | list[float]:  # noqa: ANN401
        """Turns one cell of the label column into a training target.

        Args:
            value: The cell.
            row: The row's id, for the error.
            column: The column's name in the user's data, for the error.

        Returns:
            The class index; or 0. and 1. per class; or the regression target (a list where there are several).

        Raises:
            LabelError: if the value is missing, is not in the set, or does not fit the problem type.
        """
        try:
            return ENCODERS[self.problem_type](self._labels, value)
        except LabelError as error:
            raise LabelError(f"Row {row!r}, column {column!r}: {error}") from None

    def decode(self, index: int) -> str:
        """Names a class.

        Raises:
            ValueError: if there is no class of that index.
        """
        if not 0 <= index < self.num_labels:
            raise ValueError(f"There is no label {index}: indices go from 0 to {self.num_labels - 1}.")
        return self.names[index]


@dataclass(frozen=True)
class TaskSchemas:
    """The labels of several tasks, of which a row may lack any.

    Args:
        schemas: Task -> its labels; in a dataset they stand in the column `label.TASK`.
    """

    schemas: dict[str, LabelSchema]

    @property
    def problem_type(self) -> dict[str, str]:
        """Task -> problem type."""
        return {task: schema.problem_type for task, schema in self.schemas.items()}

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """The tasks as in a model's configuration."""
        return {
            task: {"problem_type": schema.problem_type, "labels": list(schema.names)}
            for task, schema in self.schemas.items()
        }

    def encode(self, task: str, value: Any, *, row: int | str, column: str) -> int | float | list[float] | None:  # noqa: ANN401
        """Turns one cell into a training target as `LabelSchema.encode` does; None where the label is missing.

        Raises:
            LabelError: as `LabelSchema.encode`, but for a missing label.
        """
        schema = self.schemas[task]
        missing = is_missing(value, schema.names, schema.problem_type)
        return None if missing else schema.encode(value, row=row, column=column)


@dataclass(frozen=True)
class ItemSchema:
    """What stands in the place of labels in retrieval: which item a row belongs to (the column `item`, else its id)."""

    problem_type = "retrieval"

    @staticmethod
    def encode(value: Any, *, row: int | str, column: str) -> int:  # noqa: ANN401 (any cell)
        """Turns an item's id into a number below 2^63, always the same for the same id.

        Raises:
            LabelError: if there is none.
        """
        if value is None:
            raise LabelError(f"Row {row!r}, column {column!r}: the item is missing. Fill it in, or drop the row.")
        return int.from_bytes(hashlib.blake2b(str(value).encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class TextSchema:
    """What stands in the place of labels where a model writes: a text, or several of which each is right.

    Args:
        stored_names: What the integers of a `ClassLabel` column stand for.
    """

    stored_names: tuple[str, ...] = ()
    problem_type = "generation"

    @classmethod
    def from_dataset(
        cls, dataset: "datasets.Dataset | datasets.IterableDataset", column: str = "label"
    ) -> "TextSchema":
        """Takes the names of a `ClassLabel` column."""
        return cls(tuple(getattr((dataset.features or {}).get(column), "names", None) or ()))

    def references(self, value: Any, *, row: int | str, column: str) -> list[str]:  # noqa: ANN401 (any cell)
        """Reads all texts of one cell.

        Raises:
            LabelError: if there is none, or it is no text.
        """
        values = value if isinstance(value, (list, tuple)) else [value]
        if self.stored_names:
            values = [self.stored_names[x] if isinstance(x, int) and x >= 0 else x for x in values]
        if not values or not all(isinstance(x, str) and x.strip() for x in values):
            raise LabelError(
                f"Row {row!r}, column {column!r}: {value!r} is no text to learn to write: it takes a text, or a list "
                "of texts, none empty. Fill it in, convert the column to strings, or drop the row."
            )
        return list(values)

    def encode(self, value: Any, *, row: int | str, column: str) -> str:  # noqa: ANN401 (any cell)
        """Reads the text of one cell, the first one of several.

        Raises:
            LabelError: as `references`.
        """
        return self.references(value, row=row, column=column)[0]


Schema: TypeAlias = "LabelSchema | TaskSchemas | ItemSchema | TextSchema | MaskingSchema"


def labels_from_config(config: "PreTrainedConfig") -> LabelSchema | TaskSchemas:
    """Returns the labels a model was built for, in the order of its logits."""
    tasks: Any = getattr(config, "tasks", None)
    if not tasks:
        return LabelSchema.from_config(config)
    return TaskSchemas(
        {name: LabelSchema(tasks[name]["problem_type"], tuple(tasks[name]["labels"])) for name in sorted(tasks)}
    )


def schema_of_model(model: "PreTrainedModel") -> Schema:
    """Returns what a model's labels are."""
    if getattr(model, "writes_text", False):
        return TextSchema()
    if getattr(model, "learns_unlabelled", False):
        from hf_multimodal.data.masking import MaskingSchema

        return MaskingSchema.from_config(model.config)
    return ItemSchema() if getattr(model, "matches_items", False) else labels_from_config(model.config)


def check_labels(
    dataset: "datasets.Dataset | datasets.IterableDataset",
    schema: Schema,
    *,
    columns: "Columns | None" = None,
) -> None:
    """Encodes the whole label column once, so that a bad label is found before training starts.

    Only the label columns are read. A streamed dataset is left alone: its labels are checked as they come.

    Args:
        dataset: Rows as `load_rows` returns them.
        schema: What the labels should be. Of several tasks, those are checked that the dataset has a column for.
        columns: The user's own names of the columns, for the error.

    Raises:
        LabelError: naming the first row whose label does not fit.
    """
    if isinstance(schema, (LabelSchema, TextSchema)):
        _check_column(
            dataset, "label", columns, schema.encode if isinstance(schema, LabelSchema) else schema.references
        )
        return
    if not isinstance(schema, TaskSchemas):  # of retrieval and pretraining
        if "item" in (dataset.column_names or ()):
            _check_column(dataset, "item", columns, ItemSchema.encode)
        return
    for task in schema.schemas:
        if f"label.{task}" in dataset.column_names:
            _check_column(dataset, f"label.{task}", columns, partial(schema.encode, task))


def _check_column(
    dataset: "datasets.Dataset | datasets.IterableDataset",
    column: str,
    columns: "Columns | None",
    encode: Callable[..., Any],
) -> None:
    from hf_multimodal.data.columns import source_name
    from hf_multimodal.data.label_inference import column_values

    values = column_values(dataset, column)
    if values is None:
        return
    row_ids: Iterable[int | str] = range(len(values))
    if "row_id" in dataset.column_names:
        row_ids = column_values(dataset, "row_id") or ()
    source = source_name(columns, column)
    for row, value in zip(row_ids, values, strict=True):
        encode(value, row=row, column=source)
