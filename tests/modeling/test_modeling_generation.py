# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The model that writes: its loss, its decoders, generate() with and without a cache, and what is missing or wrong."""

import json
import subprocess
import sys
from threading import Thread

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoTokenizer, BertConfig, BertLMHeadModel, TextIteratorStreamer

from hf_multimodal import MultimodalForClassification, MultimodalForConditionalGeneration, MultimodalProcessor
from hf_multimodal.modeling.configuration_decoder import special_tokens
from hf_multimodal.modeling.modeling_decoder import shift_right, text_loss
from tests.tiny import TEXTS, tiny_batch, tiny_model, tiny_processor, tiny_tokenizer, tiny_writing_processor

DECODERS = {
    "default": {},
    "bert": {"config": {"model_type": "bert", "num_hidden_layers": 1, "hidden_size": 24, "num_attention_heads": 3}},
    "gpt2": {"config": {"model_type": "gpt2"}},
    "roberta": {"config": {"model_type": "roberta"}},
    "electra": {"config": {"model_type": "electra"}},
}
LABELS = torch.tensor([[7, 8, 3], [7, 3, -100], [5, 6, 3]])
STRATEGIES = {
    "greedy": {},
    "beam": {"num_beams": 3},
    "sampling": {"do_sample": True, "top_k": 5},
    "beam sampling": {"num_beams": 2, "do_sample": True},
    "constraints": {"num_beams": 2, "no_repeat_ngram_size": 2, "min_new_tokens": 4, "bad_words_ids": [[9]]},
    "several": {"num_beams": 3, "num_return_sequences": 2},
}


def writer(decoder="default", **config):
    spec = {"tokenizer": tiny_tokenizer(), **DECODERS[decoder]}
    return tiny_model(MultimodalForConditionalGeneration, decoder=spec, **config)


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_parameter_learns(decoder):
    model = writer(decoder)
    output = model(**tiny_batch(labels=LABELS))
    output.loss.backward()
    assert output.logits.shape == (3, 3, len(tiny_tokenizer()))
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("fusion", ["merged_attention", "bottleneck", "concat", "mean", "weighted", "decision"])
def test_every_fusion_can_be_read(fusion):
    model = writer(fusion=fusion)
    model(**tiny_batch(labels=LABELS)).loss.backward()
    assert [name for name, p in model.model.fusion.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_with_a_cache_the_same_is_written(decoder, strategy):
    model, batch = writer(decoder), tiny_batch()
    model.generation_config.eos_token_id = None  # so that all are as long
    texts = []
    for use_cache in (True, False):
        torch.manual_seed(0)
        # RoBERTa counts no padding when it numbers positions, so that one written would shift those after it
        options = {"max_new_tokens": 8, "suppress_tokens": [0], **STRATEGIES[strategy]}
        texts.append(model.generate(**batch, use_cache=use_cache, **options))
    assert texts[0].shape == (3 * STRATEGIES[strategy].get("num_return_sequences", 1), 9)
    assert texts[0].tolist() == texts[1].tolist()


def test_the_fused_tokens_are_mapped_once_a_row():
    model, batch, seen = writer(), tiny_batch(), []
    model.generation_config.eos_token_id = None
    model.head.projection.register_forward_hook(lambda *_: seen.append("projection"))
    model.model.register_forward_hook(lambda *_: seen.append("encoder"))
    layer = model.head.language_model.bert.encoder.layer[0].crossattention.self.key
    layer.register_forward_hook(lambda *_: seen.append("keys"))
    model.generate(**batch, max_new_tokens=6)
    assert sorted(seen) == ["encoder", "keys", "projection"]


def test_the_text_depends_on_every_modality():
    model, batch = writer(), tiny_batch(labels=LABELS)
    logits = model(**batch).logits
    for name in ("pixel_values", "input_ids"):
        changed = {**batch, name: batch[name].roll(1, 0)}
        if name == "input_ids":
            changed["attention_mask"] = batch["attention_mask"].roll(1, 0)
        assert not torch.allclose(model(**changed).logits, logits, atol=1e-4)


def test_padding_changes_nothing():
    model, batch = writer(), tiny_batch()
    model.generation_config.eos_token_id = None
    together = model.generate(**batch, max_new_tokens=5)
    for row in range(3):
        real = int(batch["attention_mask"][row].sum())
        alone = {k: x[row : row + 1] for k, x in batch.items()}
        alone.update({k: alone[k][:, :real] for k in ("input_ids", "attention_mask")})
        assert model.generate(**alone, max_new_tokens=5).tolist() == together[row : row + 1].tolist()


def test_only_the_text_is_learned():
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1, 2, -100], [4, -100, -100]])
    wanted = -torch.stack(
        [logits[0, 0].log_softmax(0)[1], logits[0, 1].log_softmax(0)[2], logits[1, 0].log_softmax(0)[4]]
    )
    torch.testing.assert_close(text_loss(logits, labels), wanted.mean())
    assert shift_right(labels, 9, 0).tolist() == [[9, 1, 2], [9, 4, 0]]
    assert text_loss(logits, torch.full((2, 3), -100)).item() == 0


