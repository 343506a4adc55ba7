# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints are whole or passed over, replaced and deleted in the right order, and a full disk is told."""

import json
import logging

import pytest

from hf_multimodal.data.loading import load_rows
from hf_multimodal.training import checkpoints
from hf_multimodal.training.arguments import MultimodalTrainingArguments
from hf_multimodal.training.checkpoints import (
    MANIFEST,
    UNFINISHED,
    damage_of,
    list_checkpoints,
    newest_whole_checkpoint,
    prune_checkpoints,
    publish_checkpoint,
    seal_checkpoint,
)
from hf_multimodal.training.trainer import MultimodalTrainer
from tests.tiny import tiny_model, tiny_processor

COLUMNS = {"text": "statement", "image": "image", "label": "label", "id": "id"}


def make_checkpoint(folder, step, sealed=True):
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "part").mkdir(parents=True)
    (checkpoint / "weights").write_bytes(bytes(range(100)))
    (checkpoint / "part" / "optimizer").write_text("state")
    if sealed:
        seal_checkpoint(checkpoint)
    return checkpoint


def names(found):
    return [checkpoint.name for checkpoint in found]


def cut(checkpoint):
    (checkpoint / "weights").write_bytes(bytes(range(40)))


def change(checkpoint):
    (checkpoint / "part" / "optimizer").write_text("State")


def remove(checkpoint):
    (checkpoint / "weights").unlink()


def unseal(checkpoint):
    (checkpoint / MANIFEST).unlink()


def garble(checkpoint):
    (checkpoint / MANIFEST).write_text("{")


DAMAGE = {
    garble: f"its {MANIFEST} cannot be read",
    cut: "weights has 40 bytes instead of 100",
    change: "part/optimizer is not what was written",
    remove: "weights is missing",
    unseal: f"it has no {MANIFEST}, so it was not finished",
}


@pytest.mark.parametrize("spoil", DAMAGE)
def test_damage_is_found_and_passed_over(tmp_path, caplog, spoil):
    make_checkpoint(tmp_path, 5)
    newest = make_checkpoint(tmp_path, 10)
    assert newest_whole_checkpoint(tmp_path) == newest
    spoil(newest)
    assert DAMAGE[spoil] in damage_of(newest)
    with caplog.at_level(logging.WARNING):
        assert newest_whole_checkpoint(tmp_path).name == "checkpoint-5"
    assert DAMAGE[spoil] in caplog.text


def test_none_is_whole(tmp_path):
    assert newest_whole_checkpoint(tmp_path) is None
    assert newest_whole_checkpoint(tmp_path / "absent") is None
    make_checkpoint(tmp_path, 5, sealed=False)
    with pytest.raises(ValueError, match=r"None of the checkpoints .* is whole, such as checkpoint-5 .*--overwrite"):
        newest_whole_checkpoint(tmp_path)


def test_the_newest_has_the_highest_step(tmp_path):
    for step in (9, 100, 20):
        make_checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-x").mkdir()
    assert names(list_checkpoints(tmp_path)) == ["checkpoint-100", "checkpoint-20", "checkpoint-9"]


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path):
    make_checkpoint(tmp_path, 5)
    (tmp_path / UNFINISHED).mkdir()
    again = make_checkpoint(tmp_path / UNFINISHED, 5)
    (again / "weights").write_bytes(b"new")
    publish_checkpoint(again, tmp_path / "checkpoint-5")
    assert (tmp_path / "checkpoint-5" / "weights").read_bytes() == b"new"
    assert names(list_checkpoints(tmp_path)) == ["checkpoint-5"]


@pytest.mark.parametrize(
    ("limit", "kept"),
    [(None, [40, 30, 20, 10]), (0, [40, 30, 20, 10]), (3, [40, 30, 10]), (2, [40, 10]), (1, [40, 10])],
)
def test_the_newest_and_the_best_stay(tmp_path, limit, kept):
    for step in (10, 20, 30, 40):
        make_checkpoint(tmp_path, step)
    prune_checkpoints(tmp_path, limit, [str(tmp_path / "checkpoint-10"), str(tmp_path / "checkpoint-40"), None])
    assert names(list_checkpoints(tmp_path)) == [f"checkpoint-{step}" for step in kept]


