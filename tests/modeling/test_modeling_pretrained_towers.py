# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Pretrained towers come from local folders with their own weights, and folders that do not fit are refused."""

import json

import pytest
import timm
import torch
from safetensors.torch import save_file
from transformers import (
    AutoConfig,
    AutoModel,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    CLIPConfig,
    CLIPModel,
    LlamaForCausalLM,
    SiglipTextConfig,
    SiglipTextModel,
    T5EncoderModel,
    TimmWrapperConfig,
)
from transformers import PreTrainedConfig as Config
from transformers.modeling_outputs import ModelOutput

from hf_multimodal.modeling import modeling_pretrained_towers
from hf_multimodal.modeling.configuration_towers import parse_tower
from hf_multimodal.modeling.configuration_towers import tower_config as config_of_tower
from hf_multimodal.modeling.modeling_multimodal import MultimodalForClassification, MultimodalModel
from hf_multimodal.modeling.modeling_pretrained_towers import (
    backbone_class,
    build_backbone,
    feature_layout,
    read_features,
)
from hf_multimodal.modeling.modeling_timm import TimmBackbone
from tests.tiny import IMAGE_TOWERS, OTHER_IMAGE_TOWERS, SIDE, TEXT_TOWERS, TIMM_WITH_BUFFERS, tiny_towers, tower_config

FUSION = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
RESNET = IMAGE_TOWERS["timm resnet"]
IDS = torch.tensor([[2, 7, 8, 3]])
PIXELS = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def build(cls=MultimodalModel, **towers):
    return cls.from_towers_pretrained(**towers, **FUSION).eval()


def backbone(model, modality):
    return getattr(model, "model", model).towers[modality].backbone


def timm_model(values=RESNET, **kwargs):
    torch.manual_seed(7)
    return timm.create_model(values["architecture"], **values["model_args"], **kwargs).eval()


@pytest.fixture
def bert_folder(tmp_path):
    """A folder of a tiny BERT with another task's head, as most of them on the Hub are."""
    torch.manual_seed(7)
    BertForMaskedLM(tower_config(TEXT_TOWERS["bert"])).save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def timm_hub_folder(path, values=RESNET, num_classes=10):
    """A folder as `timm.models.save_for_hf` writes it, classifier and all; returns it with its model."""
    model = timm_model(values, num_classes=num_classes)
    path.mkdir()
    save_file(model.state_dict(), path / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architecture": values["architecture"],
        "num_classes": num_classes,
        "pretrained_cfg": {"input_size": [3, SIDE, SIDE], "num_classes": num_classes},
        "model_args": {**values["model_args"], "num_classes": num_classes},
    }
    (path / "config.json").write_text(json.dumps(config))
    return path, model


def test_text_weights(bert_folder):
    expected = BertModel.from_pretrained(bert_folder).eval()(input_ids=IDS).last_hidden_state
    for cls in (MultimodalModel, MultimodalForClassification):
        actual = backbone(build(cls, text=str(bert_folder)), "text")(input_ids=IDS).last_hidden_state
        torch.testing.assert_close(actual, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "values", [RESNET, TIMM_WITH_BUFFERS["swin"], IMAGE_TOWERS["timm vit"]], ids=["resnet", "swin", "vit"]
)
def test_image_weights_from_a_timm_hub_folder(tmp_path, values):
    folder, model = timm_hub_folder(tmp_path / "timm", values)
    actual = backbone(build(image=str(folder)), "image")(pixel_values=PIXELS, do_pooling=False).last_hidden_state
    assert torch.equal(actual, model.forward_features(PIXELS))


def test_image_weights_from_our_own_folder(tmp_path):
    source = TimmBackbone(tower_config(RESNET)).eval()
    source.save_pretrained(tmp_path)
    loaded = backbone(build(image=str(tmp_path)), "image")
    assert torch.equal(loaded(pixel_values=PIXELS).last_hidden_state, source(pixel_values=PIXELS).last_hidden_state)


