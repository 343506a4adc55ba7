# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The package is light to import, and its public names are what it says they are."""

import importlib
import json
import subprocess
import sys

import pytest

import hf_multimodal

HEAVY = ("accelerate", "datasets", "evaluate", "numpy", "sklearn", "timm", "torch", "transformers")

IMPORT = "import hf_multimodal"

HELP = """
from hf_multimodal.cli.main import main
sys.argv = ["hf-multimodal", *{arguments!r}]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(IMPORT, id="import"),
        pytest.param(HELP.format(arguments=["--help"]), id="help"),
        pytest.param(HELP.format(arguments=["train", "--help"]), id="train-help"),
    ],
)
def test_loads_no_heavy_library(code):
    script = f"import json, sys\n{code}\nprint()\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize("name", sorted(hf_multimodal._MODULE_OF))
def test_public_name_loads(name):
    value = getattr(hf_multimodal, name)
    # Defined there, not passed on from elsewhere: the table also tells readers where to look.
    assert (value.__module__, value.__name__) == (hf_multimodal._MODULE_OF[name], name)


def test_public_names_agree():
    assert set(hf_multimodal.__all__) == {*hf_multimodal._MODULE_OF, "__version__"}
    assert set(hf_multimodal.__all__) <= set(dir(hf_multimodal))


def test_unknown_name_lists_the_public_ones():
    with pytest.raises(AttributeError, match="no attribute 'MultimodelModel'; public names: .*MultimodalModel"):
        _ = hf_multimodal.MultimodelModel


def test_submodules_stay_reachable():
    assert importlib.import_module("hf_multimodal.registration").MODEL_TYPE == "hf_multimodal"