class Noting(MultimodalTrainer):
    """A trainer that notes the steps it makes, from 0."""

    def training_step(self, *args, **kwargs):
        self.made = [*getattr(self, "made", []), self.state.global_step]
        return super().training_step(*args, **kwargs)


def trainer_of(folder, **values):
    rows = load_rows("scenes", split="train", columns=COLUMNS, num_rows=12)
    settings = {"max_steps": 4, "per_device_train_batch_size": 4, "report_to": "none", **values}
    arguments = MultimodalTrainingArguments(str(folder), **settings)
    model = tiny_model(num_labels=2)
    return Noting(model, arguments, processing_class=tiny_processor(), train_dataset=rows, eval_dataset=rows)


def test_a_trainer_writes_whole_checkpoints_and_names_the_best_one(tmp_path):
    trainer = trainer_of(tmp_path, save_strategy="steps", eval_strategy="steps", save_steps=1, eval_steps=1)
    trainer.train()
    found = list_checkpoints(tmp_path)
    assert found[0].name == "checkpoint-4"
    assert [damage_of(checkpoint) for checkpoint in found] == [None, None]
    assert not (tmp_path / UNFINISHED).exists()
    for checkpoint in found:
        best = json.loads((checkpoint / "trainer_state.json").read_text())["best_model_checkpoint"]
        assert best is None or UNFINISHED not in best
    assert trainer.state.best_model_checkpoint in map(str, found)


def test_resuming_takes_the_newest_whole_one(tmp_path):
    trainer_of(tmp_path, save_strategy="steps", save_steps=2).train()
    cut_off = tmp_path / "checkpoint-4" / "optimizer.pt"
    cut_off.write_bytes(cut_off.read_bytes()[:-10])
    again = trainer_of(tmp_path, save_strategy="steps", save_steps=2)
    with pytest.raises(ValueError, match=r"checkpoint-4' is no whole checkpoint: optimizer\.pt has"):
        again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    again.train(resume_from_checkpoint=True)
    assert again.made == [2, 3]  # from checkpoint-2 on
    assert damage_of(tmp_path / "checkpoint-4") is None  # made anew, from the one before
    with pytest.raises(ValueError, match="There is no checkpoint in .* to go on from"):
        trainer_of(tmp_path / "other").train(resume_from_checkpoint=True)


def test_the_best_one_is_found_where_a_run_was_moved_to(tmp_path):
    settings = {"save_strategy": "steps", "eval_strategy": "steps", "save_steps": 1, "eval_steps": 1}
    first = trainer_of(tmp_path / "here", **settings)
    first.train()
    (tmp_path / "here").rename(tmp_path / "there")
    moved = trainer_of(tmp_path / "there", **settings)
    moved.train(resume_from_checkpoint=True)
    best = f"checkpoint-{first.state.best_global_step}"
    assert moved.state.best_model_checkpoint == str(tmp_path / "there" / best)


def test_a_full_disk_is_told_and_what_was_there_stays(tmp_path, monkeypatch):
    trainer = trainer_of(tmp_path, save_strategy="steps", save_steps=2)

    def full(checkpoint):
        if checkpoint.name == "checkpoint-4":
            raise OSError("[Errno 28] No space left on device")
        seal_checkpoint(checkpoint)

    monkeypatch.setattr(checkpoints, "seal_checkpoint", full)
    with pytest.raises(
        OSError, match=r"No space left to write checkpoint-4 .*takes about 0\.\d MB.*checkpoint-2 is as"
    ):
        trainer.train()
    assert names(list_checkpoints(tmp_path)) == ["checkpoint-2"]
    assert damage_of(tmp_path / "checkpoint-2") is None
    assert not (tmp_path / UNFINISHED).exists()


def test_another_failure_stays_what_it_is(tmp_path, monkeypatch):
    trainer = trainer_of(tmp_path, save_strategy="steps", save_steps=2)
    monkeypatch.setattr(checkpoints, "seal_checkpoint", lambda checkpoint: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    assert list_checkpoints(tmp_path) == []
