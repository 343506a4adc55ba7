# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Towers: one of each kind of backbone comes to the same output, and the parts that make it so."""

import math
from types import SimpleNamespace

import pytest
import timm
import torch
from transformers import Siglip2VisionConfig

from hf_multimodal.modeling.configuration_multimodal import MultimodalConfig
from hf_multimodal.modeling.modeling_multimodal import MultimodalModel
from hf_multimodal.modeling.modeling_tower_base import flatten_features, sincos_position_2d
from hf_multimodal.modeling.modeling_towers import ImageTower, TextTower, build_backbone
from hf_multimodal.modeling.modeling_vision_towers import prefers_channels_last
from tests.tiny import IMAGE_TOWERS, OTHER_IMAGE_TOWERS, SIDE, TEXT_TOWERS, tower_config

WIDTH = 12
FUSION = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
DUAL_TEXT = {
    "vocab_size": 32,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "pad_token_id": 0,
}
# Width, tokens of a 32 x 32 picture: strides of 32, but 16 for MobileViTv2 and CvT, 8 for FocalNet and SAM 2.
OTHER_FEATURES = {
    "mobilenet_v1": (256, 1),
    "mobilenet_v2": (1280, 1),
    "efficientnet": (320, 1),
    "mobilevit": (32, 1),
    "mobilevitv2": (128, 4),
    "cvt": (16, 4),
    "swiftformer": (16, 1),
    "focalnet": (16, 16),
    "sam2": (16, 16),
    "timm_backbone": (288, 1),
}
# Picture side -> tokens, where it is known by hand: patches of 8 (and one class token), strides of 4 to 32.
IMAGE_TOKENS = {
    "timm resnet": {32: 1, 64: 4, 96: 9},
    "timm vit": {32: 17},
    "timm convnext": {32: 1, 64: 4},
    "timm swin": {32: 16},
    "timm mobilenetv3": {32: 1, 64: 4},
    "vit": {32: 17, 48: 37},
    "resnet": {32: 16, 48: 36},
    "convnext": {32: 16, 48: 36},
}


def build(tower_class, values, frozen=False):
    torch.manual_seed(0)
    frozen_towers = [tower_class.modality] if frozen else None
    config = SimpleNamespace(**FUSION, layer_norm_eps=1e-6, position_temperature=10_000, frozen_towers=frozen_towers)
    return tower_class(build_backbone(tower_config(values)), config)


