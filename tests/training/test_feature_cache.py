# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Features of frozen towers: computed once, the same results, another store for anything that changes them."""

import io
import pickle

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from hf_multimodal.cli.main import app
from hf_multimodal.data.collator import MultimodalCollator, RowError
from hf_multimodal.modeling.modeling_multimodal import MultimodalForClassification
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from hf_multimodal.training import feature_cache
from hf_multimodal.training.feature_cache import FeatureStore, cache_features, fingerprint, release_features
from hf_multimodal.training.inference import evaluate_model
from hf_multimodal.training.row_source import RowSource
from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from tests.tiny import AUDIO_TOWERS, tiny_clips, tiny_model, tiny_processor, tiny_sounds, tiny_tokenizer
from tests.training.tiny_run import tiny_run

ENCODER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def make_model():
    tokenizer = tiny_tokenizer()
    text = {"config": {"model_type": "bert", "vocab_size": len(tokenizer), **ENCODER}, "tokenizer": tokenizer}
    image = {"architecture": "resnet18", "model_args": {"channels": [8, 8, 8, 8]}, "image_size": 32}
    towers = {"text": {**text, "frozen": True}, "image": {**image, "frozen": True}}
    torch.manual_seed(0)
    model = MultimodalForClassification.from_towers_pretrained(**towers, **ENCODER).eval()
    return model, MultimodalProcessor.from_towers_pretrained(**towers)


def picture(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, 90, 200 - shade)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


ROWS = [
    {"row_id": "a", "text": "red circle", "image": picture(10)},
    {"row_id": "b", "text": "a", "image": None},
    {"row_id": "c", "text": None, "image": picture(10)},
    {"row_id": "d", "text": "a blue red square", "image": picture(120)},
]


@pytest.fixture
def cached(tmp_path):
    model, processor = make_model()
    collator = MultimodalCollator(processor)
    plain = model(**collator(ROWS)).logits
    return model, collator, cache_features(model, collator, {"train": ROWS}, tmp_path), plain


def test_the_same_results_without_the_backbones(cached, monkeypatch):
    model, collator, features, plain = cached
    assert {name: len(store) for name, store in features.stores.items()} == {"text": 3, "image": 2}  # one picture twice
    for tower in model.model.towers.values():
        monkeypatch.setattr(tower.backbone, "forward", lambda *args, **kwargs: pytest.fail("the backbone ran"))
    monkeypatch.setattr("hf_multimodal.data.collator.open_image", lambda *args: pytest.fail("a picture was opened"))
    features = pickle.loads(pickle.dumps(features))  # as the workers of a DataLoader get it
    torch.testing.assert_close(model(**features(ROWS)).logits, plain)
    torch.testing.assert_close(model(**features(ROWS[1:3])).logits, plain[1:3])
    monkeypatch.undo()
    release_features(model)
    torch.testing.assert_close(model(**collator(ROWS)).logits, plain)


def test_what_is_kept_is_not_computed_again(cached, tmp_path, monkeypatch):
    model, collator, *_ = cached
    release_features(model)
    computed = []
    compute = feature_cache._features
    monkeypatch.setattr(feature_cache, "_features", lambda *args: computed.append(len(args[2])) or compute(*args))
    more = [*ROWS, {"row_id": "e", "text": "red circle", "image": picture(200)}]
    cache_features(model, collator, {"train": more, "test": more}, tmp_path)
    assert computed == [1]


def clip(frames):
    with io.BytesIO() as file:
        images = [Image.fromarray(frame) for frame in frames]
        images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=40)
        return {"bytes": file.getvalue(), "path": None}


