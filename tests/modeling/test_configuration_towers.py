# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What a user may say about a tower, and the configuration it becomes."""

import json
from pathlib import Path

import pytest
from transformers import AutoConfig, BertConfig, CLIPConfig, TimmWrapperConfig

from hf_multimodal.modeling.configuration_towers import TowerSpec, parse_tower, parse_towers, timm_hub_id, tower_config

BERT = BertConfig(hidden_size=16, num_attention_heads=2)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("name/model", TowerSpec(path="name/model")),
        (Path("folder"), TowerSpec(path="folder")),
        (BERT, TowerSpec(config=BERT)),
        ({"path": "x", "frozen": True}, TowerSpec(path="x", frozen=True)),
        (TowerSpec(architecture="resnet18"), TowerSpec(architecture="resnet18")),
    ],
)
def test_spellings_of_a_tower(value, expected):
    assert parse_tower("image", value) == expected


@pytest.mark.parametrize(
    ("spec", "loads"),
    [
        (TowerSpec(path="x"), True),
        (TowerSpec(path="x", pretrained=False), False),
        (TowerSpec(architecture="resnet18"), False),
    ],
)
def test_loads_weights(spec, loads):
    assert spec.loads_weights is loads


def test_towers_come_in_the_packages_order():
    assert list(parse_towers({"image": "a", "text": "b"})) == ["text", "image"]
    assert list(parse_towers({"image": "a", "text": None})) == ["image"]


def test_towers_it_refuses():
    with pytest.raises(ValueError, match="Unknown field of the text tower 'frozn'. Did you mean 'frozen'"):
        parse_tower("text", {"path": "x", "frozn": True})
    with pytest.raises(TypeError, match="The text tower is int: give a Hub id or folder"):
        parse_tower("text", 3)
    with pytest.raises(ValueError, match=r"names no backbone: set path, config or \(for timm\) architecture"):
        parse_tower("image", {"frozen": True})
    with pytest.raises(ValueError, match=r"The text tower names no backbone: set path, config or"):
        tower_config("text", TowerSpec())
    with pytest.raises(ValueError, match="Unknown modality 'vision'"):
        parse_towers({"vision": "x"})
    with pytest.raises(ValueError, match="No tower given: give at least one of text, image"):
        parse_towers({"text": None})


def test_unknown_timm_architecture_names_the_nearest():
    with pytest.raises(ValueError, match="Unknown timm architecture 'resnet_18'. Did you mean 'resnet"):
        tower_config("image", TowerSpec(architecture="resnet_18"))


def test_folder_without_a_configuration(tmp_path):
    with pytest.raises(ValueError, match=r"has no config.json.*name the architecture beside it"):
        tower_config("image", TowerSpec(path=str(tmp_path)))


def test_model_arguments_reach_timm():
    config = tower_config("image", TowerSpec(architecture="resnet18", model_args={"output_stride": 16}))
    assert config.model_args == {"output_stride": 16}


def test_image_size_is_told_to_backbones_built_for_one_size():
    assert tower_config("image", TowerSpec(architecture="vit_tiny_patch16_224", image_size=96)).model_args == {
        "img_size": 96
    }
    assert tower_config("image", TowerSpec(architecture="resnet18", image_size=96)).model_args is None


def test_timm_hub_folder(tmp_path):
    """As timm's own `save_for_hf` writes it: `num_classes` stands in `model_args`, which the wrapper would refuse."""
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                "architecture": "resnet18",
                "num_classes": 10,
                "model_args": {"num_classes": 10, "channels": [8, 8, 16, 16]},
                "pretrained_cfg": {"input_size": [3, 64, 64]},
            }
        )
    )
    config = tower_config("image", TowerSpec(path=str(tmp_path), model_args={"output_stride": 16}))
    assert (config.model_type, config.architecture) == ("timm_wrapper", "resnet18")
    assert config.model_args == {"channels": [8, 8, 16, 16], "output_stride": 16}


@pytest.mark.parametrize(("modality", "half"), [("text", "clip_text_model"), ("image", "clip_vision_model")])
def test_dual_encoder_gives_the_half_that_reads_the_modality(tmp_path, modality, half):
    CLIPConfig().save_pretrained(tmp_path)
    assert tower_config(modality, TowerSpec(path=str(tmp_path))).model_type == half


