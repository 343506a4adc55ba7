# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Models that read clips, series and table rows."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoProcessor,
    CLIPConfig,
    CLIPModel,
    InformerConfig,
    ViTImageProcessor,
)

from hf_multimodal.modeling.configuration_multimodal import FUSIONS, MultimodalConfig
from hf_multimodal.modeling.modeling_multimodal import MultimodalForClassification, MultimodalModel
from hf_multimodal.modeling.modeling_towers import SeriesTower, build_backbone
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from hf_multimodal.modeling.series_processing_multimodal import fit_series
from tests.tiny import (
    IMAGE_TOWERS,
    NUM_FRAMES,
    SERIES_PREPROCESSING,
    SERIES_TOWERS,
    SIDE,
    TEXTS,
    tiny_batch,
    tiny_clips,
    tiny_model,
    tiny_processor,
    tiny_series,
    tower_config,
)

# (video, series)
PAIRS = [(name, "patch_series") for name in IMAGE_TOWERS] + [("timm vit", name) for name in SERIES_TOWERS]


def parts(video, series, **config):
    model = tiny_model(image=None, video=video, series=series, num_labels=2, **config)
    return model, tiny_processor(image=False, video=bool(video), series=bool(series))


@pytest.mark.parametrize(("video", "series"), PAIRS)
def test_text_video_and_series(video, series, tmp_path):
    model, processor = parts(video, series, num_temporal_layers=1)
    assert processor.modalities == model.config.modalities == ("text", "video", "series")
    processor.check_model(model.config)
    batch = tiny_batch(processor)
    assert set(batch) <= set(processor.model_input_names)
    assert batch["pixel_values_videos"].shape == (3, NUM_FRAMES, 3, SIDE, SIDE)
    logits = model(**batch).logits
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    reloaded = AutoProcessor.from_pretrained(tmp_path)
    assert reloaded.num_frames == NUM_FRAMES
    torch.testing.assert_close(loaded(**tiny_batch(reloaded)).logits, logits, atol=1e-5, rtol=0)
    model.train()(**tiny_batch(processor, labels=torch.tensor([0, 1, 0]))).loss.backward()
    # some image backbones have layers behind their last features
    learning = {name for name, p in model.named_parameters() if p.requires_grad and "towers.video.backbone" not in name}
    assert {name for name in learning if model.get_parameter(name).grad is None} == set()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_absent_clips_and_series_have_no_influence(fusion):
    model, processor = parts("timm resnet", "patchtst", fusion=fusion)
    given = {"text": TEXTS, "videos": [None, *tiny_clips()[1:]], "series": [*tiny_series()[:2], None]}
    batch = processor(**given, return_tensors="pt")
    assert batch["modality_mask"].tolist() == [[True, False, True], [True] * 3, [True, True, False]]
    logits = model(**batch).logits
    batch["pixel_values_videos"][0] = 7.0
    batch["series_values"][2], batch["series_mask"][2], batch["series_categories"][2] = 7.0, 1, 3
    torch.testing.assert_close(model(**batch).logits, logits, atol=1e-5, rtol=0)
    none = processor(**{**given, "videos": [None] * 3, "series": [None] * 3}, return_tensors="pt")
    assert not {"pixel_values_videos", "series_values"} & set(none)
    assert model(**none).logits.isfinite().all()


def test_rows_without_a_clip_are_not_encoded():
    model, processor = parts("timm resnet", None)
    tower, seen = model.model.towers["video"], []
    tower.backbone.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(len(kwargs["pixel_values"])), with_kwargs=True
    )
    model(**processor(text=TEXTS, videos=[None, None, tiny_clips()[0]], return_tensors="pt"))
    assert seen == [NUM_FRAMES]