def test_the_loss_is_that_of_the_decoder_fed_by_hand():
    model, batch = writer(), tiny_batch()
    fed = model.prepare_decoder_input_ids_from_labels(LABELS)
    assert fed.tolist() == [[2, 7, 8], [2, 7, 3], [2, 5, 6]]
    logits = model(**batch, decoder_input_ids=fed).logits
    torch.testing.assert_close(model(**batch, labels=LABELS).loss, text_loss(logits, LABELS))


def test_a_modality_may_be_absent():
    model, batch = writer(), tiny_batch()
    pictures = {"pixel_values": batch["pixel_values"], "modality_mask": torch.tensor([[False, True]] * 3)}
    alone = model.generate(**pictures, max_new_tokens=4)
    masked = model.generate(**{**batch, "modality_mask": pictures["modality_mask"]}, max_new_tokens=4)
    assert alone.tolist() == masked.tolist()


def test_a_captioner_reads_no_text():
    model = writer(text=None)
    assert model.config.modalities == ("image",)
    written = model.generate(pixel_values=tiny_batch()["pixel_values"], max_new_tokens=4, num_beams=2)
    assert written.shape[0] == 3


def test_streaming():
    model, tokenizer = writer(), tiny_tokenizer()
    batch = {k: x[:1] for k, x in tiny_batch().items()}
    streamer = TextIteratorStreamer(tokenizer, skip_special_tokens=True)
    thread = Thread(target=model.generate, kwargs={**batch, "streamer": streamer, "max_new_tokens": 5})
    thread.start()
    text = "".join(streamer)
    thread.join()
    assert text.strip() == tokenizer.decode(model.generate(**batch, max_new_tokens=5)[0], skip_special_tokens=True)


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for enabled in (False, True):
        model = writer(text="bert").train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        if enabled:
            model.gradient_checkpointing_enable()
        model(**tiny_batch(labels=LABELS)).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_cache_of_a_fixed_size_changes_nothing(decoder):
    model, batch = writer(decoder), tiny_batch()
    for options in ({}, {"num_beams": 3}):
        written = model.generate(**batch, max_new_tokens=8, **options)
        fixed = model.generate(**batch, max_new_tokens=8, cache_implementation="static", **options)
        assert fixed.tolist() == written.tolist()


def test_drafts_of_other_models_and_of_the_text_itself_change_nothing():
    model, one = writer(), {name: x[:1] for name, x in tiny_batch().items()}
    written = model.generate(**one, max_new_tokens=8).tolist()
    assert model.generate(**one, max_new_tokens=8, assistant_model=writer("gpt2")).tolist() == written
    assert model.generate(**one, max_new_tokens=8, prompt_lookup_num_tokens=2).tolist() == written