def test_image_weights_from_a_bare_folder(tmp_path):
    model = timm_model(num_classes=10)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    loaded = backbone(build(image={"path": str(tmp_path), **RESNET}), "image")
    actual = loaded(pixel_values=PIXELS, do_pooling=False).last_hidden_state
    assert torch.equal(actual, model.forward_features(PIXELS))


def test_half_of_a_dual_encoder(tmp_path):
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text = {**small, "vocab_size": 32, "max_position_embeddings": 16, "eos_token_id": 3, "bos_token_id": 2}
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config={**small, "image_size": SIDE, "patch_size": 8})).eval()
    clip.save_pretrained(tmp_path)
    model = build(text=str(tmp_path), image=str(tmp_path))
    actual = backbone(model, "image")(pixel_values=PIXELS).last_hidden_state
    torch.testing.assert_close(actual, clip.vision_model(pixel_values=PIXELS).last_hidden_state)
    actual = backbone(model, "text")(input_ids=IDS).last_hidden_state
    torch.testing.assert_close(actual, clip.text_model(input_ids=IDS).last_hidden_state)


def test_weights_in_half_precision_are_loaded_in_float32(bert_folder):
    BertModel.from_pretrained(bert_folder, dtype=torch.bfloat16).save_pretrained(bert_folder)
    model = build(text=str(bert_folder))
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_pretrained_false_takes_the_configuration_alone(bert_folder):
    loaded = backbone(build(text={"path": str(bert_folder), "pretrained": False}), "text")
    saved = BertModel.from_pretrained(bert_folder).embeddings.word_embeddings.weight
    assert loaded.config.hidden_size == 16
    assert not torch.equal(loaded.embeddings.word_embeddings.weight, saved)


def test_frozen_towers_and_configuration_objects_mix(bert_folder):
    model = build(text={"path": str(bert_folder), "frozen": True}, image=tiny_towers()["image"])
    assert model.config.frozen_towers == ["text"]
    assert not any(p.requires_grad for p in backbone(model, "text").parameters())
    assert all(p.requires_grad for p in backbone(model, "image").parameters())


def test_what_was_built_from_folders_needs_them_no_more(bert_folder, tmp_path):
    folder, _ = timm_hub_folder(tmp_path / "timm")
    model = build(MultimodalForClassification, text=str(bert_folder), image=str(folder))
    expected = model(input_ids=IDS, pixel_values=PIXELS).logits
    model.save_pretrained(tmp_path / "fused")
    for path in (*bert_folder.iterdir(), *folder.iterdir()):
        path.unlink()
    loaded = MultimodalForClassification.from_pretrained(tmp_path / "fused")
    torch.testing.assert_close(loaded(input_ids=IDS, pixel_values=PIXELS).logits, expected, atol=1e-5, rtol=0)


def test_folder_without_weights(bert_folder):
    (bert_folder / "model.safetensors").unlink()
    message = "The text tower's folder .* holds no weights: expected model.safetensors.*pretrained: false"
    with pytest.raises(ValueError, match=message):
        build(text=str(bert_folder))


def test_pickled_weights_are_not_read(bert_folder):
    torch.save(BertModel.from_pretrained(bert_folder).state_dict(), bert_folder / "pytorch_model.bin")
    (bert_folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="holds no weights.*pickled weights .* are not read, convert them"):
        build(text=str(bert_folder))


def test_text_weights_of_another_architecture(bert_folder):
    (bert_folder / "config.json").write_text(json.dumps(tower_config(TEXT_TOWERS["distilbert"]).to_dict()))
    with pytest.raises(
        ValueError, match=r"text tower's weights at .* lack \d+ tensors that distilbert needs.*another architecture"
    ):
        build(text=str(bert_folder))


def test_text_weights_of_another_size(bert_folder):
    wider = tower_config({**TEXT_TOWERS["bert"], "hidden_size": 32})
    with pytest.raises(ValueError, match="text tower"):
        build(text={"path": str(bert_folder), "config": wider})