@pytest.mark.parametrize(("audio", "video"), [(name, "timm vit") for name in AUDIO_TOWERS] + [(None, "timm resnet")])
def test_sounds_and_clips(audio, video, tmp_path, monkeypatch):
    model = tiny_model(image=None, audio=audio, video=video, frozen_towers=[*(["audio"] if audio else []), "video"])
    processor = tiny_processor(image=False, audio=audio, video=True)
    sounds = [{"array": sound, "sampling_rate": 8000} for sound in tiny_sounds(8000)]
    clips = [clip(frames) for frames in tiny_clips()]
    rows = [{"text": "a", "audio": a, "video": v} for a, v in zip([*sounds, None], [*clips, None], strict=True)]
    collator = MultimodalCollator(processor)
    alone = torch.cat([model(**collator([row])).logits for row in rows])  # nothing is padded to others
    features = cache_features(model, collator, {"train": [*rows, *rows]}, tmp_path)
    assert [len(store) for store in features.stores.values()] == [3] * len(features.stores)
    for modality in features.stores:
        backbone = model.model.towers[modality].backbone
        monkeypatch.setattr(backbone, "forward", lambda *args, **kwargs: pytest.fail("the backbone ran"))
    monkeypatch.setattr("hf_multimodal.data.collator.open_video", lambda *args, **kwargs: pytest.fail("opened"))
    torch.testing.assert_close(model(**features(rows)).logits, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(model(**features(rows[3:])).logits, alone[3:], atol=1e-5, rtol=0)


def test_half_precision(cached, tmp_path):
    model, collator, _, plain = cached
    release_features(model)
    halves = cache_features(model, collator, {"train": ROWS}, tmp_path, dtype="float16")
    logits = model(**halves(ROWS)).logits
    assert not torch.equal(logits, plain)
    torch.testing.assert_close(logits, plain, atol=1e-2, rtol=1e-2)


def test_any_change_makes_another_store():
    model, processor = make_model()
    tower = model.model.towers["image"]
    prints = [fingerprint(tower, processor, "float32")]
    assert fingerprint(make_model()[0].model.towers["image"], processor, "float32") == prints[0]
    prints.append(fingerprint(tower, processor, "float16"))
    processor.image_processor.image_mean = [0.1, 0.2, 0.3]
    prints.append(fingerprint(tower, processor, "float32"))
    next(tower.backbone.parameters()).data.flatten()[0] += 1
    prints.append(fingerprint(tower, processor, "float32"))
    text = model.model.towers["text"]
    prints.append(fingerprint(text, processor, "float32"))
    processor.tokenizer.model_max_length = 3
    prints.append(fingerprint(text, processor, "float32"))
    assert len(set(prints)) == len(prints)


def test_half_written_shards_are_left_alone(tmp_path):
    (tmp_path / "x.0.partial").write_bytes(b"half")
    store = FeatureStore(tmp_path, torch.float32)
    assert len(store) == 0
    store.write({"key": torch.ones(2, 3), "other": torch.zeros(1, 3)})
    store.refresh()
    assert torch.equal(FeatureStore(tmp_path, torch.float32).read("other"), torch.zeros(1, 3))


def test_runs_may_write_the_same_shard_at_once(tmp_path, monkeypatch):
    one, other = (FeatureStore(tmp_path, torch.float32) for _ in range(2))
    save = feature_cache.save_file

    def saving(tensors, file, **kwargs):  # the other run gets in between
        monkeypatch.setattr(feature_cache, "save_file", save)
        other.write({"key": torch.ones(1, 2)})
        save(tensors, file, **kwargs)

    monkeypatch.setattr(feature_cache, "save_file", saving)
    one.write({"key": torch.ones(1, 2)})
    one.refresh()
    assert torch.equal(one.read("key"), torch.ones(1, 2))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_bad_row_is_named(tmp_path):
    model, processor = make_model()
    rows = [*ROWS, {"row_id": "bad", "image": {"bytes": b"none", "path": None}}]
    with pytest.raises(RowError, match="Row 'bad', column 'photo'"):
        cache_features(model, MultimodalCollator(processor, None, {"image": "photo"}), {"train": rows}, tmp_path)


def frozen_run(folder, **training):
    values = tiny_run(folder)
    for tower in values["towers"].values():
        tower["frozen"] = True
    values["training"].update(training, dataloader_num_workers=2)
    return values


def test_a_run_with_a_cache_learns_the_same(tmp_path):
    plain = train(RunConfig.from_dict(frozen_run(tmp_path / "plain")))
    kept = train(RunConfig.from_dict(frozen_run(tmp_path / "kept", feature_cache=str(tmp_path / "cache"))))
    assert kept.metrics["test"]["loss"] == pytest.approx(plain.metrics["test"]["loss"], abs=1e-4)
    own, other = (MultimodalForClassification.from_pretrained(x.folder).state_dict() for x in (plain, kept))
    assert all(torch.allclose(own[name], other[name], atol=1e-4) for name in own)  # the backbones are saved, too


def test_what_cannot_be_kept_is_refused(tmp_path):
    values = frozen_run(tmp_path / "run", feature_cache=str(tmp_path / "cache"))
    for tower in values["towers"].values():
        tower["frozen"] = False
    with pytest.raises(ValueError, match="of text, image none is: set towers.text.frozen or towers.image.frozen"):
        train(RunConfig.from_dict(values))
    values = frozen_run(tmp_path / "run", feature_cache=str(tmp_path / "cache"), feature_cache_dtype="int8")
    with pytest.raises(ValueError, match="Unknown feature_cache_dtype 'int8'. Known: float32"):
        train(RunConfig.from_dict(values))
    values = frozen_run(tmp_path / "run", feature_cache=str(tmp_path / "cache"))
    values["task"] = "pretraining"
    values["model"]["pretraining_objectives"] = {"masked_language": 1}
    values["data"]["masking"] = {"text": 0.5}
    del values["data"]["columns"]["label"]
    with pytest.raises(ValueError, match="not for pretraining"):
        train(RunConfig.from_dict(values))
    assert not (tmp_path / "run").exists()


def test_evaluation_shares_the_store(tmp_path, monkeypatch):
    """Of the rows that training has seen nothing is computed again."""
    values = tiny_run(tmp_path / "run")
    for tower in values["towers"].values():
        tower["frozen"] = True
    store = tmp_path / "features"
    values["training"]["feature_cache"] = str(store)
    result = train(RunConfig.from_dict(values))
    rows = RowSource.for_model(str(result.folder), source=None, split="test", columns=None)
    plain = evaluate_model(str(result.folder), rows)
    monkeypatch.setattr(feature_cache, "_features", lambda *args: pytest.fail("computed again"))
    kept = evaluate_model(str(result.folder), rows, feature_cache=store)
    assert kept["loss"] == pytest.approx(plain["loss"], abs=1e-5)
    told = CliRunner().invoke(app, ["evaluate", str(result.folder), "--feature-cache", str(store)])
    assert told.exit_code == 0, told.output
    assert f"{plain['accuracy']:.4f}" in told.output