def test_frames_are_pictures_with_a_place_in_time():
    """Without positions and attention in time, a clip's tokens are those of its frames as pictures."""
    model = tiny_model(MultimodalModel, text=None, image="timm resnet", video="timm resnet")
    image, video = model.towers["image"], model.towers["video"]
    video.load_state_dict({**image.state_dict(), "frame_positions.weight": torch.zeros(NUM_FRAMES, 16)})
    clips = torch.randn(2, NUM_FRAMES, 3, SIDE, SIDE)
    tokens = video(None, pixel_values_videos=clips).tokens
    frames = [image(None, pixel_values=clips[:, index]).tokens for index in range(NUM_FRAMES)]
    torch.testing.assert_close(tokens, torch.cat(frames, dim=1))
    torch.nn.init.normal_(video.frame_positions.weight)
    moved = video(None, pixel_values_videos=clips).tokens
    length = frames[0].shape[1]
    for index, frame in enumerate(frames):
        shift = video.frame_positions.weight[index]
        torch.testing.assert_close(moved[:, index * length : (index + 1) * length], frame + shift)


def test_attention_through_time_sees_other_frames_at_the_same_place_only():
    model = tiny_model(MultimodalModel, text=None, image=None, video="vit", num_temporal_layers=1)
    tower = model.towers["video"]
    places = 4
    tower.encode_pictures = lambda pixels: pixels.flatten(1)[:, : 16 * places].view(-1, places, 16)
    clips = torch.randn(1, NUM_FRAMES, 3, SIDE, SIDE)
    before, _ = tower.encode(clips)
    clips[0, 0, 0, 0, 16:20] += 1.0  # of the second place in the first frame
    after, _ = tower.encode(clips)
    changed = (after - before).abs().amax(-1).view(NUM_FRAMES, places) > 1e-6
    assert changed.tolist() == [[False, True, False, False]] * NUM_FRAMES


def test_pooled_frames_are_one_token_each():
    model, processor = parts("timm vit", None, pool_frames=True)
    tower = model.model.towers["video"]
    batch = processor(videos=tiny_clips(), return_tensors="pt")
    assert tower(None, pixel_values_videos=batch["pixel_values_videos"]).tokens.shape == (3, NUM_FRAMES, 16)


def test_another_number_of_frames():
    model, _ = parts("timm vit", None)
    with pytest.raises(ValueError, match="The clips have 2 frames, the model's configuration says num_frames=3"):
        model(pixel_values_videos=torch.zeros(1, 2, 3, SIDE, SIDE))
    processor = tiny_processor(image=False, video=True)
    processor.num_frames = 4
    with pytest.raises(ValueError, match=r"takes num_frames=4 from a clip, the model was built for 3"):
        processor.check_model(model.config)


@pytest.mark.parametrize("name", SERIES_TOWERS)
def test_unknown_steps_count_as_nothing(name):
    model, processor = parts(None, name)
    batch = processor(series=tiny_series(), return_tensors="pt")
    tower = model.model.towers["series"]
    inputs = {key: batch[key] for key in ("series_values", "series_mask", "series_categories")}
    output = tower(None, **inputs)
    # of 8 steps in patches of 4, the second row knows 3 of either channel: its second patches are not real
    assert output.mask.tolist() == [[True] * 5, [True, False, True, False, True], [True] * 5]
    for other in (9.0, float("nan")):
        inputs["series_values"] = torch.where(inputs["series_mask"] == 1, batch["series_values"], other)
        torch.testing.assert_close(tower(None, **inputs).tokens, output.tokens)


def test_channels_and_categories_are_told_apart():
    model, processor = parts(None, "patch_series")
    tower = model.model.towers["series"]

    def tokens(row):
        batch = processor(series=[row], return_tensors="pt")
        return tower(None, **{k: batch[k] for k in ("series_values", "series_mask", "series_categories")}).tokens

    same = tokens({"x": [2.5] * 8, "y": [0.5] * 8, "kind": "a"})  # both come to 1 when normalised
    assert (same[0, 0] - same[0, 2]).abs().max() > 1e-3
    unseen, missing = (tokens({"x": [1.0], "y": [1.0], "kind": kind}) for kind in ("never seen", None))
    torch.testing.assert_close(unseen, missing)
    assert (unseen[0, 4] - tokens({"x": [1.0], "y": [1.0], "kind": "b"})[0, 4]).abs().max() > 1e-3


def test_series_that_nobody_trained_on():
    model, processor = parts(None, "patch_series")
    processor.series_feature_extractor.length = 4
    with pytest.raises(ValueError, match=r"makes series of 2 channels, 4 steps and categories of \[3\] values"):
        processor.check_model(model.config)
    with pytest.raises(ValueError, match="are of 4 steps and 2 channels, expected are 8 and 2"):
        model(series_values=torch.zeros(1, 4, 2), series_categories=torch.zeros(1, 1, dtype=torch.long))
    with pytest.raises(ValueError, match="Got 0 categorical columns, the model has 1"):
        model(series_values=torch.zeros(1, 8, 2))


