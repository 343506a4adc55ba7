# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Streams: every row once, by one process and worker, in an order that seed and epoch decide."""

import io
import json
import random
import tarfile

import datasets
import pytest
from torch.utils.data import DataLoader

from hf_multimodal.data.collator import MultimodalCollator, RowError
from hf_multimodal.data.faulty_rows import TolerantCollator
from hf_multimodal.data.loading import load_rows
from hf_multimodal.data.row_stream import RowStream, share_out, shuffled, survey
from tests.tiny import TEXTS, tiny_pictures, tiny_processor

COLUMNS = {"text": "title", "label": "kind"}


def write_parts(folder, sizes, row_group_size=None, **columns):
    """Writes parquet files of so many rows, numbered through."""
    start = 0
    for part, size in enumerate(sizes):
        numbers = range(start, start + size)
        rows = {"title": [f"text {i}" for i in numbers], "kind": ["ab"[i % 2] for i in numbers]}
        rows.update({name: [make(i) for i in numbers] for name, make in columns.items()})
        table = datasets.Dataset.from_dict(rows)
        table.to_parquet(str(folder / f"train-{part}.parquet"), batch_size=row_group_size or size)
        start += size


def open_stream(folder, columns=COLUMNS, **options):
    return load_rows(str(folder), split="train", columns=columns, streaming=True, **options).reshard()


def texts_of(stream):
    return [row["text"] for row in stream]


@pytest.mark.parametrize("sizes", [[7], [1, 1, 1], [10, 3, 0, 25, 8], [100] * 9])
@pytest.mark.parametrize("consumers", [1, 2, 3, 8])
def test_every_row_belongs_to_one_consumer(sizes, consumers):
    shares = share_out(sizes, consumers, random.Random(3))
    rows = [(part.piece, i) for share in shares for part in share for i in range(part.start, part.stop)]
    assert sorted(rows) == [(piece, i) for piece, size in enumerate(sizes) for i in range(size)]
    loads = [sum(part.stop - part.start for part in share) for share in shares]
    assert max(loads) - min(loads) <= 1
    assert sum(len(share) for share in shares) < len(sizes) + consumers  # split at borders only


def test_the_buffer_is_all_that_is_held():
    """A row comes out before the one that is a buffer behind it is read."""
    read = []
    rows = shuffled((read.append(i) or i for i in range(100)), 10, random.Random(0))
    drawn = []
    for row in rows:
        drawn.append(row)
        assert len(read) - len(drawn) <= 10
    assert sorted(drawn) == list(range(100))
    assert drawn != list(range(100))
    assert list(shuffled(iter(range(5)), 1, random.Random(0))) == list(range(5))


@pytest.mark.parametrize("workers", [0, 2])
def test_all_processes_and_workers_together_read_every_row(tmp_path, workers):
    write_parts(tmp_path, [20, 31], row_group_size=10)
    rows = open_stream(tmp_path)
    found = survey(rows, has_ids=False)
    assert found.sizes == [10, 10, 10, 10, 10, 1]
    options = {"has_ids": False, "batch_size": 4, "workers": workers, "world_size": 2, "buffer_size": 5}
    streams = [RowStream(rows, found.sizes, rank=rank, **options) for rank in (0, 1)]

    def read(stream):
        loader = DataLoader(stream, batch_size=4, num_workers=workers, collate_fn=list)
        batches = list(loader)
        assert len(batches) == len(loader) == len(stream) / 4
        assert all(len(batch) == 4 for batch in batches)
        return [row for batch in batches for row in batch]

    first, second = map(read, streams)
    assert len(first) == len(second)
    own, others = ({row["text"] for row in rows} for rows in (first, second))
    assert not own & others
    assert own | others == {f"text {i}" for i in range(51)}
    ids = {row["row_id"]: row["text"] for row in first + second}
    assert len(ids) == 51  # as many ids as rows, without a column of them
    assert [row["text"] for row in read(streams[0])] == [row["text"] for row in first]
    streams[0].set_epoch(1)
    assert [row["text"] for row in read(streams[0])] != [row["text"] for row in first]


def test_workers_that_stay_alive_see_the_next_epoch(tmp_path):
    write_parts(tmp_path, [40])
    rows = open_stream(tmp_path)
    stream = RowStream(rows, survey(rows).sizes, batch_size=4, workers=1)
    loader = DataLoader(stream, batch_size=4, num_workers=1, collate_fn=texts_of, persistent_workers=True)
    first = list(loader)
    stream.set_epoch(1)
    second = list(loader)
    assert first != second
    assert sorted(sum(first, [])) == sorted(sum(second, []))


def test_the_survey_opens_no_picture(tmp_path):
    (tmp_path / "here.txt").write_text("no picture")
    write_parts(tmp_path, [6], picture=lambda i: f"lost-{i}.png")
    rows = open_stream(tmp_path, {**COLUMNS, "image": "picture"})
    found = survey(rows)
    assert found.rows.column_names == ["text", "label", "row_id"]
    assert found.rows["label"] == list("ababab")


