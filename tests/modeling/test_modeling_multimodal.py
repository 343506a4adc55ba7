# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The models: saving and loading, freezing, embeddings, objectives, and inputs they refuse."""

import math

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, Trainer, TrainingArguments
from transformers.models.auto.modeling_auto import AutoModelForVisualQuestionAnswering

from hf_multimodal.modeling.configuration_multimodal import MultimodalConfig
from hf_multimodal.modeling.modeling_multimodal import (
    MultimodalForClassification,
    MultimodalForQuestionAnswering,
    MultimodalModel,
)
from hf_multimodal.modeling.modeling_tower_base import drop_modalities
from tests.tiny import TEXT_TOWERS, TEXTS, tiny_batch, tiny_model, tiny_pictures, tiny_processor, tower_config

ONE_LABEL = torch.tensor([2, 0, 1])
SEVERAL_LABELS = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.5, 0.0]])
# name -> class, auto class, configuration, labels
CASES = {
    "model": (MultimodalModel, AutoModel, {}, None),
    "single label": (
        *(MultimodalForClassification, AutoModelForSequenceClassification),
        *({"num_labels": 3, "problem_type": "single_label_classification"}, ONE_LABEL),
    ),
    "multi-label": (
        *(MultimodalForClassification, AutoModelForSequenceClassification),
        *({"num_labels": 3, "problem_type": "multi_label_classification"}, SEVERAL_LABELS),
    ),
    "regression": (
        *(MultimodalForClassification, AutoModelForSequenceClassification),
        *({"num_labels": 1, "problem_type": "regression"}, torch.tensor([0.5, -1.0, 2.0])),
    ),
    "answers": (
        *(MultimodalForQuestionAnswering, AutoModelForVisualQuestionAnswering),
        *({"num_labels": 3}, ONE_LABEL),
    ),
    "scored answers": (
        *(MultimodalForQuestionAnswering, AutoModelForVisualQuestionAnswering),
        *({"num_labels": 3}, SEVERAL_LABELS),
    ),
}


def numbers(model, labels=None):
    """What a model says about the tiny batch: logits or pooled vector, and the loss if there is one."""
    batch = tiny_batch() if labels is None else tiny_batch(labels=labels)
    with torch.no_grad():
        output = model(**batch)
    result = output.logits if "logits" in output else output.pooler_output
    return (result, output.loss) if labels is not None else (result,)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", CASES)
def test_save_and_load(tmp_path, case, dtype, implementation):
    cls, auto_class, config, labels = CASES[case]
    model = tiny_model(cls, image="timm swin", **config).to(dtype)
    model.set_attn_implementation(implementation)
    expected = numbers(model, labels)
    model.save_pretrained(tmp_path)
    weights = {path.suffix for path in tmp_path.iterdir()} - {".json", ".py"}
    assert weights == {".safetensors"}
    for loader in (cls, auto_class):
        loaded = loader.from_pretrained(tmp_path, dtype=dtype, attn_implementation=implementation)
        assert type(loaded) is cls
        assert (loaded.dtype, loaded.config._attn_implementation) == (dtype, implementation)
        assert not loaded.training
        for actual, wanted in zip(numbers(loaded, labels), expected, strict=True):
            torch.testing.assert_close(actual, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_loading_misses_nothing(tmp_path, case):
    cls, _, config, _ = CASES[case]
    tiny_model(cls, **config).save_pretrained(tmp_path)
    _, info = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info


def test_dtype_is_kept(tmp_path):
    tiny_model().to(torch.bfloat16).save_pretrained(tmp_path)
    assert MultimodalForClassification.from_pretrained(tmp_path).dtype == torch.bfloat16


def test_body_of_a_saved_classifier_loads_into_the_bare_model(tmp_path):
    model = tiny_model()
    model.save_pretrained(tmp_path)
    body = MultimodalModel.from_pretrained(tmp_path)
    torch.testing.assert_close(numbers(body)[0], numbers(model.model)[0], atol=1e-5, rtol=0)


def test_a_head_on_a_saved_body_starts_fresh(tmp_path):
    body = tiny_model(MultimodalModel)
    body.save_pretrained(tmp_path)
    model, info = MultimodalForClassification.from_pretrained(tmp_path, num_labels=5, output_loading_info=True)
    assert set(info["missing_keys"]) == {"head.out_proj.weight", "head.out_proj.bias"}
    assert numbers(model)[0].shape == (3, 5)
    torch.testing.assert_close(numbers(model.model)[0], numbers(body)[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][3] is not None])