@pytest.mark.parametrize("name", ["patchtst", "patchtsmixer"])
def test_the_level_of_a_series_reaches_the_encoder(name):
    """Their own normalisation, row by row, would take away what the saved statistics keep."""
    config = {key: value for key, value in SERIES_TOWERS[name].items() if key not in ("num_input_channels",)}
    towers = {"series": {"config": config, "preprocessing": SERIES_PREPROCESSING}}
    model = MultimodalModel.from_towers_pretrained(**towers, hidden_size=16, num_attention_heads=2).eval()
    values, codes = torch.randn(1, 8, 2), torch.zeros(1, 1, dtype=torch.long)
    low, high = (model(series_values=x, series_categories=codes).pooler_output for x in (values, 3 * values + 5))
    assert (low - high).abs().max() > 1e-3


def test_categories_alone_are_for_the_built_in_encoder():
    table = fit_series([{"a": "x"}, {"a": "y"}])
    with pytest.raises(ValueError, match="categories only, which patch_series alone reads"):
        MultimodalModel.from_towers_pretrained(series={"config": {"model_type": "patchtst"}, "preprocessing": table})
    model = MultimodalModel.from_towers_pretrained(series={"config": {}, "preprocessing": table})
    assert (
        model(series_values=torch.zeros(2, 1, 0), series_categories=torch.tensor([[1], [0]]))
        .pooler_output.isfinite()
        .all()
    )


def test_every_parameter_gets_a_gradient_where_a_batch_lacks_a_modality():
    """Of two processes, one may have clips and the other not: DDP waits for the same parameters in both."""
    model, processor = parts("timm resnet", "patch_series")
    batch = processor(text=TEXTS, videos=[None] * 3, series=[None] * 3, return_tensors="pt")
    model.train()(**batch, labels=torch.tensor([0, 1, 0])).loss.backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_an_encoder_that_needs_more_than_series():
    config = InformerConfig(prediction_length=2, context_length=8, d_model=16, encoder_layers=1, decoder_layers=1)
    with pytest.raises(ValueError, match="InformerModel does not read plain series"):
        SeriesTower(build_backbone(config), MultimodalConfig())


def test_built_from_a_description():
    towers = {
        "video": {
            **IMAGE_TOWERS["timm resnet"],
            "image_size": SIDE,
            "preprocessing": {"num_frames": 2},
            "frozen": True,
        },
        "series": {"config": {"model_type": "patch_series"}, "preprocessing": SERIES_PREPROCESSING},
    }
    model = MultimodalForClassification.from_towers_pretrained(**towers)
    processor = MultimodalProcessor.from_towers_pretrained(**towers)
    processor.check_model(model.config)
    config = model.config
    assert (config.num_frames, config.category_sizes, config.frozen_towers) == (2, [3], ["video"])
    assert (config.series_config.num_input_channels, config.series_config.context_length) == (2, 8)
    assert not any(p.requires_grad for p in model.model.towers["video"].backbone.parameters())


@pytest.mark.parametrize(
    ("towers", "message"),
    [
        ({"series": {"config": {"model_type": "patch_series"}}}, "names no channels: take it from the training rows"),
        ({"video": {"architecture": "resnet18", "preprocessing": {"frames": 2}}}, "Unknown field of the video tower's"),
    ],
)
def test_descriptions_that_lack_something(towers, message):
    with pytest.raises(ValueError, match=message):
        MultimodalProcessor.from_towers_pretrained(**towers)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"context_length": 5, "patch_length": 2}, "context_length=5 is not a multiple of patch_length=2"),
        ({"d_model": 0}, "d_model=0: it must be at least 1"),
    ],
)
def test_patches_must_fit(values, message):
    with pytest.raises(ValueError, match=message):
        MultimodalModel.from_towers_pretrained(series={"config": {"model_type": "patch_series", **values}})