def test_a_row_of_each_text(tmp_path):
    write_parts(tmp_path, [3], said=lambda i: [f"{i}{x}" for x in "xyz"[:i]])
    rows = load_rows(str(tmp_path), split="train", columns={"text": "said"}, streaming=True, text_lists=True)
    found = survey(rows, texts="text", has_ids=False)
    assert found.sizes == [4]  # the first has none, and stays without
    stream = RowStream(rows, found.sizes, texts="text", has_ids=False)
    assert {(row["row_id"], row["item"], row["text"]) for row in stream} == {
        ("0-0#0", "0-0", None),
        ("0-1#0", "0-1", "1x"),
        ("0-2#0", "0-2", "2x"),
        ("0-2#1", "0-2", "2y"),
    }


def test_tar_files(tmp_path):
    """WebDataset's shards: a sample is all files of one name."""
    for part in range(2):
        with tarfile.open(tmp_path / f"train-{part}.tar", "w") as tar:
            for i in range(3):
                picture = io.BytesIO()
                tiny_pictures(1, seed=i)[0].save(picture, format="PNG")
                for suffix, content in (
                    ("png", picture.getvalue()),
                    ("txt", f"text {part} {i}".encode()),
                    ("json", json.dumps({"kind": "a"}).encode()),
                ):
                    info = tarfile.TarInfo(f"{part}-{i}.{suffix}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    rows = open_stream(tmp_path, {"text": "txt", "image": "png", "id": "__key__"})
    found = survey(rows)
    assert found.sizes == [3, 3]
    stream = RowStream(rows, found.sizes, batch_size=2)
    collator = MultimodalCollator(tiny_processor())
    batches = list(DataLoader(stream, batch_size=2, collate_fn=collator))
    assert [tuple(batch["pixel_values"].shape)[:2] for batch in batches] == [(2, 3)] * 3
    assert {row["row_id"] for row in stream} == {f"{part}-{i}" for part in range(2) for i in range(3)}


def test_what_cannot_be_streamed(tmp_path):
    write_parts(tmp_path, [3])
    rows = open_stream(tmp_path)
    with pytest.raises(ValueError, match="3 rows cannot be shared out over 2 processes of 2 workers each: use fewer"):
        RowStream(rows, [3], workers=2, world_size=2)
    changed = RowStream(rows, [5])
    with pytest.raises(ValueError, match="Part 0 of the source has 3 rows, and had 5 when the run began"):
        list(changed)


class TestFaultyRows:
    ROWS = [
        {"text": TEXTS[0], "image": {"bytes": b"no picture", "path": None}, "row_id": "a"},
        {"text": TEXTS[1], "image": tiny_pictures(1)[0], "row_id": "b"},
        {"text": None, "image": None, "row_id": "c"},
    ]

    @staticmethod
    def collator(**options):
        return TolerantCollator(tiny_processor(), None, **{"total": 1000, "with_row_ids": True, **options})

    def test_they_are_left_out_and_the_batch_keeps_its_size(self, tmp_path):
        log = tmp_path / "faulty.jsonl"
        for collate in (self.collator(log=log), self.collator(log=log)):  # as two workers do: told once
            assert collate(self.ROWS)["row_ids"] == ["b", "b", "b"]
        told = [json.loads(line) for line in log.read_text().splitlines()]
        assert [(row["row_id"], row["modalities"]) for row in told] == [("a", ["image"]), ("c", [])]

    def test_what_is_faulty_is_left_out(self):
        batch = self.collator(policy="as_missing")(self.ROWS)
        assert batch["row_ids"] == ["a", "b", "a"]
        assert batch["modality_mask"].tolist() == [[True, False], [True, True], [True, False]]

    def test_rows_of_one_id_are_told_apart_by_their_place(self):
        rows = [{**row, "row_id": "same"} for row in self.ROWS]
        batch = self.collator()(rows)
        assert batch["modality_mask"].tolist() == [[True, True]] * 3  # the good one is not taken for a bad one

    def test_too_many(self):
        with pytest.raises(ValueError, match="2 of 100 train rows cannot be used.*max_faulty_share=0.01"):
            self.collator(total=100)(self.ROWS)

    def test_all_workers_count_together(self, tmp_path):
        rows = [{**self.ROWS[0], "row_id": str(i)} for i in range(3)]
        for i in range(2):
            self.collator(total=200, log=tmp_path / "log")([rows[i], self.ROWS[1]])
        with pytest.raises(ValueError, match="3 of 200 train rows"):
            self.collator(total=200, log=tmp_path / "log")([rows[2], self.ROWS[1]])

    def test_nothing_is_left_of_a_batch(self):
        """A row of the batch before stands in; where there was none, the run ends."""
        collate = self.collator()
        with pytest.raises(RowError, match="Row 'a', column 'image'"):
            collate(self.ROWS[:1])
        collate(self.ROWS[1:2])
        assert collate(self.ROWS[:1])["row_ids"] == ["b"]

    def test_evaluation_is_not_tolerant(self):
        with pytest.raises(RowError, match="Row 'a', column 'image'"):
            self.collator().for_evaluation()(self.ROWS)
