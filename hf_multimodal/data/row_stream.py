# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Rows that are read while a model trains on them, each by exactly one process and worker."""

import random
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import torch
from torch.utils.data import IterableDataset, get_worker_info

from hf_multimodal.data.captions import row_of_caption
from hf_multimodal.data.columns import ROW_ID
from hf_multimodal.data.loading import MEDIA


class Part(NamedTuple):
    """Rows `start` to `stop` of one piece: a file, or a row group of a parquet file."""

    piece: int
    start: int
    stop: int


def share_out(sizes: Sequence[int], consumers: int, chance: random.Random) -> list[list[Part]]:
    """Shares pieces out over consumers, in an order drawn by chance, so that none has more than one row more.

    A piece at the border of two shares is read by both, each its own rows.

    Args:
        sizes: Rows of each piece.
        consumers: Among how many.
        chance: Draws the order.
    """
    order = list(range(len(sizes)))
    chance.shuffle(order)
    total, begin, shares = sum(sizes), 0, [[] for _ in range(consumers)]  # type: ignore[var-annotated]
    borders = [total * index // consumers for index in range(consumers + 1)]
    for piece in order:
        for share, low, high in zip(shares, borders, borders[1:], strict=False):
            start, stop = max(low - begin, 0), min(high - begin, sizes[piece])
            if start < stop:
                share.append(Part(piece, start, stop))
        begin += sizes[piece]
    return shares


def shuffled(rows: Iterator[Any], buffer_size: int, chance: random.Random) -> Iterator[Any]:
    """Draws each next row from a buffer of the coming ones, as tf.data's `shuffle` does."""
    buffer = list(islice(rows, buffer_size))
    for row in rows:
        place = chance.randrange(len(buffer))
        yield buffer[place]
        buffer[place] = row
    chance.shuffle(buffer)
    yield from buffer


class RowStream(IterableDataset):
    """An endless supply cut into epochs: every row once, then as many again as make all processes' batches equal.

    Every process and each of its workers reads its own pieces of the source, and no other process or worker does. All
    of them yield equally many whole batches, so that no process waits for another in vain: who has fewer rows begins
    again with its own. A text that an item has in several rows stands in each. The order depends on seed and epoch
    alone, so a run that is resumed with as many processes and workers goes on with the same rows.

    Args:
        rows: A stream as `load_rows(..., streaming=True)` returns it.
        sizes: Rows in each of its shards.
        texts: The column whose lists of texts become a row each, or None.
        has_ids: Whether the source has ids; else rows are named after their shard and place in it.
        buffer_size: Rows held in memory by each worker, of which the next one is drawn.
        seed: Of the order.
        batch_size: Rows in a batch of one process.
        workers: Processes that read for one process.
        rank: Number of this process.
        world_size: Processes that train.

    Raises:
        ValueError: if there are fewer rows than who is to read them.
    """

    def __init__(
        self,
        rows: datasets.IterableDataset,
        sizes: Sequence[int],
        *,
        texts: str | None = None,
        has_ids: bool = True,
        buffer_size: int = 1000,
        seed: int = 0,
        batch_size: int = 1,
        workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.rows, self.sizes, self.texts, self.has_ids = rows, list(sizes), texts, has_ids
        self.buffer_size, self.seed, self.batch_size = max(1, buffer_size), seed, batch_size
        self.workers, self.rank, self.world_size = max(1, workers), rank, world_size
        self.epoch = torch.zeros((), dtype=torch.long).share_memory_()  # workers that stay alive see it change
        if self.num_rows < self.workers * world_size:
            raise ValueError(
                f"{self.num_rows} rows cannot be shared out over {world_size} processes of {self.workers} workers "
                "each: use fewer."
            )

    @property
    def num_rows(self) -> int:
        """Rows of the source."""
        return sum(self.sizes)

    @property
    def column_names(self) -> list[str]:
        """The columns of a row."""
        return list(dict.fromkeys([*(self.rows.column_names or ()), ROW_ID]))

    def set_epoch(self, epoch: int) -> None:
        """Draws another order from here on."""
        self.epoch.fill_(epoch)

    def __len__(self) -> int:
        """Rows that this process gets in an epoch: whole batches, equally many in every epoch."""
        return self.workers * self._rows_each()

    def _rows_each(self) -> int:
        """Rows that each worker yields: those of the one with the most, filled up to a whole batch."""
        most = -(-self.num_rows // (self.workers * self.world_size))
        return -(-most // self.batch_size) * self.batch_size

    def __iter__(self) -> Iterator[dict[str, Any]]:
        info = get_worker_info()
        consumer = self.rank * self.workers + (0 if info is None else info.id)
        chance = random.Random(f"{self.seed} {int(self.epoch)}")
        share = share_out(self.sizes, self.workers * self.world_size, chance)[consumer]
        own = sum(part.stop - part.start for part in share)
        chance = random.Random(f"{self.seed} {int(self.epoch)} {consumer}")
        once = shuffled(chain.from_iterable(map(self._read, share)), self.buffer_size, chance)
        again = chain.from_iterable(map(self._read, cycle(share)))
        yield from once
        yield from islice(again, self._rows_each() - own)

    def _read(self, part: Part) -> Iterator[dict[str, Any]]:
        rows = self.rows.shard(num_shards=len(self.sizes), index=part.piece)
        count = 0
        for row in islice(named_rows(rows, part.piece, self.texts, self.has_ids), part.start, part.stop):
            count += 1
            yield row
        if count < part.stop - part.start:
            raise ValueError(
                f"Part {part.piece} of the source has {part.start + count} rows, and had {self.sizes[part.piece]} when "
                "the run began: it has changed. Start again."
            )


def named_rows(
    rows: datasets.IterableDataset, piece: int, texts: str | None, has_ids: bool
) -> Iterator[dict[str, Any]]:
    """Reads a piece, naming rows without ids after it, with a row for each of several texts."""
    # in batches of one: iterated by itself, a stream shares its rows out over a loader's workers once more
    for index, batch in enumerate(rows.iter(batch_size=1)):
        row = {name: values[0] for name, values in batch.items()}
        named = row if has_ids else {**row, ROW_ID: f"{piece}-{index}"}
        if texts is None:
            yield named
        else:
            yield from (row_of_caption(named, place, texts) for place in range(len(named[texts] or [None])))


class Survey(NamedTuple):
    """What is known of a stream before it is trained on: all columns but media, and the rows of each shard."""

    rows: datasets.Dataset
    sizes: list[int]


def survey(rows: datasets.IterableDataset, *, texts: str | None = None, has_ids: bool = True) -> Survey:
    """Goes once through a stream without opening any media.

    Args:
        rows: A stream as `load_rows(..., streaming=True)` returns it.
        texts: The column whose lists of texts count as a row each, or None.
        has_ids: As of `RowStream`.

    Returns:
        The columns that hold no media, on the disk until they are let go of, and the rows of each shard.

    Raises:
        ValueError: if there are no rows.
    """
    light = rows.remove_columns([name for name in rows.column_names or () if name in MEDIA])
    sizes = [0] * rows.num_shards
    cache = Path(datasets.config.HF_DATASETS_CACHE)
    cache.mkdir(parents=True, exist_ok=True)  # on the disk, which the place of temporary files need not be
    folder = tempfile.mkdtemp(prefix="hf_multimodal-survey-", dir=cache)

    def read() -> Iterator[dict[str, Any]]:
        for piece in range(len(sizes)):
            shard = light.shard(num_shards=len(sizes), index=piece)
            sizes[piece] = 0
            for row in named_rows(shard, piece, None, has_ids):
                sizes[piece] += 1 if texts is None else len(row[texts] or [None])
                yield {name: value for name, value in row.items() if name not in MEDIA}

    features = light.features
    if features is not None and not has_ids:
        features = datasets.Features({**features, ROW_ID: datasets.Value("string")})
    try:
        table = datasets.Dataset.from_generator(read, features=features, cache_dir=folder)
    except Exception:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(table, shutil.rmtree, folder, ignore_errors=True)
    if not len(table):
        raise ValueError("The source has no rows.")
    return Survey(table, sizes)


__all__ = ["Part", "RowStream", "Survey", "named_rows", "share_out", "shuffled", "survey"]
