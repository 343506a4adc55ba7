# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' auto classes find our classes by `import hf_multimodal` alone, in either order of imports."""

import importlib.util
import json
import logging
import subprocess
import sys

import pytest

from hf_multimodal import registration

IMPORT_ORDERS = {
    "ours first": """
import hf_multimodal
assert not {"torch", "transformers"} & set(sys.modules)
import transformers
from transformers import AutoImageProcessor, AutoModel, AutoProcessor, AutoTokenizer, pipeline
""",
    "transformers first": """
import transformers
from transformers import AutoImageProcessor, AutoModel, AutoProcessor, AutoTokenizer, pipeline
import hf_multimodal
""",
}

# What each statement must come to is the class of the package, not the copy of its code in the folder.
LOADS = """
assert transformers.AutoConfig.for_model("bert").model_type == "bert"
assert not [name for name in sys.modules if name == "timm" or name.startswith("hf_multimodal.modeling")], "too early"

loaded = {}
for name in statements:
    loaded[name] = type(eval(statements[name], {"transformers": transformers, "folder": folder})).__module__
print(json.dumps(loaded))
"""

STATEMENTS = {
    "AutoProcessor": "transformers.AutoProcessor.from_pretrained(folder)",
    "AutoImageProcessor": "transformers.AutoImageProcessor.from_pretrained(folder)",
    "AutoConfig": "transformers.AutoConfig.from_pretrained(folder)",
    "AutoModel": "transformers.AutoModel.from_pretrained(folder)",
    "AutoModelForSequenceClassification": "transformers.AutoModelForSequenceClassification.from_pretrained(folder)",
    "trusted model": "transformers.AutoModel.from_pretrained(folder, trust_remote_code=True)",
    "pipeline": "transformers.pipeline('multimodal-classification', model=folder)",
}

MODULES = {
    "AutoProcessor": "processing_multimodal",
    "AutoImageProcessor": "image_processing_multimodal",
    "AutoConfig": "configuration_multimodal",
    "AutoModel": "modeling_multimodal",
    "AutoModelForSequenceClassification": "modeling_multimodal",
    "trusted model": "modeling_multimodal",
    "pipeline": "pipeline_multimodal",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A saved classifier with its processor, a few thousand weights."""
    from transformers import BertConfig, BertTokenizer

    from hf_multimodal import MultimodalForClassification, MultimodalImageProcessor, MultimodalProcessor

    path = tmp_path_factory.mktemp("saved")
    text = BertConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    MultimodalForClassification.from_towers_pretrained(
        text=text,
        image={"architecture": "test_vit"},
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
    ).save_pretrained(path)
    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])}
    square = {"height": 160, "width": 160}
    MultimodalProcessor(
        image_processor=MultimodalImageProcessor(size=square, crop_size=square),
        tokenizer=BertTokenizer(vocab=vocabulary),
    ).save_pretrained(path)
    return str(path)


def run_python(code):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("order", IMPORT_ORDERS)
def test_auto_classes_load_our_classes(folder, order):
    given = f"import json, sys\nfolder = {folder!r}\nstatements = {STATEMENTS!r}\n"
    loaded = run_python(given + IMPORT_ORDERS[order] + LOADS)
    assert loaded == {name: f"hf_multimodal.modeling.{module}" for name, module in MODULES.items()}


@pytest.mark.slow
@pytest.mark.parametrize("first", ["AutoProcessor", "AutoImageProcessor", "AutoModel", "pipeline"])
def test_every_auto_class_can_be_the_first(folder, first):
    given = f"import json, sys, hf_multimodal, transformers\nfolder = {folder!r}\n"
    module = run_python(given + f"print(json.dumps(type({STATEMENTS[first]}).__module__))")
    assert module == f"hf_multimodal.modeling.{MODULES[first]}"


@pytest.mark.slow
def test_direct_import_of_the_modelling_file_registers_the_models():
    registered = run_python(
        "import json, transformers\n"
        "from hf_multimodal.modeling.modeling_multimodal import MultimodalModel\n"
        "from transformers.models.auto.modeling_auto import MODEL_MAPPING\n"
        "print(json.dumps(MODEL_MAPPING[MultimodalModel.config_class] is MultimodalModel))"
    )
    assert registered is True


def test_register_twice_changes_nothing(caplog):
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
    from transformers.pipelines import PIPELINE_REGISTRY

    registration.register()
    before = dict(PIPELINE_REGISTRY.supported_tasks), list(PROCESSOR_MAPPING._extra_content)
    assert {"multimodal-classification", "multimodal-question-answering"} <= set(before[0])
    with caplog.at_level(logging.WARNING):
        registration.register()
    assert (dict(PIPELINE_REGISTRY.supported_tasks), list(PROCESSOR_MAPPING._extra_content)) == before
    assert caplog.records == []


def test_register_replaces_stand_ins():
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    registration.register()
    registered = [
        CONFIG_MAPPING["hf_multimodal"],
        *PROCESSOR_MAPPING._extra_content,
        *IMAGE_PROCESSOR_MAPPING._extra_content,
    ]
    assert not [c for c in registered if isinstance(c, registration._StandInType)]


def test_a_stand_in_answers_as_the_real_class():
    from hf_multimodal import MultimodalConfig

    stand_in = registration._STAND_INS["MultimodalConfig"]
    assert (stand_in.__name__, stand_in.model_type) == ("MultimodalConfig", "hf_multimodal")
    assert type(stand_in()) is MultimodalConfig
    assert isinstance(MultimodalConfig(), stand_in)
    assert not isinstance({}, stand_in)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = stand_in.no_such_name


def test_the_hook_is_installed_once_and_leaves_other_imports_alone():
    registration.install_import_hook()
    finders = [f for f in sys.meta_path if isinstance(f, registration._AutoModuleFinder)]
    assert len(finders) == 1
    assert finders[0].find_spec("json", None) is None


def test_a_hooked_module_keeps_its_source():
    name = "transformers.models.auto.configuration_auto"
    assert "class AutoConfig" in importlib.util.find_spec(name).loader.get_source(name)
    finder = next(f for f in sys.meta_path if isinstance(f, registration._AutoModuleFinder))
    spec = finder.find_spec(name, sys.modules["transformers.models.auto"].__path__)
    assert "class AutoConfig" in spec.loader.get_source(name)
