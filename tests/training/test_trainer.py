# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The trainer on tiny models, and plain transformers.Trainer beside it."""

import pytest
import torch
from transformers import Trainer, TrainingArguments

from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.data.labels import LabelSchema
from hf_multimodal.data.loading import load_rows
from hf_multimodal.training.arguments import MultimodalTrainingArguments
from hf_multimodal.training.trainer import MultimodalTrainer
from tests.tiny import tiny_model, tiny_processor

COLUMNS = {"text": "statement", "image": "image", "label": "label"}


@pytest.fixture(scope="module")
def rows():
    return load_rows("scenes", split="train", columns=COLUMNS, num_rows=12)


def arguments(folder, **values):
    defaults = {"max_steps": 2, "per_device_train_batch_size": 4, "report_to": "none", "logging_steps": 1}
    return MultimodalTrainingArguments(output_dir=str(folder), **{**defaults, **values})


def test_trains_evaluates_and_saves_with_the_processor(tmp_path, rows):
    processor = tiny_processor()
    trainer = MultimodalTrainer(
        tiny_model(num_labels=2),
        arguments(tmp_path, eval_strategy="steps", save_strategy="steps", save_steps=2, eval_steps=2),
        processing_class=processor,
        train_dataset=rows,
        eval_dataset=rows,
    )
    trainer.train()
    scores = trainer.evaluate()
    assert {"eval_loss", "eval_accuracy", "eval_f1"} <= set(scores)
    saved = {path.name for path in (tmp_path / "checkpoint-2").iterdir()}
    assert {"model.safetensors", "processor_config.json", "tokenizer.json", "modeling_multimodal.py"} <= saved


def test_plain_trainer(tmp_path, rows):
    processor = tiny_processor()
    args = TrainingArguments(
        str(tmp_path), remove_unused_columns=False, max_steps=1, report_to="none", per_device_train_batch_size=4
    )
    schema = LabelSchema.from_dataset(rows)
    trainer = Trainer(
        tiny_model(num_labels=2), args, data_collator=MultimodalCollator(processor, schema), train_dataset=rows
    )
    assert trainer.train().global_step == 1


def test_gradient_accumulation_does_not_change_the_update(tmp_path, rows):
    """Four rows at once, or four times one: the same mean loss, hence the same weights after a step of SGD."""
    weights = []
    for name, size, steps in (("a", 4, 1), ("b", 1, 4)):
        model = tiny_model(num_labels=2)
        args = arguments(
            tmp_path / name,
            max_steps=1,
            optim="sgd",
            learning_rate=0.1,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=steps,
            eval_strategy="no",
            save_strategy="no",
            load_best_model_at_end=False,
        )
        MultimodalTrainer(model, args, processing_class=tiny_processor(), train_dataset=rows).train()
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*weights, atol=1e-6, rtol=1e-5)


def test_towers_have_their_own_learning_rate(tmp_path, rows):
    model = tiny_model(num_labels=2)
    args = arguments(tmp_path, learning_rate=1e-3, tower_learning_rate=1e-5, weight_decay=0.1)
    trainer = MultimodalTrainer(model, args, processing_class=tiny_processor(), train_dataset=rows, eval_dataset=rows)
    optimizer = trainer.create_optimizer()
    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rate_of) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert rate_of[id(parameter)] == (1e-5 if ".backbone." in name else 1e-3), name


def test_a_processor_of_other_towers_is_refused(tmp_path):
    with pytest.raises(ValueError, match="are not the processor's"):
        MultimodalTrainer(tiny_model(num_labels=2), arguments(tmp_path), processing_class=tiny_processor(image=False))


def test_raw_columns_must_reach_the_collator(tmp_path):
    with pytest.raises(ValueError, match="remove_unused_columns=True would drop"):
        arguments(tmp_path, remove_unused_columns=True)


def test_plain_arguments_that_drop_raw_columns_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Set remove_unused_columns=False"):
        MultimodalTrainer(tiny_model(num_labels=2), TrainingArguments(str(tmp_path)), processing_class=tiny_processor())


def test_training_without_an_evaluation_set(tmp_path, rows):
    trainer = MultimodalTrainer(
        tiny_model(num_labels=2), arguments(tmp_path), processing_class=tiny_processor(), train_dataset=rows
    )
    assert trainer.train().global_step == 2


def test_images_alone(tmp_path, rows):
    trainer = MultimodalTrainer(
        tiny_model(text=None, num_labels=2),
        arguments(tmp_path),
        processing_class=tiny_processor(text=False),
        train_dataset=rows,
    )
    trainer.train()
    trainer.save_model(str(tmp_path))
    assert (tmp_path / "processor_config.json").is_file()


def test_early_stopping(tmp_path, rows):
    args = arguments(
        tmp_path,
        max_steps=20,
        learning_rate=0.0,
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=1,
        save_steps=1,
        early_stopping_patience=2,
        metric_for_best_model="accuracy",
    )
    trainer = MultimodalTrainer(
        tiny_model(num_labels=2), args, processing_class=tiny_processor(), train_dataset=rows, eval_dataset=rows
    )
    trainer.train()
    assert trainer.state.global_step == 3  # the first is the best, two without improvement follow