def test_image_weights_of_another_architecture(tmp_path):
    folder, _ = timm_hub_folder(tmp_path / "timm")
    config = json.loads((folder / "config.json").read_text())
    config.update(IMAGE_TOWERS["timm convnext"])
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"image tower's weights at .* lack \d+ tensors that timm_wrapper needs"):
        build(image=str(folder))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (IMAGE_TOWERS["timm convnext"], r"image tower's weights at .* lack \d+ tensors"),
        ({"architecture": "resnet18"}, "do not fit timm architecture 'resnet18' of the image tower: size mismatch"),
    ],
)
def test_bare_weights_of_another_architecture(tmp_path, values, message):
    save_file(timm_model().state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=message):
        build(image={"path": str(tmp_path), **values})


def test_bare_weights_beside_a_configuration_that_is_not_timms(tmp_path):
    save_file(timm_model().state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"no config.json, so its weights can only be timm's, but .* is 'bert'"):
        build(text={"path": str(tmp_path), "config": tower_config(TEXT_TOWERS["bert"])})


def test_classifiers_of_other_tasks_are_left_behind(tmp_path):
    BertForSequenceClassification(tower_config(TEXT_TOWERS["bert"])).save_pretrained(tmp_path)
    keys = build(text=str(tmp_path)).state_dict()
    assert not [key for key in keys if "classifier" in key or "pooler.dense" in key and "towers" in key]


def test_unknown_architecture_and_field(tmp_path):
    with pytest.raises(ValueError, match="Unknown timm architecture 'resnet_18'. Did you mean"):
        build(image={"architecture": "resnet_18"})
    with pytest.raises(ValueError, match="Unknown field of the image tower 'model_arg'. Did you mean 'model_args'"):
        build(image={"architecture": "resnet18", "model_arg": {}})
    with pytest.raises(ValueError, match="has no config.json"):
        build(text=str(tmp_path))


def test_folder_of_an_architecture_that_this_timm_does_not_know(tmp_path):
    folder, _ = timm_hub_folder(tmp_path / "timm")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architecture": "resnet_18"}))
    with pytest.raises(
        (ImportError, ValueError), match="'resnet_18' is not supported in your version of timm|Unknown timm"
    ):
        build(image=str(folder))


def test_backbone_class():
    assert backbone_class(TimmWrapperConfig(architecture="resnet18")) is TimmBackbone
    assert backbone_class(tower_config(TEXT_TOWERS["t5"])) is T5EncoderModel
    assert backbone_class(BertConfig()).__name__ == "BertModel"
    assert backbone_class(LlamaForCausalLM.config_class()).__name__ == "LlamaModel"
    assert backbone_class(SiglipTextConfig()) is SiglipTextModel  # in no mapping of transformers
    with pytest.raises(ValueError, match="transformers has no encoder for model_type=''"):
        backbone_class(Config())


def test_width_is_that_of_the_features():
    """mobilenetv3 ends in a wider layer that only its own classifier uses."""
    backbone = build_backbone(tower_config(IMAGE_TOWERS["timm mobilenetv3"]))
    assert feature_layout(backbone)[0] == backbone.timm_model.num_features != backbone.timm_model.head_hidden_size


def test_width_that_is_not_stated():
    backbone = build_backbone(tower_config(TEXT_TOWERS["bert"]))
    assert feature_layout(backbone) == (16, False)
    backbone.config = Config()
    with pytest.raises(
        ValueError, match="Cannot tell the feature width of BertModel.*hidden_size, d_model.*hidden_sizes"
    ):
        feature_layout(backbone)


def test_no_width_is_measured_where_it_is_stated(monkeypatch):
    monkeypatch.setattr(modeling_pretrained_towers, "_shape_of_features", lambda _: pytest.fail("measured"))
    for name, values in (TEXT_TOWERS | IMAGE_TOWERS).items():
        assert feature_layout(build_backbone(tower_config(values)))[0] > 0, name


def test_measuring_draws_no_random_numbers():
    backbone = build_backbone(tower_config(OTHER_IMAGE_TOWERS["cvt"]))
    state = torch.get_rng_state()
    feature_layout(backbone)
    assert torch.equal(torch.get_rng_state(), state)


