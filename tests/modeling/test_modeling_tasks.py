# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The model of several tasks: losses by hand, labels that are missing, weights fixed and learned."""

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 (the field's own abbreviation)

from hf_multimodal.modeling.configuration_multimodal import FUSIONS
from hf_multimodal.modeling.modeling_losses import uncertainty_weighted
from hf_multimodal.modeling.modeling_multimodal import MultimodalForClassification, MultimodalForQuestionAnswering
from hf_multimodal.modeling.modeling_tasks import MultimodalForMultiTask
from hf_multimodal.modeling.pipeline_multimodal import MultimodalClassificationPipeline
from tests.tiny import TEXTS, tiny_batch, tiny_model, tiny_processor

TASKS = {
    "kind": {"problem_type": "single_label_classification", "labels": ["a", "b", "c"]},
    "marks": {"problem_type": "multi_label_classification", "labels": ["x", "y"]},
    "type": {"problem_type": "regression", "labels": ["size"]},  # a name that nn.Module has, too
    "place.at": {"problem_type": "regression", "labels": ["left", "top"]},
}
NAN = math.nan
LABELS = {
    "kind": torch.tensor([2, -100, 0]),
    "marks": torch.tensor([[1.0, 0.0], [1.0, 1.0], [NAN, NAN]]),
    "type": torch.tensor([NAN, 2.5, NAN]),
    "place.at": torch.tensor([[1.0, 2.0], [0.5, NAN], [0.0, -1.0]]),
}


def model(**config):
    return tiny_model(MultimodalForMultiTask, image="timm resnet", tasks=TASKS, **config)


def by_hand(logits):
    """Each task's loss, over the rows that have its label."""
    return {
        "kind": F.cross_entropy(logits["kind"][[0, 2]], torch.tensor([2, 0])),
        "marks": F.binary_cross_entropy_with_logits(logits["marks"][:2], LABELS["marks"][:2]),
        "type": F.mse_loss(logits["type"][1:2, 0], torch.tensor([2.5])),
        "place.at": F.mse_loss(logits["place.at"][[0, 2]], LABELS["place.at"][[0, 2]]),
    }


@pytest.mark.parametrize("fusion", FUSIONS)
def test_losses_leave_out_rows_without_a_label(fusion):
    weights = {"kind": 2.0, "type": 0.5}
    tasks = model(fusion=fusion, task_weights=weights)
    output = tasks(**tiny_batch(labels=LABELS))
    assert {name: tuple(x.shape) for name, x in output.logits.items()} == {
        "kind": (3, 3),
        "marks": (3, 2),
        "type": (3, 1),
        "place.at": (3, 2),
    }
    expected = by_hand(output.logits)
    for name, loss in expected.items():
        torch.testing.assert_close(output.task_losses[name], loss)
    total = sum(weights.get(name, 1.0) * loss for name, loss in expected.items())
    torch.testing.assert_close(output.loss, total)


def test_learned_weights_are_kendalls():
    tasks = model(task_weighting="uncertainty")
    assert tasks.log_variances.tolist() == [0.0] * 4
    with torch.no_grad():
        tasks.log_variances.copy_(torch.tensor([0.3, -0.2, 0.7, 0.0]))
    output = tasks(**tiny_batch(labels=LABELS))
    total = 0.0
    for (name, loss), s in zip(sorted(by_hand(output.logits).items()), tasks.log_variances, strict=True):
        variance, is_regression = s.exp(), TASKS[name]["problem_type"] == "regression"
        total = total + loss / (2 * variance if is_regression else variance) + variance.sqrt().log()
    torch.testing.assert_close(output.loss, total)
    output.loss.backward()
    assert (tasks.log_variances.grad != 0).all()


@pytest.mark.parametrize("problem_type", ["regression", "single_label_classification"])
def test_the_best_variance_is_the_loss(problem_type):
    """Kendall et al. 2018: for regression sigma^2 settles at the loss, for classes at twice the loss."""
    loss, s = torch.tensor(0.37), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.Adam([s], lr=0.05)
    for _ in range(600):
        optimizer.zero_grad()
        uncertainty_weighted(loss, s, problem_type).backward()
        optimizer.step()
    best = 0.37 if problem_type == "regression" else 2 * 0.37
    assert s.exp().item() == pytest.approx(best, rel=1e-3)


def test_a_task_without_any_label_in_the_batch_costs_nothing():
    none = {"kind": torch.full((3,), -100), "type": torch.full((3,), NAN)}
    tasks = model().train()
    output = tasks(**tiny_batch(labels=none))
    assert output.loss.item() == 0.0
    output.loss.backward()
    silent = [name for name, p in tasks.named_parameters() if p.grad is None and "backbone" not in name]
    assert silent == []  # heads of tasks that were left out get a gradient of zero: DDP waits for it
    assert all(p.grad.abs().sum() == 0 for p in tasks.head.parameters())


def test_options_go_to_the_tasks_they_are_for():
    plain = model()(**tiny_batch(labels=LABELS)).task_losses
    other = model(label_smoothing=0.2, focal_gamma=2.0)(**tiny_batch(labels=LABELS)).task_losses
    assert {name for name in plain if not torch.equal(plain[name], other[name])} == {"kind", "marks"}
    tasks = model(class_weights={"kind": [1.0, 1.0, 5.0]})
    output = tasks(**tiny_batch(labels=LABELS))
    expected = F.cross_entropy(output.logits["kind"][[0, 2]], torch.tensor([2, 0]), torch.tensor([1.0, 1.0, 5.0]))
    torch.testing.assert_close(output.task_losses["kind"], expected)


def test_learned_weights_wait_for_labels():
    """The variance of a task without labels in a batch stays as it is."""
    tasks = model(task_weighting="uncertainty")
    labels = {"kind": torch.full((3,), -100), "type": LABELS["type"]}
    tasks(**tiny_batch(labels=labels)).loss.backward()
    gradient = dict(zip(tasks.config.task_names, tasks.log_variances.grad.tolist(), strict=True))
    assert gradient["kind"] == gradient["marks"] == 0.0
    assert gradient["type"] != 0.0


def test_rows_of_weight_zero_alone():
    tasks = model(class_weights={"kind": [0.0, 1.0, 1.0]})
    assert tasks(**tiny_batch(labels={"kind": torch.tensor([0, -100, -100])})).loss.item() == 0.0


def test_names_that_transformers_uses_itself():
    names = ("self", "past_key_values", "items")
    tasks = dict.fromkeys(names, TASKS["kind"])
    pipe = MultimodalClassificationPipeline(
        model=tiny_model(MultimodalForMultiTask, tasks=tasks), processor=tiny_processor()
    )
    assert set(pipe({"text": TEXTS[0]})) == set(names)
    assert [set(row) for row in pipe([{"text": text} for text in TEXTS], batch_size=2)] == [set(names)] * 3


@pytest.mark.parametrize("cls", [MultimodalForClassification, MultimodalForQuestionAnswering])
def test_models_of_one_task_refuse_several(cls, tmp_path):
    with pytest.raises(ValueError, match=f"{cls.__name__} is for one task, but the configuration has kind, marks"):
        tiny_model(cls, tasks=TASKS)
    model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="use MultimodalForMultiTask"):
        cls.from_pretrained(tmp_path)


