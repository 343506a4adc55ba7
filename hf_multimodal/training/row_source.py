# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Which rows a saved model is evaluated on or predicts: its run's own, or the user's."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets

from hf_multimodal.data.columns import ColumnError, flatten_columns
from hf_multimodal.data.loading import limit_rows, load_rows
from hf_multimodal.data.sources import Rows, Source
from hf_multimodal.modeling.configuration_multimodal import MODALITIES
from hf_multimodal.training.output_folder import RUN_FILE
from hf_multimodal.training.run_config import RunConfig


@dataclass(frozen=True)
class RowSource:
    """Rows to evaluate or predict.

    Attributes:
        source: As in `load_rows`.
        split: Split of the source.
        columns: Canonical name -> column of the source.
        options: Arguments for loading.
        limit: Only that many rows, as `limit_rows` chooses them; None takes all.
        seed: The run's seed.
        is_own: Whether these are the rows of the run that made the model.
        asked: Canonical names whose columns the user has named; those of the run may be missing from other rows.
    """

    source: Source
    split: str | None
    columns: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    limit: int | None = None
    seed: int = 0
    is_own: bool = False
    asked: frozenset[str] = frozenset()

    @classmethod
    def for_model(
        cls, model: str, *, source: str | None, split: str | None, columns: Iterable[str] | None
    ) -> "RowSource":
        """Fills in what the user left out from the run that made the model.

        Args:
            model: The model's folder.
            source: The user's source, or None.
            split: The user's split; None takes the run's test split, or the only one of another source.
            columns: The user's mapping as `canonical=source` items, or None; `canonical=` leaves a column out.

        Raises:
            ValueError: if something is left out and the folder holds no run, or an item is malformed.
        """
        check_model_name(model)
        run_file = Path(model) / RUN_FILE
        config = RunConfig.load(run_file) if run_file.is_file() else None
        mapping = _parse_columns(columns or ())
        if config is None:
            if source is None or not mapping:
                raise ValueError(
                    f"{_why_no_run(model)}, so nothing says where the rows are: give --source and one "
                    "--column canonical=source per column (--column text=question --column image=image --column "
                    "label=answer)."
                )
            return cls(source=source, split=split, columns=mapping, asked=frozenset(mapping))
        run = config.data
        columns = {name: column for name, column in {**flatten_columns(run.columns), **mapping}.items() if column}
        if source not in (None, run.source):
            return cls(source=source, split=split, columns=columns, asked=frozenset(mapping))
        role = split or "test"
        return cls(
            source=run.source,
            split=run.splits.get(role, role),
            columns=columns,
            options=run.options,
            limit=run.limit.get(role) if source is None else None,
            seed=config.limit_seed,
            is_own=source is None,
            asked=frozenset(mapping),
        )

    @property
    def name(self) -> str:
        """What the source is called: a Hub id, or the last part of a path."""
        if not isinstance(self.source, (str, Path)):
            return "rows in memory"
        is_local = Path(self.source).expanduser().exists()
        return Path(self.source).resolve().name if is_local else str(self.source)

    @property
    def description(self) -> dict[str, Any]:
        """Which rows these are, as JSON; rows in memory are not told apart."""
        source = str(self.source) if isinstance(self.source, (str, Path)) else "rows in memory"
        told = {name: getattr(self, name) for name in ("split", "columns", "options", "limit", "seed")}
        return {"source": source, **told}

    def load(self, *, with_labels: bool, text_lists: bool = False, keep: Sequence[str] = ()) -> datasets.Dataset:
        """Loads the rows, with or without their label column, and with further columns."""
        left_out = () if with_labels else ("label",)
        return limit_rows(self._load(left_out, text_lists=text_lists, keep=keep), self.limit, self.seed)

    def stream(self, modality: str, *, keep: Sequence[str] = ()) -> Rows:
        """Opens the rows with one modality's column, read as they are needed where they are not limited in number.

        Args:
            modality: The modality.
            keep: Other columns to carry along.
        """
        others = ("label", *(m for m in MODALITIES if m != modality))
        is_slice = "[" in (self.split or "")  # `datasets` streams none
        options: dict[str, Any] = {"text_lists": True, "keep": keep, "optional": ("id", "item")}
        if self.limit is not None or is_slice:
            return limit_rows(self._load(others, **options), self.limit, self.seed)
        return self._load(others, streaming=True, **options)

    def _load(self, left_out: Collection[str], *, optional: Sequence[str] = ("id",), **kwargs: Any) -> Any:  # noqa: ANN401 (Rows, as the arguments ask)
        """Loads the rows without some columns.

        Args:
            left_out: Canonical names; of nested ones the first part.
            optional: Names that other rows than the run's own need not have: without ids they are numbered.
            **kwargs: Of `load_rows`.
        """
        columns = {k: v for k, v in self.columns.items() if k.split(".")[0] not in left_out}
        while True:
            try:
                return load_rows(self.source, columns=columns, split=self.split, **kwargs, **self.options)
            except ColumnError as error:
                missing = [k for k in optional if columns.get(k) == error.column and k not in self.asked]
                if self.is_own or not missing:
                    raise ColumnError(f"{error} Map another one: --column text=YOUR_COLUMN.", error.column) from error
                columns.pop(missing[0])


def check_model_name(model: str) -> None:
    """Refuses what is neither a folder nor could be a Hub id.

    Raises:
        ValueError: naming it, and from where it was looked for.
    """
    looks_local = model.startswith((".", "/", "~")) or model.count("/") > 1
    if looks_local and not Path(model).is_dir():
        raise ValueError(f"There is no folder {model!r} (looked from {str(Path.cwd())!r}): correct the model's path.")


def _why_no_run(model: str) -> str:
    is_hub_id = not Path(model).exists() and len(model.split("/")) <= 2
    return f"{model!r} is not a local folder" if is_hub_id else f"{model!r} holds no {RUN_FILE}"


def _parse_columns(items: Iterable[str]) -> dict[str, str]:
    mapping = {}
    for item in items:
        name, separator, column = item.partition("=")
        if not separator or not name:
            raise ValueError(
                f"Cannot read --column {item!r}: write canonical=source, for instance text=question (text= drops it)."
            )
        mapping[name] = column
    return mapping


__all__ = ["RowSource", "check_model_name"]
