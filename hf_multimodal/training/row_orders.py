# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Orders of rows in training: texts of one length together, so that little is padded; rows of one picture together."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from hf_multimodal.data.captions import CaptionRows, row_texts
from hf_multimodal.data.collator import picture_key
from hf_multimodal.data.loading import MEDIA

_AT_ONCE = 1000


def text_lengths(rows: Any, processor: Any) -> list[int]:  # noqa: ANN401 (a Dataset or CaptionRows; a processor)
    """Counts each row's tokens, as the processor cuts them; a row without text has none.

    Raises:
        ValueError: if the model reads no text.
    """
    if "text" not in processor.modalities:
        raise ValueError(
            "training.train_sampling_strategy=group_by_length groups rows by their texts, and this model reads none "
            f"({', '.join(processor.modalities)}): leave it out."
        )
    texts = [text or "" for text in row_texts(rows)]
    counts: list[int] = []
    for start in range(0, len(texts), _AT_ONCE):
        found = processor.tokenizer(texts[start : start + _AT_ONCE], truncation=True)
        counts += [len(ids) for ids in found["input_ids"]]
    return counts


class _EpochOrder(Sampler[int]):
    """An order drawn by seed and epoch alone.

    Args:
        count: How many rows there are.
        seed: Of the order.
        epoch: Where the number of the epoch is kept.
    """

    def __init__(self, count: int, seed: int, epoch: torch.Tensor) -> None:
        self.count, self.seed, self.epoch = count, seed, epoch

    def __len__(self) -> int:
        return self.count

    def chance(self) -> torch.Generator:
        """Returns what the epoch's order is drawn from."""
        return torch.Generator().manual_seed(self.seed + int(self.epoch))


class LengthOrder(_EpochOrder):
    """An order in which neighbours are about as long as each other, drawn by seed and epoch alone.

    Rows are shuffled, cut into chunks of fifty batches, and sorted by length within each (transformers'
    `get_length_grouped_indices`); the longest batch comes first, so that memory runs out at once or never.

    Args:
        lengths: Of each row.
        batch_size: Rows of a step, of all processes together.
        seed: Of the order.
        epoch: Where the number of the epoch is kept.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, epoch: torch.Tensor) -> None:
        super().__init__(len(lengths), seed, epoch)
        self.lengths, self.batch_size = list(lengths), batch_size

    def __iter__(self) -> Iterator[int]:
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=self.chance()))


def picture_keys(rows: Any) -> list[int]:  # noqa: ANN401 (a Dataset or CaptionRows)
    """Says which rows hold the same picture, by its bytes or its path: equal numbers.

    Raises:
        ValueError: if the rows have no pictures.
    """
    whole = rows.rows if isinstance(rows, CaptionRows) else rows
    if "image" not in (getattr(whole, "column_names", None) or ()):
        raise ValueError("training.rows_per_picture is for rows with pictures, and these have none: leave it out.")
    pictures = whole.select_columns(["image"]).cast_column("image", MEDIA["image"])
    keys = [hash(picture_key(row["image"]) or index) for index, row in enumerate(pictures)]
    return [keys[row] for row, _ in rows.places] if isinstance(rows, CaptionRows) else keys


class PictureOrder(_EpochOrder):
    """An order in which up to so many rows of one picture follow each other, drawn by seed and epoch alone.

    Args:
        keys: Of each row; rows of one picture have the same.
        together: How many of them stand together at most.
        seed: Of the order.
        epoch: Where the number of the epoch is kept.
    """

    def __init__(self, keys: Sequence[int], together: int, seed: int, epoch: torch.Tensor) -> None:
        super().__init__(len(keys), seed, epoch)
        self.keys, self.together = list(keys), together

    def __iter__(self) -> Iterator[int]:
        generator = self.chance()
        of_picture: dict[int, list[int]] = {}
        for row in torch.randperm(len(self.keys), generator=generator).tolist():
            of_picture.setdefault(self.keys[row], []).append(row)
        groups = [
            own[start : start + self.together]
            for own in of_picture.values()
            for start in range(0, len(own), self.together)
        ]
        for place in torch.randperm(len(groups), generator=generator).tolist():
            yield from groups[place]


__all__ = ["LengthOrder", "PictureOrder", "picture_keys", "text_lengths"]