@pytest.mark.parametrize("decoder", DECODERS)
def test_saved_and_loaded(decoder, tmp_path):
    model, batch = writer(decoder), tiny_batch(labels=LABELS)
    model.save_pretrained(tmp_path)
    for loaded in (
        MultimodalForConditionalGeneration.from_pretrained(tmp_path),
        AutoModelForImageTextToText.from_pretrained(tmp_path),
    ):
        assert type(loaded) is MultimodalForConditionalGeneration
        torch.testing.assert_close(loaded(**batch).logits, model(**batch).logits, rtol=0, atol=0)
    assert loaded.generation_config.eos_token_id == 3
    names = loaded.head.language_model
    assert names.get_output_embeddings().weight is names.get_input_embeddings().weight


@pytest.mark.slow
def test_loads_where_the_package_is_absent(tmp_path):
    model, batch = writer(), tiny_batch()
    model.save_pretrained(tmp_path)
    tiny_writing_processor().save_pretrained(tmp_path)
    save_file({k: x.contiguous() for k, x in batch.items()}, tmp_path / "batch.safetensors")
    code = f"""
import json, sys
sys.modules["hf_multimodal"] = None
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor
model = AutoModelForImageTextToText.from_pretrained({str(tmp_path)!r}, trust_remote_code=True).eval()
processor = AutoProcessor.from_pretrained({str(tmp_path)!r}, trust_remote_code=True)
written = model.generate(**load_file({str(tmp_path / "batch.safetensors")!r}), max_new_tokens=4)
print(json.dumps([written.tolist(), processor.batch_decode(written)]))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    written = model.generate(**batch, max_new_tokens=4)
    assert json.loads(run.stdout.splitlines()[-1]) == [written.tolist(), tiny_tokenizer().batch_decode(written)]


def test_pretrained_decoder(tmp_path):
    config = BertConfig(vocab_size=len(tiny_tokenizer()), hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    config.is_decoder = True
    trained = BertLMHeadModel(config)
    trained.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    model = tiny_model(MultimodalForConditionalGeneration, decoder=str(tmp_path))
    own, theirs = model.head.language_model.state_dict(), trained.state_dict()
    assert set(theirs) <= set(own)
    assert all(torch.equal(own[name], tensor) for name, tensor in theirs.items())
    assert any("crossattention" in name for name in set(own) - set(theirs))
    fresh = tiny_model(MultimodalForConditionalGeneration, decoder={"path": str(tmp_path), "pretrained": False})
    assert not torch.equal(fresh.get_input_embeddings().weight, trained.get_input_embeddings().weight)


def test_weights_of_another_architecture(tmp_path):
    config = BertConfig(vocab_size=len(tiny_tokenizer()), hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    config.is_decoder = True
    BertLMHeadModel(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: x for name, x in weights.items() if "attention" not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"The decoder's weights at .* lack 10 tensors that bert needs"):
        tiny_model(MultimodalForConditionalGeneration, decoder=str(tmp_path))


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        (None, "Nothing says which tokens the decoder writes"),
        ({"tokeniser": "x"}, "Unknown field of the decoder 'tokeniser'. Did you mean 'tokenizer'?"),
        (
            {"tokenizer": tiny_tokenizer(), "config": {"model_type": "distilbert"}},
            "cannot attend to an encoder's output",
        ),
        ({"tokenizer": tiny_tokenizer(), "config": {"model_type": "llama"}}, "cannot attend to an encoder's output"),
    ],
)
def test_decoders_that_are_none(decoder, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        tiny_model(MultimodalForConditionalGeneration, decoder=decoder)


def test_a_decoder_of_the_wrong_type():
    with pytest.raises(TypeError, match="The decoder is int: give a Hub id or folder"):
        tiny_model(MultimodalForConditionalGeneration, decoder=3)


def test_a_tokenizer_without_an_end():
    tokenizer = tiny_tokenizer()
    tokenizer.sep_token = tokenizer.cls_token = None
    with pytest.raises(ValueError, match="lacks a token to begin"):
        special_tokens(tokenizer)


def test_a_configuration_without_a_decoder():
    config = tiny_model(MultimodalForClassification).config
    with pytest.raises(ValueError, match="needs a decoder"):
        MultimodalForConditionalGeneration(config)


def test_attention_maps_and_hidden_states():
    model = writer()
    model.set_attn_implementation("eager")
    output = model(**tiny_batch(labels=LABELS), output_attentions=True, output_hidden_states=True)
    tokens = output.encoder_last_hidden_state.shape[1]
    assert [tuple(x.shape) for x in output.decoder_attentions] == [(3, 2, 3, 3)] * 2
    # the decoder reads the pooled vector, too
    assert [tuple(x.shape) for x in output.cross_attentions] == [(3, 2, 3, 1 + tokens)] * 2
    assert [tuple(x.shape) for x in output.decoder_hidden_states] == [(3, 3, 16)] * 3
    assert [x.shape[1] for x in output.encoder_hidden_states] == [tokens] * 2
    assert len(output.encoder_attentions) == 2  # of one layer and two modalities


def test_the_decoder_gets_more_tokens():
    model, batch = writer(), tiny_batch(labels=LABELS)
    before = model(**batch).logits
    count = before.shape[-1]
    model.resize_token_embeddings(count + 3)
    assert model.config.decoder_config.vocab_size == count + 3
    assert model.config.text_config.vocab_size == 32
    torch.testing.assert_close(model(**batch).logits[..., :count], before)


def test_nothing_to_read():
    with pytest.raises(ValueError, match="give labels or decoder_input_ids, or call generate"):
        writer()(**tiny_batch())


def test_special_tokens_come_back_after_a_trainer_has_taken_others():
    model = writer()
    model.generation_config.eos_token_id = model.config.decoder_config.eos_token_id = 7
    model.align_special_tokens()
    assert (model.generation_config.eos_token_id, model.config.decoder_config.eos_token_id) == (3, 3)


def test_processor_of_a_model_that_writes(tmp_path):
    processor = tiny_writing_processor()
    ids = tiny_tokenizer()(TEXTS[:2], add_special_tokens=False)["input_ids"]
    labels = processor.encode_targets([TEXTS[1], TEXTS[0]])
    assert labels.tolist() == [[*ids[1], 3], [*ids[0], 3, *[-100] * (len(ids[1]) - len(ids[0]))]]
    processor.save_pretrained(tmp_path)
    loaded = MultimodalProcessor.from_pretrained(tmp_path)
    assert loaded.encode_targets([TEXTS[1]]).tolist() == [[*ids[1], 3]]
    assert loaded.batch_decode(labels[:1], skip_special_tokens=True) == [TEXTS[1]]
    assert AutoTokenizer.from_pretrained(tmp_path, subfolder="decoder_tokenizer").get_vocab() == (
        tiny_tokenizer().get_vocab()
    )


def test_long_texts_are_cut_but_end():
    processor = tiny_writing_processor()
    processor.decoder_tokenizer.model_max_length = 3
    assert processor.encode_targets([TEXTS[1]]).shape == (1, 3)
    assert processor.encode_targets([TEXTS[1]])[0, -1] == 3


def test_a_processor_that_writes_nothing():
    with pytest.raises(ValueError, match="has no decoder_tokenizer"):
        tiny_processor().encode_targets(["a"])
    with pytest.raises(ValueError, match="only one has a decoder"):
        tiny_processor().check_model(writer().config)


def test_dialogues_become_prompts():
    turns = [{"role": "user", "content": "what is red"}, {"role": "assistant", "content": "a square"}]
    processor = tiny_writing_processor()
    assert processor.fold_dialogue(turns) == "user: what is red assistant: a square assistant:"
    processor.chat_template = "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}>"
    assert processor.fold_dialogue(turns) == "[user] what is red [assistant] a square >"
    with pytest.raises(ValueError, match="This processor reads no text"):
        tiny_writing_processor(text=False).fold_dialogue(turns)
    with pytest.raises(ValueError, match="at least one turn"):
        processor.fold_dialogue([])
    with pytest.raises(ValueError, match=r"Turn 1 is \{'role': 'user'\}"):
        processor.fold_dialogue([turns[0], {"role": "user"}])


def test_towers_and_fusion_go_on_to_another_task(tmp_path):
    model = writer()
    model.save_pretrained(tmp_path)
    classifier, info = MultimodalForClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert all(name.startswith("head.") for name in info["missing_keys"])
    kept = classifier.model.state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in model.model.state_dict().items())
