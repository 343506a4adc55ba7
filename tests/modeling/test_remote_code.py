# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A saved folder works where the package is absent, and what was loaded there can be saved again."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from hf_multimodal.modeling.modeling_multimodal import MultimodalForClassification, MultimodalForQuestionAnswering
from hf_multimodal.modeling.modeling_tasks import MultimodalForMultiTask
from hf_multimodal.modeling.pipeline_multimodal import MultimodalClassificationPipeline
from hf_multimodal.modeling.remote_code import AUTO_MAP, PIPELINE, copy_modeling_code
from tests.tiny import TEXTS, tiny_clips, tiny_model, tiny_pictures, tiny_processor

# task -> auto class, class
TASKS = {
    "multimodal-classification": ("AutoModelForSequenceClassification", MultimodalForClassification),
    "multimodal-question-answering": ("AutoModelForVisualQuestionAnswering", MultimodalForQuestionAnswering),
}

# Runs in an isolated interpreter that refuses to import the package.
BLOCKER = """
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "hf_multimodal":
            raise ModuleNotFoundError(f"{name} is absent here")

sys.meta_path.insert(0, Blocker())
"""
READER = """
auto_classes, source, target = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]

import torch
import transformers
from PIL import Image
from transformers.models.auto import modeling_auto

trust = {"trust_remote_code": True}
row = {"text": "a red square", "image": Image.open("picture.png")}
answers = {}
for task, auto_name in auto_classes.items():
    folder = f"{source}/{task}"
    processor = transformers.AutoProcessor.from_pretrained(folder, **trust)
    model = getattr(modeling_auto, auto_name).from_pretrained(folder, **trust)
    body = transformers.AutoModel.from_pretrained(folder, **trust)
    batch = processor(text=[row["text"], None], images=[row["image"], row["image"]], return_tensors="pt")
    with torch.no_grad():
        logits = model(**batch).logits
    pipe = transformers.pipeline(task, model=folder, **trust)
    answers[task] = {
        "loaded": [type(x).__module__ for x in (model, model.config, processor, processor.image_processor, pipe)],
        "classes": [type(x).__name__ for x in (model, body)],
        "logits": logits.tolist(),
        "predictions": [pipe(row), *pipe([row, {"text": row["text"]}], batch_size=2)],
    }
    if target:
        pipe.save_pretrained(f"{target}/{task}")
answers["ours"] = [name for name in sys.modules if name.split(".")[0] == "hf_multimodal"]
print(json.dumps(answers))
"""


def read(path, source, target=""):
    command = [
        sys.executable,
        "-I",
        "-c",
        BLOCKER + READER,
        json.dumps({task: names[0] for task, names in TASKS.items()}),
    ]
    result = subprocess.run([*command, source, target], cwd=path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def by_label(predictions):
    return {(i, entry["label"]): entry["score"] for i, row in enumerate(predictions) for entry in row}


def check(answer, pipe, picture):
    assert {name.split(".")[0] for name in answer["loaded"]} == {"transformers_modules"}
    assert answer["classes"] == [type(pipe.model).__name__, "MultimodalModel"]
    batch = pipe.processor(text=[TEXTS[0], None], images=[picture, picture], return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(torch.tensor(answer["logits"]), pipe.model(**batch).logits, atol=1e-5, rtol=0)
    row = {"text": TEXTS[0], "image": picture}
    expected = [pipe(row), *pipe([row, {"text": TEXTS[0]}])]
    assert by_label(answer["predictions"]) == pytest.approx(by_label(expected), abs=1e-5)


@pytest.mark.slow
def test_loads_without_the_package_and_saves_again(tmp_path):
    """Two interpreters, some seconds of imports each: one reads what was saved here, one what the first has saved."""
    picture = tiny_pictures(1)[0]
    picture.save(tmp_path / "picture.png")
    pipes = {}
    for task, (_, cls) in TASKS.items():
        model = tiny_model(cls, image="timm swin", id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1})
        pipes[task] = MultimodalClassificationPipeline(model=model, processor=tiny_processor())
        pipes[task].save_pretrained(tmp_path / "first" / task)
    for answers in (read(tmp_path, "first", "second"), read(tmp_path, "second")):
        assert answers["ours"] == []
        for task, pipe in pipes.items():
            check(answers[task], pipe, picture)
    for task in TASKS:
        files = [{file.name for file in (tmp_path / folder / task).iterdir()} for folder in ("first", "second")]
        assert files[0] == files[1]


# The same for a model of several tasks, for which transformers has no auto class.
READER_OF_TASKS = """
source, target = sys.argv[1:]

import numpy as np
import torch
from transformers import AutoProcessor
from transformers.dynamic_module_utils import get_class_from_dynamic_module

model_class = get_class_from_dynamic_module("modeling_tasks.MultimodalForMultiTask", source)
model = model_class.from_pretrained(source).eval()
processor = AutoProcessor.from_pretrained(source, trust_remote_code=True)
batch = processor(
    text=["a red square"], videos=[np.load("clip.npy")], series=[{"x": [1.0, 2.0], "kind": "b"}], return_tensors="pt"
)
with torch.no_grad():
    logits = model(**batch).logits
model.save_pretrained(target)
processor.save_pretrained(target)
ours = [name for name in sys.modules if name.split(".")[0] == "hf_multimodal"]
print(json.dumps({"logits": {k: x.tolist() for k, x in logits.items()}, "ours": ours}))
"""


@pytest.mark.slow
def test_tasks_over_clips_and_series_load_without_the_package(tmp_path):
    kinds = {"kind": "single_label_classification", "size": "regression"}
    tasks = {name: {"problem_type": kind, "labels": ["a", "b"]} for name, kind in kinds.items()}
    model = tiny_model(MultimodalForMultiTask, image=None, video="timm resnet", series="patchtst", tasks=tasks)
    processor = tiny_processor(image=False, video=True, series=True)
    model.save_pretrained(tmp_path / "first")
    processor.save_pretrained(tmp_path / "first")
    clip = tiny_clips()[0]
    np.save(tmp_path / "clip.npy", clip)
    series = [{"x": [1.0, 2.0], "kind": "b"}]
    expected = model(**processor(text=TEXTS[:1], videos=[clip], series=series, return_tensors="pt")).logits
    for source, target in (("first", "second"), ("second", "third")):
        command = [sys.executable, "-I", "-c", BLOCKER + READER_OF_TASKS, source, target]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        answer = json.loads(result.stdout.splitlines()[-1])
        assert answer["ours"] == []
        for name, logits in expected.items():
            torch.testing.assert_close(torch.tensor(answer["logits"][name]), logits, atol=1e-5, rtol=0)


def test_copied_code_is_flat_and_complete(tmp_path):
    copy_modeling_code(tmp_path / "new")
    files = {file.name for file in (tmp_path / "new").iterdir()}
    assert {f"{target.split('.')[0]}.py" for target in (*AUTO_MAP.values(), PIPELINE)} <= files
    assert "__init__.py" not in files


def test_copying_again_brings_the_newest_code(tmp_path):
    copy_modeling_code(tmp_path)
    (tmp_path / "modeling_heads.py").write_text("stale")
    copy_modeling_code(tmp_path)
    assert "stale" not in (tmp_path / "modeling_heads.py").read_text()