def test_timm_hub_id():
    assert timm_hub_id("resnet18") == "timm/resnet18.a1_in1k"
    assert timm_hub_id("resnet18.tv_in1k") == "timm/resnet18.tv_in1k"
    assert timm_hub_id("timm/resnet18") == "timm/resnet18"
    assert timm_hub_id("bert-base-uncased") == "bert-base-uncased"


VIT = {"architecture": "vit_tiny_patch16_224", "model_args": {"depth": 1}}


@pytest.mark.parametrize("config", [VIT, TimmWrapperConfig(**VIT)], ids=["dict", "object"])
def test_image_size_and_arguments_reach_a_given_timm_configuration(config):
    tower = parse_tower("image", {"config": config, "image_size": 96, "model_args": {"patch_size": 8}})
    assert tower_config("image", tower).model_args == {"depth": 1, "patch_size": 8, "img_size": 96}
    # what the user gave stays as it is
    assert (config["model_args"] if isinstance(config, dict) else config.model_args) == {"depth": 1}


def test_image_size_wins_over_the_saved_one(tmp_path):
    args = {"img_size": [224, 224]}
    saved = {"architecture": VIT["architecture"], "num_classes": 10, "model_args": args, "pretrained_cfg": {}}
    (tmp_path / "config.json").write_text(json.dumps(saved))
    assert tower_config("image", TowerSpec(path=str(tmp_path), image_size=96)).model_args == {"img_size": 96}
    assert tower_config("image", TowerSpec(path=str(tmp_path))).model_args == {"img_size": [224, 224]}


@pytest.mark.parametrize(
    ("modality", "tower", "message"),
    [
        ("image", {"config": VIT, "architecture": "resnet18"}, "both a config and architecture='resnet18'"),
        ("text", {"config": BERT, "image_size": 96}, "text tower has image_size=96, which it does not read"),
        ("text", {"config": BERT, "model_args": {"a": 1}}, "text tower has model_args=.*which it does not read"),
        ("image", {"config": VIT, "tokenizer": "x"}, "image tower has tokenizer='x', which it does not read"),
    ],
)
def test_fields_without_effect(modality, tower, message):
    with pytest.raises(ValueError, match=message):
        parse_tower(modality, tower)


def test_model_arguments_are_timms_alone():
    with pytest.raises(ValueError, match="model_args=.*which only timm reads, but its backbone is 'vit'"):
        tower_config("image", TowerSpec(config={"model_type": "vit"}, model_args={"depth": 1}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "bert", "hidden_sizee": 64}, "Unknown field .* 'hidden_sizee'. Did you mean 'hidden_size'"),
        # by the name that the class maps to its own `dim`
        ({"model_type": "distilbert", "hidden_sise": 64}, "'hidden_sise'. Did you mean 'hidden_size'"),
        ({"model_type": "timm_wrapper", "model_arg": {}}, "timm_wrapper configuration 'model_arg'. Did you mean"),
        ({"architecture": "resnet_18", "model_type": "timm_wrapper"}, "Unknown timm architecture 'resnet_18'"),
    ],
)
def test_unknown_keys_of_a_configuration(values, message):
    with pytest.raises(ValueError, match=message):
        tower_config("text", TowerSpec(config=values))


@pytest.mark.parametrize(
    "values",
    [
        {"model_type": "distilbert", "hidden_size": 32, "num_hidden_layers": 1, "n_heads": 2},
        {"model_type": "bert", "num_labels": 3, "torch_dtype": "float32", "attn_implementation": "eager"},
        {"model_type": "bert", "id2label": {0: "a"}, "auto_map": {}, "tokenizer_class": "BertTokenizer"},
        {"model_type": "llama", "rope_theta": 1e4, "temperature": 0.5},
        {"model_type": "clip", "text_config": {"hidden_size": 16}},
    ],
)
def test_keys_that_a_configuration_takes_without_a_field(values):
    assert tower_config("text", TowerSpec(config=values)).model_type == values["model_type"]


@pytest.mark.parametrize(
    "model_type", ["bert", "t5", "llama", "gpt2", "swin", "convnext", "timm_wrapper", "modernbert"]
)
def test_what_a_configuration_saves_is_known(model_type):
    values = AutoConfig.for_model(model_type).to_dict()
    assert tower_config("text", TowerSpec(config=values)).model_type == model_type


def test_values_of_a_wrong_type_are_value_errors():
    with pytest.raises(ValueError, match="The text tower's configuration: .*hidden_size"):
        tower_config("text", TowerSpec(config={"model_type": "bert", "hidden_size": "wide"}))