def test_outputs_without_features():
    with pytest.raises(ValueError, match="A ModelOutput has neither last_hidden_state nor feature_maps"):
        read_features(ModelOutput(logits=torch.ones(1)))


@pytest.mark.parametrize("kind", ["siglip", "altclip", "chinese_clip", "blip"])
@pytest.mark.parametrize("modality", ["text", "image"])
def test_half_of_any_dual_encoder(tmp_path, kind, modality):
    """Some halves expect their weights with the half's name in front, some without."""
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text = {**small, "vocab_size": 32, "pad_token_id": 0, **({"project_dim": 24} if kind == "altclip" else {})}
    vision = {**small, "image_size": SIDE, "patch_size": 8}
    config = AutoConfig.for_model(kind, text_config=text, vision_config=vision)
    whole = AutoModel.from_config(config).eval()
    whole.save_pretrained(tmp_path)
    loaded = backbone(build(**{modality: str(tmp_path)}), modality)
    half, inputs = {
        "text": ("text_model", {"input_ids": IDS}),
        "image": ("vision_model", {"pixel_values": PIXELS}),
    }[modality]
    expected = getattr(whole, half)(**inputs).last_hidden_state
    torch.testing.assert_close(loaded(**inputs).last_hidden_state, expected)


_SMALL_VIT = {"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": 8, "img_size": SIDE}
_SMALL_SWIN = {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "img_size": 64, "window_size": 8}
RESIZED = {
    "vit": {"architecture": "vit_tiny_patch16_224", "model_args": _SMALL_VIT},
    "swin": {"architecture": "swin_tiny_patch4_window7_224", "model_args": _SMALL_SWIN},
}


@pytest.mark.parametrize("name", RESIZED)
@pytest.mark.parametrize("source", ["bare", "hub", "ours", "hub and config"])
def test_another_image_size(tmp_path, name, source):
    """An explicit image_size wins over the saved one, and the weights are resampled as timm does it."""
    values = RESIZED[name]
    folder, model = timm_hub_folder(tmp_path / "timm", values)
    tower = {"path": str(folder), "image_size": 48}
    if source == "bare":
        (folder / "config.json").unlink()
        tower |= values
    elif source == "ours":
        TimmBackbone.from_pretrained(
            folder, config=config_of_tower("image", parse_tower("image", str(folder)))
        ).save_pretrained(tmp_path / "o")
        tower["path"] = str(tmp_path / "o")
    elif source == "hub and config":
        tower["config"] = values
    resized = timm.create_model(
        values["architecture"],
        pretrained=True,
        pretrained_cfg_overlay={"state_dict": model.state_dict(), "num_classes": 10},
        num_classes=0,
        **{**values["model_args"], "img_size": 48},
    ).eval()
    pixels = torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    loaded = build(image=tower)
    actual = backbone(loaded, "image")(pixel_values=pixels, do_pooling=False).last_hidden_state
    assert torch.equal(actual, resized.forward_features(pixels))
    # and the model that was built knows its size
    loaded.save_pretrained(tmp_path / "fused")
    again = MultimodalModel.from_pretrained(tmp_path / "fused").eval()
    assert torch.equal(again(pixel_values=pixels).pooler_output, loaded(pixel_values=pixels).pooler_output)


@pytest.mark.parametrize("has_config", [True, False])
def test_another_image_size_that_timm_cannot_resample_to(tmp_path, has_config):
    values = {
        "architecture": "cait_xxs24_224",
        "model_args": {"embed_dim": 16, "depth": 1, "num_heads": 2, "img_size": 64},
    }
    folder, _ = timm_hub_folder(tmp_path / "timm", values)
    tower = {"path": str(folder), "image_size": 96}
    if not has_config:
        (folder / "config.json").unlink()
        tower |= values
    message = "do not fit timm architecture 'cait_xxs24_224' .*size mismatch.*resamples .* to no other image_size"
    with pytest.raises(ValueError, match=message):
        build(image=tower)