def check_gradients(tower, output):
    """Every part of the tower learns; what a backbone has behind its last features cannot."""
    (output.tokens * torch.randn_like(output.tokens)).sum().backward()
    without = {name for name, p in tower.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert not {name for name in without if not name.startswith("backbone.")} - {"absent_token"}
    embeddings = next(iter(dict(tower.backbone.named_parameters())))
    assert f"backbone.{embeddings}" not in without


@pytest.mark.parametrize("name", TEXT_TOWERS)
def test_text_tower(name):
    tower = build(TextTower, TEXT_TOWERS[name])
    input_ids = torch.tensor([[2, 7, 8, 9, 3], [2, 7, 3, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    output = tower(None, input_ids=input_ids, attention_mask=mask, token_type_ids=torch.zeros_like(input_ids))
    assert output.tokens.shape == (2, 5, WIDTH)
    assert output.mask.dtype == torch.bool
    assert output.mask.tolist() == mask.bool().tolist()
    check_gradients(tower, output)


@pytest.mark.parametrize("name", TEXT_TOWERS)
def test_text_tower_has_no_pooler(name):
    assert not [key for key in build(TextTower, TEXT_TOWERS[name]).state_dict() if ".pooler." in key]


@pytest.mark.parametrize("name", IMAGE_TOWERS)
def test_image_tower(name):
    tower = build(ImageTower, IMAGE_TOWERS[name])
    output = tower(None, pixel_values=torch.randn(2, 3, SIDE, SIDE))
    assert output.tokens.shape == (2, IMAGE_TOKENS[name][SIDE], WIDTH)
    assert output.mask.dtype == torch.bool
    assert output.mask.all()
    check_gradients(tower, output)


OTHER_SIZES = [(name, side) for name, tokens in IMAGE_TOKENS.items() for side in tokens if side != SIDE]


@pytest.mark.parametrize(("name", "side"), OTHER_SIZES)
def test_other_image_sizes(name, side):
    output = build(ImageTower, IMAGE_TOWERS[name]).eval()(None, pixel_values=torch.randn(1, 3, side, side))
    assert output.tokens.shape == (1, IMAGE_TOKENS[name][side], WIDTH)


def test_other_image_sizes_of_a_dynamic_timm_vit():
    values = IMAGE_TOWERS["timm vit"]
    tower = build(ImageTower, {**values, "model_args": {**values["model_args"], "dynamic_img_size": True}})
    # 3 * 4 patches and the class token
    assert tower(None, pixel_values=torch.randn(1, 3, 24, 32)).tokens.shape == (1, 13, WIDTH)


def test_pictures_need_not_be_square():
    output = build(ImageTower, IMAGE_TOWERS["timm resnet"]).eval()(None, pixel_values=torch.randn(1, 3, 64, 96))
    assert output.tokens.shape == (1, 2 * 3, WIDTH)


def test_text_tower_without_a_mask_takes_every_token():
    output = build(TextTower, TEXT_TOWERS["bert"])(None, input_ids=torch.tensor([[2, 7, 3]]))
    assert output.mask.tolist() == [[True, True, True]]


def test_text_tower_takes_embeddings_instead_of_ids():
    tower = build(TextTower, TEXT_TOWERS["bert"]).eval()
    input_ids = torch.tensor([[2, 7, 3]])
    embeds = tower.backbone.get_input_embeddings()(input_ids)
    torch.testing.assert_close(tower(None, inputs_embeds=embeds).tokens, tower(None, input_ids=input_ids).tokens)


def test_text_tower_needs_ids_or_embeddings():
    with pytest.raises(ValueError, match="got neither input_ids nor inputs_embeds: give one of them"):
        build(TextTower, TEXT_TOWERS["bert"])(None, attention_mask=torch.ones(1, 3))


@pytest.mark.parametrize("name", TEXT_TOWERS)
def test_text_without_any_token_attends_to_its_first(name):
    """Attending to nothing yields NaN in a softmax."""
    tower = build(TextTower, TEXT_TOWERS[name]).eval()
    output = tower(None, input_ids=torch.zeros(1, 3, dtype=torch.long), attention_mask=torch.zeros(1, 3))
    assert output.mask.tolist() == [[True, False, False]]
    assert output.tokens[:, 0].isfinite().all()


@pytest.mark.parametrize(
    ("tower_class", "values"), [(TextTower, TEXT_TOWERS["bert"]), (ImageTower, IMAGE_TOWERS["timm vit"])]
)
def test_absent_rows_hold_the_absent_token_alone(tower_class, values):
    tower = build(tower_class, values).eval()
    torch.nn.init.normal_(tower.absent_token)
    pictures, ids = torch.randn(2, 3, SIDE, SIDE), torch.tensor([[2, 7, 3], [2, 8, 3]])
    inputs = {"pixel_values": pictures} if tower_class is ImageTower else {"input_ids": ids}
    output = tower(torch.tensor([True, False]), **inputs)
    torch.testing.assert_close(output.tokens[0], tower(None, **inputs).tokens[0])
    torch.testing.assert_close(output.tokens[1, 0], tower.absent_token[0, 0])
    assert (output.tokens[1, 1:] == 0).all()
    assert output.mask[0].all()
    assert output.mask[1].tolist() == [True] + [False] * (output.mask.shape[1] - 1)


@pytest.mark.parametrize("present", [[True, False, True, False], [False, False, True, False], [False] * 4, [True] * 4])
def test_only_present_rows_are_encoded(present):
    tower = build(ImageTower, IMAGE_TOWERS["timm resnet"]).train()
    seen = []
    tower.backbone.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(len(kwargs["pixel_values"])), with_kwargs=True
    )
    pictures = torch.randn(4, 3, SIDE, SIDE)
    pictures[~torch.tensor(present)] = float("nan")
    output = tower(torch.tensor(present), pixel_values=pictures)
    assert seen == [max(2, sum(present))]  # batch norm takes no single row
    output.tokens.sum().backward()
    # DDP waits for every parameter; nothing of what stands in absent rows may reach one
    assert all(p.grad is not None and p.grad.isfinite().all() for p in tower.parameters())
    assert tower.backbone.timm_model.bn1.running_mean.isfinite().all()


def test_absent_modality_is_one_token():
    tower = build(ImageTower, IMAGE_TOWERS["timm resnet"])
    output = tower.absent(3)
    assert output.tokens.shape == (3, 1, WIDTH)
    assert output.mask.tolist() == [[True]] * 3
    torch.testing.assert_close(output.tokens[2, 0], tower.absent_token[0, 0])


def test_frozen_backbone_neither_learns_nor_trains():
    tower = build(ImageTower, IMAGE_TOWERS["timm resnet"], frozen=True).train()
    assert not any(module.training for module in tower.backbone.modules())
    assert tower.norm.training
    statistics = tower.backbone.timm_model.bn1.running_mean.clone()
    tower(None, pixel_values=torch.randn(2, 3, SIDE, SIDE)).tokens.sum().backward()
    assert torch.equal(tower.backbone.timm_model.bn1.running_mean, statistics)
    learning = {name for name, p in tower.named_parameters() if p.grad is not None}
    assert learning >= {"norm.weight", "norm.bias", "projection.weight", "projection.bias"}
    assert not {name for name in learning if name.startswith("backbone.")}


def positions_2d(*shape, temperature=10_000):
    return sincos_position_2d(*shape, temperature=temperature, device=torch.device("cpu"), dtype=torch.float32)


def test_position_embedding_by_hand():
    table = positions_2d(2, 3, 8)
    # 8 channels: two frequencies, 1 and 10000 ** -1/2 = 1/100; sin of y, sin of x, cos of y, cos of x
    y, x = 1, 2
    expected = [math.sin(y), math.sin(y / 100), math.sin(x), math.sin(x / 100)]
    expected += [math.cos(y), math.cos(y / 100), math.cos(x), math.cos(x / 100)]
    torch.testing.assert_close(table[1 * 3 + 2], torch.tensor(expected))
    torch.testing.assert_close(table[0], torch.tensor([0.0] * 4 + [1.0] * 4))
    assert table.shape == (6, 8)


def test_position_embedding_of_a_width_that_four_does_not_divide():
    table = positions_2d(2, 2, 7)
    assert table.shape == (4, 7)
    assert (table[:, 4:] == 0).all()
    assert (positions_2d(2, 2, 3) == 0).all()


def test_positions_of_a_small_grid_use_more_channels_than_those_made_for_long_sequences():
    """Over 4 x 4 places a channel of wavelength 2 pi w turns by 3 / w at most: it tells places apart while w < 10."""

    def telling(temperature):
        return (positions_2d(4, 4, 64, temperature=temperature).std(0) > 0.1).sum().item()

    # per axis 16 frequencies temperature ** -(k / 16), of which 4 and 8 are above a tenth, their sines so still later
    assert telling(10_000) == 16
    assert telling(100) == 28


def test_feature_map_gets_positions_and_tokens_do_not():
    """Two equal halves of a picture differ in the tokens of a convolutional tower by their position alone."""
    tower = build(ImageTower, IMAGE_TOWERS["timm resnet"]).eval()
    tokens = tower(None, pixel_values=torch.zeros(1, 3, 256, 256)).tokens.view(8, 8, WIDTH)
    positions = positions_2d(8, 8, WIDTH).view(8, 8, WIDTH)
    # an empty picture: every token away from the border has the same features
    torch.testing.assert_close(tokens[3, 4] - tokens[4, 3], positions[3, 4] - positions[4, 3])


# Number 10 * y + x in channel 0 and 100 more in channel 1, on a grid of 2 rows and 3 columns.
GRID = torch.tensor([[[0.0, 1.0, 2.0], [10.0, 11.0, 12.0]], [[100.0, 101.0, 102.0], [110.0, 111.0, 112.0]]])
TOKENS = torch.tensor([[0.0, 100.0], [1.0, 101.0], [2.0, 102.0], [10.0, 110.0], [11.0, 111.0], [12.0, 112.0]])


def test_feature_maps_become_tokens_row_by_row():
    channels_first = GRID[None]
    tokens, grid = flatten_features(channels_first, 2, channels_last=False)
    assert tokens.tolist() == [TOKENS.tolist()]
    assert tuple(grid) == (2, 3)


def test_layout_is_read_from_the_sizes_or_else_from_the_flag():
    wide = torch.arange(4 * 3.0).view(1, 3, 4, 1).expand(1, 3, 4, 5)  # only the last size is the width
    assert flatten_features(wide, 5, channels_last=False)[1] == (3, 4)
    assert flatten_features(wide, 3, channels_last=False)[1] == (4, 5)
    square = torch.randn(1, 2, 2, 2)
    first, _ = flatten_features(square, 2, channels_last=False)
    last, _ = flatten_features(square, 2, channels_last=True)
    assert torch.equal(first, square.flatten(2).transpose(1, 2))
    assert torch.equal(last, square.flatten(1, 2))


def test_tokens_and_vectors_pass():
    tokens = TOKENS[None]
    assert flatten_features(tokens, 2, channels_last=False) == (tokens, None)
    vector, grid = flatten_features(torch.ones(4, 2), 2, channels_last=False)
    assert (vector.shape, grid) == ((4, 1, 2), None)


@pytest.mark.parametrize("shape", [(2,), (1, 4, 3), (4, 5), (1, 5, 4, 4), (1, 1, 1, 1, 2)])
def test_features_it_cannot_read(shape):
    with pytest.raises(ValueError, match=r"Cannot read features of shape .* with 2 channels: expected \(B, L, 2\)"):
        flatten_features(torch.zeros(shape), 2, channels_last=False)


@pytest.mark.parametrize("name", OTHER_IMAGE_TOWERS)
def test_widths_and_layouts_that_no_configuration_states(tmp_path, name):
    """The features of these are as wide as their last stage, whatever the configuration calls it."""
    width, tokens = OTHER_FEATURES[name]
    config = tower_config(OTHER_IMAGE_TOWERS[name])
    model = MultimodalModel.from_towers_pretrained(image=config, **FUSION).eval()
    assert model.towers["image"].width == width
    pixels = torch.randn(1, 3, SIDE, SIDE)
    output = model.towers["image"](None, pixel_values=pixels)
    assert output.tokens.shape == (1, tokens, WIDTH)
    model.save_pretrained(tmp_path)
    loaded = MultimodalModel.from_pretrained(tmp_path).eval()  # built on the meta device
    torch.testing.assert_close(loaded.towers["image"](None, pixel_values=pixels).tokens, output.tokens)


def test_pictures_alone_must_do():
    config = Siglip2VisionConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    message = "Siglip2VisionModel reads no plain pictures: beside pixel_values it needs pixel_attention_mask, spatial"
    with pytest.raises(ValueError, match=message):
        ImageTower(build_backbone(config), MultimodalConfig(**FUSION))


@pytest.mark.parametrize("name", ["siglip_text_model", "clip_text_model", "altclip_text_model"])
def test_text_halves_of_dual_encoders(name):
    values = {**DUAL_TEXT, **({"project_dim": 24} if name == "altclip_text_model" else {})}
    tower = build(TextTower, {"model_type": name, **values})
    assert tower.width == values.get("project_dim", 16)  # AltCLIP projects its features
    assert tower(None, input_ids=torch.tensor([[2, 7, 3]])).tokens.shape == (1, 3, WIDTH)


@pytest.mark.parametrize("present", [None, torch.tensor([True]), torch.tensor([False])])
def test_a_batch_of_one_row_trains_through_batch_norm(present):
    """The last batch of an epoch may hold one row, which batch norm over a map of one place would refuse."""
    tower = build(ImageTower, IMAGE_TOWERS["timm resnet"]).train()
    output = tower(present, pixel_values=torch.randn(1, 3, 32, 32))
    assert output.tokens.shape == (1, 1, WIDTH)
    output.tokens.sum().backward()
    assert torch.isfinite(output.tokens).all()


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [("resnet18", False), ("resnet50", True), ("mobilenetv2_100", True), ("test_vit", False)],
)
def test_which_backbones_take_the_channels_last(architecture, expected):
    assert prefers_channels_last(timm.create_model(architecture)) is expected