def test_several_tasks_alone_have_weightings():
    with pytest.raises(ValueError, match="task_weighting='uncertainty' is for several tasks"):
        tiny_model(MultimodalForClassification, task_weighting="uncertainty")
    with pytest.raises(ValueError, match="of one it is a list"):
        tiny_model(MultimodalForClassification, class_weights={"kind": [1.0, 1.0]})


def test_the_same_batch_gives_the_same_logits():
    tasks = model()
    first, second = (tasks(**tiny_batch()).logits for _ in range(2))
    for name in TASKS:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)


@pytest.mark.parametrize("weighting", ["fixed", "uncertainty"])
def test_saved_and_loaded(weighting, tmp_path):
    tasks = model(task_weighting=weighting)
    if weighting == "uncertainty":
        torch.nn.init.normal_(tasks.log_variances)
    tasks.save_pretrained(tmp_path)
    loaded = MultimodalForMultiTask.from_pretrained(tmp_path).eval()
    assert loaded.config.tasks == TASKS
    torch.testing.assert_close(loaded(**tiny_batch(labels=LABELS)).loss, tasks(**tiny_batch(labels=LABELS)).loss)


def test_labels_of_a_task_that_nobody_declared():
    with pytest.raises(
        ValueError, match="Unknown task 'kidn'. Did you mean 'kind'\\? Known: kind, marks, place.at, type"
    ):
        model()(**tiny_batch(labels={"kidn": LABELS["kind"]}))
    with pytest.raises(TypeError, match="labels is a Tensor: give a mapping of task to labels. Tasks: kind, marks"):
        model()(**tiny_batch(labels=LABELS["kind"]))


KIND = TASKS["kind"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"tasks": None}, "MultimodalForMultiTask needs tasks"),
        ({"tasks": {"kind": {"problem_type": KIND["problem_type"]}}}, "Task 'kind' has no labels"),
        ({"tasks": {"kind": {"labels": ["a"]}}}, "Unknown problem_type of task 'kind' 'missing'"),
        ({"tasks": {"kind": {**KIND, "problem_type": "regresion"}}}, "Did you mean 'regression'"),
        ({"tasks": {"kind": {**KIND, "label": ["a"]}}}, "Unknown field of task 'kind' 'label'. Did you mean 'labels'"),
        ({"tasks": TASKS, "class_weights": {"kind": [1.0]}}, "class_weights of task .kind.=.*each of the 3 labels"),
        ({"tasks": TASKS, "class_weights": {"kind": [1.0, -1.0, 0.0]}}, "none negative"),
        ({"tasks": TASKS, "class_weights": {"kidn": [1.0]}}, "Unknown task in class_weights 'kidn'"),
        ({"tasks": TASKS, "class_weights": [1.0, 2.0]}, "of several tasks it maps each task to its weights"),
        ({"tasks": TASKS, "task_weights": {"size": 1.0}}, "Unknown task in task_weights 'size'"),
        ({"tasks": TASKS, "task_weights": {"kind": -1.0}}, "it cannot be negative"),
        ({"tasks": TASKS, "task_weighting": "learned"}, "Unknown task_weighting 'learned'.*Known: fixed, uncertainty"),
    ],
)
def test_what_a_configuration_must_say(config, message):
    with pytest.raises(ValueError, match=message):
        tiny_model(MultimodalForMultiTask, **config)
