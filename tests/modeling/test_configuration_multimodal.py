# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The configuration: round trips, the tables of modalities and fusions, and what it refuses."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError, StrictDataclassFieldValidationError
from transformers import AutoConfig, BertConfig, TimmWrapperConfig

from hf_multimodal.modeling.configuration_multimodal import (
    FUSIONS,
    MODALITIES,
    PROBLEM_TYPES,
    TOWER_CONFIG_FIELDS,
    MultimodalConfig,
    check_known,
)
from hf_multimodal.modeling.modeling_fusion import FUSION_CLASSES
from hf_multimodal.modeling.modeling_losses import answer_loss, classification_loss
from hf_multimodal.modeling.modeling_towers import TOWER_CLASSES
from hf_multimodal.modeling.processing_multimodal import COMPONENTS
from tests.tiny import IMAGE_TOWERS, TEXT_TOWERS

TOWERS = {"text_config": TEXT_TOWERS["bert"], "vision_config": IMAGE_TOWERS["timm vit"]}


def test_nested_dicts_become_configurations():
    config = MultimodalConfig(**TOWERS)
    assert (type(config.text_config), type(config.vision_config)) == (BertConfig, TimmWrapperConfig)
    assert config.text_config.hidden_size == 16
    assert config.vision_config.model_args == IMAGE_TOWERS["timm vit"]["model_args"]


def test_a_tower_without_a_model_type_is_bert_or_timm():
    config = MultimodalConfig(text_config={"hidden_size": 16}, vision_config={"architecture": "resnet18"})
    assert (config.text_config.model_type, config.vision_config.model_type) == ("bert", "timm_wrapper")


def test_round_trip_through_a_folder(tmp_path):
    config = MultimodalConfig(
        **TOWERS,
        fusion="concat",
        hidden_size=24,
        num_attention_heads=4,
        fusion_gates=True,
        frozen_towers=["image"],
        id2label={0: "cat", 1: "dog", 2: "bird"},
        label2id={"cat": 0, "dog": 1, "bird": 2},
    )
    config.save_pretrained(tmp_path)
    for loaded in (MultimodalConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert {**loaded.to_dict(), "_name_or_path": ""} == config.to_dict()
        assert loaded.frozen_towers == ["image"]
        assert loaded.vision_config.model_args == IMAGE_TOWERS["timm vit"]["model_args"]
        assert loaded.num_labels == 3


@pytest.mark.parametrize(("field", "modality"), [("text_config", "text"), ("vision_config", "image")])
def test_round_trip_with_one_tower(tmp_path, field, modality):
    MultimodalConfig(**{field: TOWERS[field]}).save_pretrained(tmp_path)
    assert MultimodalConfig.from_pretrained(tmp_path).modalities == (modality,)


def test_modalities_are_in_the_packages_order():
    config = MultimodalConfig(vision_config=TOWERS["vision_config"], text_config=TOWERS["text_config"])
    assert config.modalities == ("text", "image") == MODALITIES[:2]


def test_tower_config():
    config = MultimodalConfig(**TOWERS)
    assert config.tower_config("image") is config.vision_config
    with pytest.raises(ValueError, match="Unknown modality 'imgae'. Did you mean 'image'"):
        config.tower_config("imgae")
    with pytest.raises(ValueError, match=r"no image tower. Its modalities: \['text'\]"):
        MultimodalConfig(text_config=TOWERS["text_config"]).tower_config("image")


def test_every_modality_has_its_parts():
    assert tuple(TOWER_CONFIG_FIELDS) == tuple(TOWER_CLASSES) == tuple(COMPONENTS) == MODALITIES
    assert {*TOWER_CONFIG_FIELDS.values(), "decoder_config"} == set(MultimodalConfig.sub_configs_defaults)


def test_every_fusion_has_its_class():
    assert tuple(FUSION_CLASSES) == FUSIONS


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES)
def test_every_problem_type_has_its_loss(problem_type):
    labels = torch.zeros(2, dtype=torch.long) if problem_type.startswith("single") else torch.zeros(2, 3)
    if problem_type == "scored_answers":
        assert answer_loss(torch.zeros(2, 3), labels).isfinite()
        with pytest.raises(ValueError, match="is for MultimodalForQuestionAnswering"):
            classification_loss(torch.zeros(2, 3), labels, problem_type)
    else:
        assert classification_loss(torch.zeros(2, 3), labels, problem_type).isfinite()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fusion": "cross_atention"}, "Unknown fusion 'cross_atention'. Did you mean 'cross_attention'"),
        ({"problem_type": "multi_label"}, "Unknown problem_type 'multi_label'.*multi_label_classification"),
        ({"modality_dropout": {"imgae": 0.1}}, "Unknown modality in modality_dropout 'imgae'. Did you mean 'image'"),
        ({"modality_dropout": {"image": 1.5}}, "modality_dropout of image is 1.5"),
        ({"class_weights": [1.0]}, "class_weights=.1.0.: give one for each of the 2 labels"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"focal_gamma": -1.0}, "focal_gamma=-1.0"),
        ({"hidden_act": "geluu"}, "Unknown hidden_act 'geluu'. Did you mean 'gelu'"),
        ({"hidden_size": 0}, "hidden_size=0: it must be at least 1"),
        ({"num_attention_heads": 0}, "num_attention_heads=0: it must be at least 1"),
        ({"num_hidden_layers": -1}, "num_hidden_layers=-1: it cannot be negative"),
        ({"attention_probs_dropout_prob": -1.0}, "attention_probs_dropout_prob=-1.0: a dropout probability"),
        ({"frozen_towers": ["vision"]}, "Unknown modality in frozen_towers 'vision'.*Known: text, image"),
        ({"vision_config": None, "frozen_towers": ["image"]}, "has no vision_config.*drop it from frozen_towers"),
        (
            {"hidden_size": 30, "num_attention_heads": 8},
            "hidden_size=30 is not a multiple.*for instance hidden_size=24",
        ),
    ],
)
def test_values_it_refuses(values, message):
    with pytest.raises(StrictDataclassClassValidationError, match=f"(?s){message}") as raised:
        MultimodalConfig(**{**TOWERS, **values})
    assert isinstance(raised.value.__cause__, ValueError)


def test_a_value_of_the_wrong_type_is_refused():
    with pytest.raises(StrictDataclassFieldValidationError, match="'hidden_size' expected int, got str"):
        MultimodalConfig(hidden_size="16")


def test_check_known():
    check_known("fruit", "apple", ("apple", "pear"))
    with pytest.raises(ValueError, match=r"^Unknown fruit 'xyz'. Known: apple, pear.$"):
        check_known("fruit", "xyz", ("apple", "pear"))
