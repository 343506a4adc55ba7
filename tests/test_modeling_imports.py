# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Files in `modeling/` import only their siblings, in the one way that survives the trip to the Hub.

transformers copies custom code as a flat folder and finds what else to copy with regular expressions over the text. A
text that looks like an import counts as one, wherever it stands; an import of another shape is copied but not found.
"""

import ast
import re
from pathlib import Path

import pytest

import hf_multimodal

MODELING = Path(hf_multimodal.__file__).parent / "modeling"
FILES = sorted(path for path in MODELING.glob("*.py") if path.name != "__init__.py")

# As in `transformers.dynamic_module_utils.get_relative_imports`.
LOOKS_RELATIVE = re.compile(r"^\s*(?:import\s+\.\S+\s*$|from\s+\.\S+\s+import)")


def find_faults(source, siblings):
    """Says what in a modelling file would not load from the Hub."""
    tree = ast.parse(source)
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    faults = [f"line {node.lineno}: {fault}" for node in imports for fault in _faults_of(node, siblings)]
    for block in ast.walk(tree):
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test):
            faults += [
                f"line {node.lineno}: import under TYPE_CHECKING is an import on the Hub"
                for node in ast.walk(block)
                if isinstance(node, (ast.Import, ast.ImportFrom))
            ]
    import_lines = {node.lineno for node in imports}
    faults += [
        f"line {number}: text that reads as a relative import"
        for number, line in enumerate(source.splitlines(), 1)
        if LOOKS_RELATIVE.match(line) and number not in import_lines
    ]
    return faults


def _faults_of(node, siblings):
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
        return [f"imports {name}" for name in names if name.split(".")[0] == "hf_multimodal"]
    if node.level == 0:
        return [f"imports from {node.module}"] if node.module.split(".")[0] == "hf_multimodal" else []
    if node.level > 1:
        return ["imports from above the folder"]
    if node.module is None:
        return ["`from . import x` is saved but does not load"]
    if node.module not in siblings:
        return [f"imports from .{node.module}, which is no file beside it"]
    return []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_sibling_imports(path):
    assert find_faults(path.read_text(encoding="utf-8"), {file.stem for file in FILES}) == []


def test_the_folder_is_flat():
    assert FILES
    assert [path.name for path in MODELING.iterdir() if path.is_dir() and path.name != "__pycache__"] == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import hf_multimodal.data", "imports hf_multimodal.data"),
        ("from hf_multimodal.data import x", "imports from hf_multimodal.data"),
        ("from ..data import x", "above the folder"),
        ("from . import towers", "does not load"),
        ("from .missing import x", "no file beside it"),
        ("from .towers.deep import x", "no file beside it"),
        ("if TYPE_CHECKING:\n    from .towers import x", "under TYPE_CHECKING"),
        ("if typing.TYPE_CHECKING:\n    import optional", "under TYPE_CHECKING"),
        ('"""Text.\n\n    from .towers import x\n"""', "reads as a relative import"),
    ],
)
def test_faults_are_found(source, fault):
    assert [found for found in find_faults(source, {"towers"}) if fault in found]


def test_what_is_allowed():
    source = "import torch\nfrom .towers import (\n    x,\n    y,\n)\n\ndef f():\n    from .towers import z\n"
    assert find_faults(source, {"towers"}) == []