def test_every_parameter_learns(case):
    cls, _, config, labels = CASES[case]
    model = tiny_model(cls, **config).train()
    mask = torch.tensor([[True, True], [True, False], [False, True]])  # else the absent tokens cannot learn
    model(**{**tiny_batch(labels=labels), "modality_mask": mask}).loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("frozen", [["text"], ["image"], ["text", "image"]])
def test_frozen_towers_stay_frozen(tmp_path, frozen):
    tiny_model(image="timm resnet", frozen_towers=frozen).save_pretrained(tmp_path)
    for loaded in (
        tiny_model(image="timm resnet", frozen_towers=frozen),
        MultimodalForClassification.from_pretrained(tmp_path),
        AutoModelForSequenceClassification.from_pretrained(tmp_path),
        MultimodalForClassification.from_pretrained(tmp_path, output_loading_info=True)[0],
    ):
        loaded.train()
        for modality, tower in loaded.model.towers.items():
            is_free = modality not in frozen
            assert {p.requires_grad for p in tower.backbone.parameters()} == {is_free}
            assert {module.training for module in tower.backbone.modules()} == {is_free}
            assert tower.projection.weight.requires_grad
            assert tower.norm.training
        assert loaded.head.training


def test_a_training_step_leaves_a_frozen_tower_as_it_was():
    model = tiny_model(image="timm resnet", frozen_towers=["image"]).train()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
    model(**tiny_batch(labels=torch.tensor([0, 1, 0]))).loss.backward()
    optimizer.step()
    changed = {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
    assert not {key for key in changed if key.startswith("model.towers.image.backbone.")}
    assert {key.split(".")[2] for key in changed if key.startswith("model.towers.")} == {"text", "image"}


def test_losses_differ_by_problem_type():
    batch = tiny_batch()
    logits = tiny_model(num_labels=3)(**batch).logits
    expected = {
        "single_label_classification": (ONE_LABEL, torch.nn.functional.cross_entropy(logits, ONE_LABEL)),
        "multi_label_classification": (
            *(SEVERAL_LABELS, torch.nn.functional.binary_cross_entropy_with_logits(logits, SEVERAL_LABELS)),
        ),
        "regression": (SEVERAL_LABELS, torch.nn.functional.mse_loss(logits, SEVERAL_LABELS)),
    }
    for problem_type, (labels, loss) in expected.items():
        model = tiny_model(num_labels=3, problem_type=problem_type)
        torch.testing.assert_close(model(**batch, labels=labels).loss, loss)
        if problem_type != "regression":  # inferred from the labels
            torch.testing.assert_close(tiny_model(num_labels=3)(**batch, labels=labels).loss, loss)


def test_outputs_as_a_tuple():
    batch = tiny_batch(labels=torch.tensor([0, 1, 0]))
    model = tiny_model()
    loss, logits, *_ = model(**batch, return_dict=False)
    torch.testing.assert_close((loss, logits), (model(**batch).loss, model(**batch).logits))


def test_model_output_shapes():
    output = tiny_model(MultimodalModel)(**tiny_batch())
    length = 10 + 17  # of the longest text, and 16 patches with a class token
    assert output.last_hidden_state.shape == (3, length, 16)
    assert output.pooler_output.shape == (3, 16)
    assert output.modality_embeds.shape == (3, 2, 16)
    expected = torch.cat([tiny_batch()["attention_mask"], torch.ones(3, 17, dtype=torch.long)], dim=1)
    assert torch.equal(output.token_mask, expected)


def test_rows_do_not_see_each_other():
    model = tiny_model()
    batch = tiny_batch()
    together = model(**batch).logits
    alone = torch.cat([model(**{k: x[i : i + 1] for k, x in batch.items()}).logits for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_embeddings_of_the_text_tower():
    model = tiny_model()
    embeddings = model.get_input_embeddings()
    assert embeddings is model.model.towers["text"].backbone.get_input_embeddings()
    model.resize_token_embeddings(40)
    assert model.get_input_embeddings().num_embeddings == 40
    assert model.config.text_config.vocab_size == 40
    assert tiny_model(text=None).get_input_embeddings() is None


def test_main_input():
    assert tiny_model().main_input_name == "input_ids"
    assert tiny_model(text=None).main_input_name == "pixel_values"


def test_what_it_refuses():
    with pytest.raises(ValueError, match="Nothing to encode: give the inputs of at least one of text, image"):
        tiny_model()(modality_mask=torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="no tower: give at least one of text_config, vision_config"):
        MultimodalModel(MultimodalConfig())
    with pytest.raises(ValueError, match="problem_type='single_label_classification' needs integer labels"):
        tiny_model(problem_type="single_label_classification")(**tiny_batch(labels=torch.zeros(3)))


def test_initial_weights():
    """Fusion and head are scaled by their fan-in; the backbones keep their own; the absent tokens differ from zero."""
    text = tower_config({**TEXT_TOWERS["bert"], "hidden_size": 32, "initializer_range": 0.5})
    model = MultimodalForClassification.from_towers_pretrained(text=text, hidden_size=48, intermediate_size=192)
    fusion, tower = model.model.fusion, model.model.towers["text"]
    # the default of 0.036 at a fan-in of 768 is 1 / sqrt(fan-in), to its two digits
    expected = {
        fusion.layers[0].blocks["text"].self_attention.q_proj: 1 / math.sqrt(48),
        fusion.layers[0].blocks["text"].mlp.down_proj: 1 / math.sqrt(192),
        fusion.pooler.mlp.gate_proj: 1 / math.sqrt(48),
        fusion.pooler.mlp.down_proj: 1 / math.sqrt(192),
        tower.backbone.encoder.layer[0].attention.self.query: 0.5,
    }
    for layer, std in expected.items():
        # 1024 draws and more: relative error of at most 1 / sqrt(2 * 1024) = 2.2 %
        assert layer.weight.std().item() == pytest.approx(std, rel=0.1)
    # 48 draws: relative error of 10 %
    assert tower.absent_token.std().item() == pytest.approx(0.036, rel=0.5)


def test_gradient_accumulation_is_a_mean(tmp_path):
    """One step on four rows is one step on two times two rows: Trainer divides the loss by the accumulation steps."""
    batch = tiny_batch(labels=torch.tensor([0, 1, 0]))
    rows = [{k: x[i] for k, x in batch.items()} for i in (0, 1, 2, 1)]
    weights = []
    for size in (4, 2):
        model = tiny_model()
        arguments = TrainingArguments(
            tmp_path,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=4 // size,
            max_steps=1,
            learning_rate=0.01,
            lr_scheduler_type="constant",
            optim="sgd",
            max_grad_norm=0.0,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        Trainer(model, arguments, train_dataset=rows).train()
        weights.append(model.state_dict())
    torch.testing.assert_close(weights[1], weights[0], atol=1e-6, rtol=0)


def test_the_inferred_problem_type_is_kept():
    model = tiny_model(num_labels=3)
    model(**tiny_batch(labels=torch.eye(3)))
    assert model.config.problem_type == "multi_label_classification"
    model = tiny_model(MultimodalForQuestionAnswering, num_labels=3)
    model(**tiny_batch(labels=torch.eye(3)))
    assert model.config.problem_type == "scored_answers"


def test_question_answering_has_answers():
    with pytest.raises(ValueError, match="problem_type of question answering 'regression'"):
        tiny_model(MultimodalForQuestionAnswering, num_labels=3, problem_type="regression")


def test_modality_dropout_leaves_something():
    """With certainty, the image goes where there is text beside it, and stays where it is alone; in training only."""
    model = tiny_model(num_labels=2, modality_dropout={"image": 1.0})
    processor = tiny_processor()
    batch = processor(text=[TEXTS[0], None], images=tiny_pictures(2), return_tensors="pt")
    full = model(**batch).logits
    model.train()
    dropped = model(**batch).logits
    without = processor(text=[TEXTS[0], None], images=[None, tiny_pictures(2)[1]], return_tensors="pt")
    model.eval()
    torch.testing.assert_close(dropped, model(**without).logits)
    assert not torch.allclose(dropped[0], full[0])
    del batch["modality_mask"]  # then what is given is there
    assert model.train()(**batch).logits.isfinite().all()


def test_modality_dropout_at_its_rate():
    torch.manual_seed(0)
    kept = drop_modalities(torch.ones(4000, 2, dtype=torch.bool), [0.0, 0.25])
    assert kept[:, 0].all()
    assert 0.72 < kept[:, 1].float().mean() < 0.78


def test_options_of_the_objective_are_used():
    batch = tiny_batch(labels=torch.tensor([0, 1, 0]))
    plain = tiny_model(num_labels=2)(**batch).loss
    for options in ({"label_smoothing": 0.2}, {"focal_gamma": 2.0}, {"class_weights": [1.0, 9.0]}):
        assert not torch.isclose(tiny_model(num_labels=2, **options)(**batch).loss, plain), options