def test_a_saved_processor_may_name_nothing_but_processors(tmp_path):
    tiny_processor(text=False, image=False, video=True).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "processor_config.json").read_text())
    for name in ("pipeline", "AutoModel", "NoSuchProcessor"):
        saved["video_image_processor"]["image_processor_type"] = name
        (tmp_path / "processor_config.json").write_text(json.dumps(saved))
        with pytest.raises(ValueError, match=f"names '{name}', which is no image processor of transformers"):
            MultimodalProcessor.from_pretrained(tmp_path)


def test_frames_by_one_of_transformers_own_processors(tmp_path):
    pictures = ViTImageProcessor(size={"height": 16, "width": 16})
    processor = MultimodalProcessor(video_image_processor=pictures, num_frames=2)
    batch = processor(videos=tiny_clips(), return_tensors="pt")
    processor.save_pretrained(tmp_path)
    again = MultimodalProcessor.from_pretrained(tmp_path)(videos=tiny_clips(), return_tensors="pt")
    assert batch["pixel_values_videos"].shape == (3, 2, 3, 16, 16)
    torch.testing.assert_close(again["pixel_values_videos"], batch["pixel_values_videos"])


def test_towers_from_local_folders(tmp_path):
    backbones = {"video": tower_config(IMAGE_TOWERS["vit"]), "series": tower_config(SERIES_TOWERS["patchtst"])}
    for modality, config in backbones.items():
        build_backbone(config).save_pretrained(tmp_path / modality)
    ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(tmp_path / "video")
    towers = {
        "video": {"path": str(tmp_path / "video"), "preprocessing": {"num_frames": 2}},
        "series": {"path": str(tmp_path / "series"), "preprocessing": SERIES_PREPROCESSING, "frozen": True},
    }
    model = MultimodalModel.from_towers_pretrained(**towers, hidden_size=16, num_attention_heads=2)
    for modality, tower in model.towers.items():
        saved = load_file(tmp_path / modality / "model.safetensors")
        loaded = tower.backbone.state_dict()
        shared = [name for name in saved if name in loaded]
        assert len(shared) > 5
        for name in shared:
            torch.testing.assert_close(loaded[name], saved[name], rtol=0, atol=0)
    processor = MultimodalProcessor.from_towers_pretrained(**towers)
    processor.check_model(model.config)
    batch = processor(videos=tiny_clips(), series=tiny_series(), return_tensors="pt")
    assert model(**batch).pooler_output.isfinite().all()
    assert not any(p.requires_grad for p in model.towers["series"].backbone.parameters())


def test_clips_through_the_vision_half_of_a_dual_encoder(tmp_path):
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text = {**vision, "vocab_size": 32, "bos_token_id": 1, "eos_token_id": 2}
    config = CLIPConfig(text_config=text, vision_config={**vision, "image_size": SIDE, "patch_size": 8})
    CLIPModel(config).save_pretrained(tmp_path)
    model = MultimodalModel.from_towers_pretrained(video=str(tmp_path), hidden_size=16, num_attention_heads=2)
    assert type(model.towers["video"].backbone).__name__ == "CLIPVisionModel"
    assert model(pixel_values_videos=torch.randn(1, 8, 3, SIDE, SIDE)).pooler_output.shape == (1, 16)


@pytest.mark.parametrize("layers", [0, 1])
def test_order_in_time_is_learned(layers):
    """A square goes left or right: the frames are the same, their order alone tells."""
    generator = torch.Generator().manual_seed(0)

    def draw(rows):
        clips, labels = torch.zeros(rows, NUM_FRAMES, 3, SIDE, SIDE), torch.randint(0, 2, (rows,), generator=generator)
        for clip, label in zip(clips, labels, strict=True):
            top = int(torch.randint(4, 20, (1,), generator=generator))
            for frame, left in zip(clip, (2, 12, 22) if label else (22, 12, 2), strict=True):
                frame[:, top : top + 8, left : left + 8] = 1.0
        return clips + 0.1 * torch.randn(clips.shape, generator=generator), labels

    model = tiny_model(text=None, image=None, video="timm vit", num_labels=2, num_temporal_layers=layers).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        clips, labels = draw(16)
        model(pixel_values_videos=clips, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    clips, labels = draw(64)
    assert (model.eval()(pixel_values_videos=clips).logits.argmax(-1) == labels).all()
