# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters of towers: what is trained, merged, saved alone and loaded again."""

import copy
import shutil

import pytest
import torch
from transformers import BertConfig

from hf_multimodal import MultimodalForClassification, MultimodalTrainer, MultimodalTrainingArguments
from hf_multimodal.training.adapters import add_adapters, load_adapters, merge_adapters, save_adapters
from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from tests.tiny import tiny_batch, tiny_model, tiny_processor
from tests.training.tiny_run import tiny_run

BOTH = {"text": {"r": 2}, "image": {"r": 2, "dora": True}}


def trained(model, steps=3):
    batch = tiny_batch(labels=torch.tensor([0, 1, 0]))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
    model.train()
    for _ in range(steps):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@pytest.mark.parametrize("image", ["timm vit", "timm resnet"])
def test_they_begin_as_nothing_and_merge_as_what_they_learned(image):
    model = tiny_model(image=image)
    batch = tiny_batch()
    before, names = model(**batch).logits, set(model.state_dict())
    backbones = {m: copy.deepcopy(tower.backbone.state_dict()) for m, tower in model.model.towers.items()}
    add_adapters(model, BOTH)
    torch.testing.assert_close(model(**batch).logits, before, atol=1e-5, rtol=1e-5)
    learning = {name for name, p in model.named_parameters() if p.requires_grad and ".backbone." in name}
    assert learning
    assert all("lora_" in name for name in learning)
    trained(model)
    after = model(**batch).logits
    assert not torch.allclose(after, before, atol=1e-3)
    merge_adapters(model)
    torch.testing.assert_close(model(**batch).logits, after, atol=1e-4, rtol=1e-4)
    assert set(model.state_dict()) == names
    for modality, tower in model.model.towers.items():
        changed = {n for n, x in tower.backbone.state_dict().items() if not torch.equal(x, backbones[modality][n])}
        assert changed
        assert not {name for name in changed if "running" in name or "norm" in name.lower()}


def test_a_dead_filter_has_no_direction():
    """MobileNetV2's pretrained weights have some; DoRA would divide by their norm."""
    model = tiny_model(image="timm resnet")
    modules = model.model.towers["image"].backbone.named_modules()
    name, layer = next((name, module) for name, module in modules if isinstance(module, torch.nn.Conv2d))
    with torch.no_grad():
        layer.weight[0] = 0
    batch = tiny_batch()
    before = model(**batch).logits
    add_adapters(model, {"image": {"r": 2, "dora": True}})
    torch.testing.assert_close(model(**batch).logits, before, atol=1e-5, rtol=1e-5)
    assert not any(name in x for x, _ in model.named_parameters() if "lora" in x)


def test_saved_alone_and_loaded(tmp_path):
    model = tiny_model()
    plain = copy.deepcopy(model)
    add_adapters(model, {"text": {"r": 2, "alpha": 8, "targets": ["query", "value"]}})
    trained(model)
    assert save_adapters(model, tmp_path) == ["text"]
    assert sorted(path.name for path in (tmp_path / "text").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    load_adapters(plain, tmp_path)
    ids = tiny_batch()
    text = {name: ids[name] for name in ("input_ids", "attention_mask")}
    expected = model.model.towers["text"].backbone(**text).last_hidden_state
    torch.testing.assert_close(plain.model.towers["text"].backbone(**text).last_hidden_state, expected)
    merge_adapters(plain)
    torch.testing.assert_close(
        plain.model.towers["text"].backbone(**text).last_hidden_state, expected, atol=1e-5, rtol=1e-5
    )


def test_a_run(tmp_path):
    """It ends with a plain model, which loads without peft, and the adapters alone."""
    values = tiny_run(tmp_path / "run")
    values["training"].update(adapters=BOTH, num_train_epochs=2, learning_rate=1e-2)
    result = train(RunConfig.from_dict(values))
    loaded = MultimodalForClassification.from_pretrained(result.folder)
    assert not [name for name in loaded.state_dict() if "lora" in name]
    assert sorted(path.name for path in (result.folder / "adapters").iterdir()) == ["image", "text"]
    facts = result.metrics["training"]
    assert facts["trainable_parameters"] < facts["parameters"]
    weights = (result.folder / "model.safetensors").read_bytes()
    checkpoints = sorted((result.folder / "checkpoints").glob("checkpoint-*"))
    with pytest.raises(ValueError, match="a checkpoint of a training with adapters, which are not merged"):
        MultimodalForClassification.from_pretrained(checkpoints[-1])
    shutil.rmtree(max(checkpoints, key=lambda path: int(path.name.partition("-")[2])))
    again = train(RunConfig.from_dict(values), resume=True)  # of the second epoch
    assert (again.folder / "model.safetensors").read_bytes() == weights


def test_the_trainer_saves_them_merged(tmp_path):
    model = tiny_model(num_labels=2)
    arguments = MultimodalTrainingArguments(str(tmp_path / "run"), adapters={"text": {"r": 2}}, report_to="none")
    trainer = MultimodalTrainer(model, arguments, processing_class=tiny_processor(), train_dataset=[])
    trained(model)
    expected = model(**tiny_batch()).logits
    trainer.save_model(str(tmp_path / "saved"))
    loaded = MultimodalForClassification.from_pretrained(tmp_path / "saved").eval()
    torch.testing.assert_close(loaded(**tiny_batch()).logits, expected, atol=1e-5, rtol=1e-5)
    assert (tmp_path / "saved" / "processor_config.json").is_file()
    assert any("lora_" in name for name, _ in model.named_parameters())  # which goes on learning
    with pytest.raises(ValueError, match="The text tower has an adapter already: call merge_adapters first"):
        add_adapters(model, {"text": {}})


@pytest.mark.parametrize(
    ("adapters", "message"),
    [
        ({"audio": {}}, "Unknown modality of an adapter 'audio'"),
        ({"text": {"rank": 2}}, "Unknown field of the text tower's adapter 'rank'"),
        ({"text": {"r": 0}}, "The text tower's adapter has r=0"),
        ({"text": {"dropout": 1.0}}, "dropout=1.0: r is a whole number"),
        ({"text": {"alpha": 0}}, "alpha=0, dropout=0.0"),
        ({"text": {"r": True}}, "has r=True"),
        ({"text": None}, "The text tower's adapter is None: give its fields"),
        ({"text": {"targets": "query"}}, "has targets='query': give a list of endings"),
        ({"text": {"targets": ["q_proj"]}}, "The text tower has no linear layer or convolution named 'q_proj': it has"),
    ],
)
def test_mistakes(adapters, message):
    with pytest.raises(ValueError, match=message):
        add_adapters(tiny_model(), adapters)


def test_a_frozen_tower_has_nothing_to_learn():
    with pytest.raises(ValueError, match="The text tower is frozen, so its adapter would not learn"):
        add_adapters(tiny_model(frozen_towers=["text"]), {"text": {}})


def test_adapters_of_another_tower(tmp_path):
    model = tiny_model()
    add_adapters(model, {"text": {"r": 2}})
    save_adapters(model, tmp_path)
    other = MultimodalForClassification.from_towers_pretrained(
        text=BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16),
        image={"architecture": "test_vit"},
        hidden_size=16,
    )
    with pytest.raises(ValueError, match="does not fit the text tower"):
        load_adapters(other, tmp_path)
    with pytest.raises(ValueError, match="There are no adapters in"):
        load_adapters(other, tmp_path / "text")
