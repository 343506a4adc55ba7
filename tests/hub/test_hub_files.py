# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A saved folder answers through its own handler and application, where this package is not imported."""

import base64
import json
import subprocess
import sys

import pytest
from huggingface_hub.repocard import metadata_load
from transformers import pipeline
from typer.testing import CliRunner

from hf_multimodal.cli.main import app
from hf_multimodal.hub.hub_files import write_hub_files
from hf_multimodal.modeling.modeling_retrieval import MultimodalForRetrieval
from tests.serving.rows import encoded_picture
from tests.tiny import tiny_generation, tiny_model, tiny_processor

HANDLER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from handler import EndpointHandler
handler = EndpointHandler(sys.argv[1])
told = [handler({"inputs": x}) for x in json.loads(sys.argv[2])]
assert "hf_multimodal" not in sys.modules
print(json.dumps(told))
"""
# stands for Gradio, which wants an older Pillow than the rest
APPLICATION = """
import json, sys, types
class Error(Exception): pass
made = types.SimpleNamespace(Error=Error)
for name in ("Textbox", "Image", "Audio", "Video", "JSON", "Label"):
    setattr(made, name, lambda **options: options)
made.Interface = lambda function, inputs, output, **options: types.SimpleNamespace(function=function, inputs=inputs)
sys.modules["gradio"] = made
sys.path.insert(0, sys.argv[1])
import app
assert "hf_multimodal" not in sys.modules
from PIL import Image
told = app.demo.function("a red square", Image.open(sys.argv[2]))
try:
    app.demo.function("", None)
except Error as error:
    print(json.dumps([told, [x["label"] for x in app.demo.inputs], str(error)]))
"""


def run(code, *arguments, check=True):
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0 or not check, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) if check else done.stderr


def saved(folder, model, processor):
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def as_base64(content):
    return base64.b64encode(content).decode()


@pytest.mark.slow
def test_predictions_through_the_handler(tmp_path):
    folder = saved(tmp_path / "m", tiny_model(num_labels=2), tiny_processor())
    write_hub_files(folder, ["endpoint"])
    row = {"text": "a red square", "image": as_base64(encoded_picture())}
    url = f"data:image/png;base64,{row['image']}"
    one, many = run(HANDLER, folder, json.dumps([row, [row, {"text": "a"}, {"image": url}]]))
    expected = pipeline("multimodal-classification", model=str(folder))(
        {"text": "a red square", "image": encoded_picture()}
    )
    for told in (one[0] if isinstance(one[0], list) else one, many[0]):
        assert told[0]["score"] == pytest.approx(expected[0]["score"], abs=1e-5)
    assert len(many) == 3
    assert "transformers>=" in (folder / "requirements.txt").read_text()
    assert "is not base64" in run(HANDLER, folder, json.dumps([{"image": "/etc/passwd"}]), check=False)


@pytest.mark.slow
def test_texts_and_embeddings_through_the_handler(tmp_path):
    writer = saved(tmp_path / "w", *tiny_generation())
    write_hub_files(writer, ["endpoint"])
    (told,) = run(HANDLER, writer, json.dumps([[{"text": "a red square"}]]))
    assert "generated_text" in json.dumps(told)
    finder = saved(tmp_path / "r", tiny_model(MultimodalForRetrieval, embedding_size=8), tiny_processor())
    write_hub_files(finder, ["endpoint"])
    ((told,),) = run(HANDLER, finder, json.dumps([{"text": "a", "image": as_base64(encoded_picture())}]))
    assert {name: len(vector) for name, vector in told.items()} == {"text": 8, "image": 8}


@pytest.mark.slow
def test_the_application_of_a_space(tmp_path):
    folder = saved(tmp_path / "m", tiny_model(id2label={0: "no", 1: "yes"}), tiny_processor())
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    done = CliRunner().invoke(app, ["hub", str(folder), "--space"])
    assert done.exit_code == 0, done.output
    assert metadata_load(folder / "README.md") == {
        "license": "mit",
        "title": "m",
        "sdk": "gradio",
        "app_file": "app.py",
    }
    assert "# A model" in (folder / "README.md").read_text()
    picture = tmp_path / "a.png"
    picture.write_bytes(encoded_picture())
    told, labels, complaint = run(APPLICATION, folder, picture)
    assert sum(told.values()) == pytest.approx(1)
    assert set(told) == {"no", "yes"}
    assert labels == ["Text", "Picture"]
    assert complaint == "Fill in at least one field."


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match="holds no saved model with its code"):
        write_hub_files(tmp_path, ["endpoint"])
    with pytest.raises(ValueError, match="Unknown file for the Hub 'docker'. Known: endpoint, space"):
        write_hub_files(tmp_path, ["docker"])
    folder = saved(tmp_path / "r", tiny_model(MultimodalForRetrieval, embedding_size=8), tiny_processor())
    with pytest.raises(ValueError, match="A Space shows what a pipeline answers"):
        write_hub_files(folder, ["space"])
    assert not (folder / "app.py").exists()
    (folder / "handler.py").write_text("mine = True\n")
    with pytest.raises(ValueError, match="handler.py' is somebody's own"):
        write_hub_files(folder, ["endpoint"])
    (folder / "handler.py").unlink()
    write_hub_files(folder, ["endpoint"])
    write_hub_files(folder, ["endpoint"])
    done = CliRunner().invoke(app, ["hub", str(folder)])
    assert "--endpoint, --space" in str(done.exception)
