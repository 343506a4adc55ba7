# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The trainer on tiny models, and plain transformers.Trainer beside it."""

from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import Trainer, TrainingArguments

from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.data.labels import LabelSchema
from hf_multimodal.data.loading import load_rows
from hf_multimodal.training.arguments import MultimodalTrainingArguments
from hf_multimodal.training.trainer import MultimodalTrainer
from tests.fake_hub import note_uploads
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


@pytest.mark.parametrize("towers", [{}, {"text": None}, {"image": None}])
def test_plain_trainer(tmp_path, rows, towers):
    processor = tiny_processor(**towers)
    args = TrainingArguments(
        str(tmp_path), remove_unused_columns=False, max_steps=1, report_to="none", per_device_train_batch_size=4
    )
    trainer = Trainer(
        tiny_model(num_labels=2, **towers),
        args,
        processing_class=processor,
        data_collator=MultimodalCollator(processor, LabelSchema.from_dataset(rows)),
        train_dataset=rows,
    )
    assert trainer.train().global_step == 1
    trainer.save_model()
    assert type(processor).from_pretrained(tmp_path).modalities == processor.modalities


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


def test_model_init(tmp_path, rows):
    made = []

    def build():
        made.append(tiny_model(num_labels=2))
        return made[-1]

    trainer = MultimodalTrainer(
        args=arguments(tmp_path, max_steps=1),
        model_init=build,
        processing_class=tiny_processor(),
        train_dataset=rows,
        eval_dataset=rows,
    )
    trainer.train()
    assert trainer.model is made[-1]
    assert "eval_accuracy" in trainer.evaluate()


def test_the_card_tells_the_kept_models_metrics(tmp_path, rows):
    args = arguments(tmp_path / "my-model", num_train_epochs=2, metric_for_best_model="accuracy")
    trainer = MultimodalTrainer(
        tiny_model(num_labels=2), args, processing_class=tiny_processor(), train_dataset=rows, eval_dataset=rows
    )
    trainer.train()
    trainer.create_model_card(license="mit", tags="fashion", finetuned_from="you/base")
    card = ModelCard.load(tmp_path / "my-model" / "README.md")
    assert (card.data.license, card.data.base_model, card.data.tags[-1]) == ("mit", "you/base", "fashion")
    reported = {x.metric_type: x.metric_value for x in card.data.eval_results}
    assert reported["accuracy"] == pytest.approx(trainer.state.best_metric, abs=1e-4)
    assert f"{len(rows)} train, {len(rows)} validation" in card.text


def test_emissions_are_those_that_codecarbon_wrote(tmp_path, rows):
    trainer = MultimodalTrainer(tiny_model(num_labels=2), arguments(tmp_path), processing_class=tiny_processor())
    assert trainer.training_facts()["emissions"] is None
    written = (
        "run_id,emissions,country_name\na,0.001,Norway\nb,0.0002,Norway\n"  # kg; the second went on from the first
    )
    Path(trainer.args.output_dir, "emissions.csv").write_text(written)
    told = trainer.training_facts()["emissions"]
    assert told == {"emissions": 1.2, "source": "CodeCarbon", "geographical_location": "Norway"}


def test_a_push_brings_our_card_and_the_code(tmp_path, rows, monkeypatch):
    uploads = note_uploads(monkeypatch, "you/my-model")
    trainer = MultimodalTrainer(
        tiny_model(num_labels=2),
        arguments(tmp_path / "my-model", max_steps=1, hub_model_id="you/my-model"),
        processing_class=tiny_processor(),
        train_dataset=rows,
    )
    trainer.train()
    trainer.push_to_hub()
    assert uploads[0]["repo_id"] == "you/my-model"
    names = {path.name for path in Path(uploads[0]["folder_path"]).iterdir()}
    assert {"README.md", "model.safetensors", "modeling_multimodal.py", "processor_config.json"} <= names
    assert "made with hf_multimodal" in (tmp_path / "my-model" / "README.md").read_text()


@pytest.mark.parametrize(
    ("values", "keeps_best"),
    [
        ({}, True),
        ({"eval_strategy": "no"}, False),
        ({"save_strategy": "no"}, False),
        ({"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 5, "save_steps": 5}, True),
        ({"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 5, "save_steps": 7}, False),
    ],
)
def test_the_best_model_is_kept_where_it_can_be(tmp_path, values, keeps_best):
    assert MultimodalTrainingArguments(str(tmp_path), **values).load_best_model_at_end is keeps_best
