# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Models that listen: spectrograms into timm, and transformers' own audio encoders."""

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoProcessor, pipeline

from hf_multimodal.modeling.modeling_multimodal import MultimodalForClassification
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from tests.tiny import AUDIO_TOWERS, TEXTS, tiny_batch, tiny_model, tiny_pictures, tiny_processor, tiny_sounds

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def parts(name, **towers):
    return tiny_model(audio=name, num_labels=2, **towers), tiny_processor(audio=name)


@pytest.mark.parametrize("name", AUDIO_TOWERS)
def test_text_image_and_audio(name, tmp_path):
    model, processor = parts(name)
    assert processor.modalities == model.config.modalities == ("text", "image", "audio")
    processor.check_model(model.config)
    batch = tiny_batch(processor)
    logits = model(**batch).logits
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    reloaded = AutoProcessor.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded(**tiny_batch(reloaded)).logits, logits, atol=1e-5, rtol=0)
    model.train()(**tiny_batch(processor, labels=torch.tensor([0, 1, 0]))).loss.backward()
    unused = {"masked_spec_embed", "embed_positions.weight"}  # SpecAugment's token; Whisper's positions are fixed
    silent = [n for n, p in model.named_parameters() if p.grad is None and n.split("backbone.")[-1] not in unused]
    assert silent == []


@pytest.mark.parametrize("name", AUDIO_TOWERS)
@pytest.mark.parametrize("fusion", ["cross_attention", "bottleneck", "weighted"])
def test_an_absent_sound_has_no_influence(name, fusion):
    model, processor = parts(name, fusion=fusion)
    sounds = tiny_sounds(processor.feature_extractor.sampling_rate)
    given = {"text": TEXTS, "images": tiny_pictures(), "audio": [None, *sounds[1:]]}
    batch = processor(**given, return_tensors="pt")
    assert batch["modality_mask"].tolist() == [[True, True, False], [True] * 3, [True] * 3]
    logits = model(**batch).logits
    batch["audio_values"][0] = 7.0
    torch.testing.assert_close(model(**batch).logits, logits, atol=1e-5, rtol=0)
    none = processor(**{**given, "audio": [None] * 3}, return_tensors="pt")
    assert "audio_values" not in none
    assert model(**none).logits.isfinite().all()


def test_padding_of_samples_has_no_influence():
    model, processor = parts("wav2vec2", text=None, image=None)
    processor = tiny_processor(text=False, image=False, audio="wav2vec2")
    long, short, _ = tiny_sounds(16_000)
    together = model(**processor(audio=[long, short], return_tensors="pt")).logits
    alone = model(**processor(audio=[short], return_tensors="pt")).logits
    torch.testing.assert_close(together[1:], alone, atol=1e-4, rtol=0)


def test_sounds_of_any_kind_and_rate():
    processor = tiny_processor(text=False, image=False, audio="timm resnet")
    (sound,) = tiny_sounds(8000, (0.3,))
    plain = processor(audio=sound, return_tensors="pt")["audio_values"]
    same = processor(audio=[{"array": sound, "sampling_rate": 8000}], return_tensors="pt")["audio_values"]
    torch.testing.assert_close(same, plain)
    doubled = {"array": sound.repeat(2), "sampling_rate": 16_000}  # the same, at twice the rate
    other = processor(audio=[doubled], return_tensors="pt")["audio_values"]
    assert other.shape == plain.shape
    assert (other - plain).abs().mean() < 0.5


def test_a_pretrained_image_backbone_listens(tmp_path):
    """Weights for three colours are summed to one channel, as timm does it."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    seeing = timm.create_model("resnet18", channels=(8, 8, 16, 16), num_classes=0)
    save_file(seeing.state_dict(), tmp_path / "model.safetensors")
    tower = {"path": str(tmp_path), "architecture": "resnet18", "model_args": {"channels": [8, 8, 16, 16]}}
    model = MultimodalForClassification.from_towers_pretrained(audio=tower, num_labels=2, **SMALL)
    weights = model.model.towers["audio"].backbone.timm_model.conv1.weight
    torch.testing.assert_close(weights, seeing.conv1.weight.sum(1, keepdim=True))


def test_pipeline(tmp_path):
    model = tiny_model(text=None, audio="timm resnet", num_labels=2)
    processor = tiny_processor(text=False, audio="timm resnet")
    predict = pipeline("multimodal-classification", model=model, processor=processor)
    (sound,) = tiny_sounds(8000, (0.3,))
    row = {"image": tiny_pictures(1)[0], "audio": {"array": sound, "sampling_rate": 8000}}
    assert len(predict(row)) == 2
    assert len(predict([row, {"image": row["image"]}, {"audio": row["audio"]}], batch_size=2)) == 3
    with pytest.raises(ValueError, match="not a sound that can be read"):
        predict({"audio": b"noise"})


def test_what_an_audio_tower_refuses():
    with pytest.raises(ValueError, match="audio tower has image_size=32"):
        MultimodalProcessor.from_towers_pretrained(audio={"architecture": "resnet18", "image_size": 32})
    with pytest.raises(ValueError, match="no feature extractor for 'bert'"):
        MultimodalProcessor.from_towers_pretrained(audio={"config": {"model_type": "bert", "hidden_size": 8}})
