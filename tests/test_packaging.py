# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""pyproject.toml says what the package needs, no less and no more."""

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import hf_multimodal

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = Path(hf_multimodal.__file__).parent
ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CORE = {requirement.name: requirement for requirement in map(Requirement, PROJECT["dependencies"])}

# Distribution -> the extra that users get it by.
EXTRAS = {
    Requirement(line).name: extra
    for extra, lines in PROJECT["optional-dependencies"].items()
    if extra not in ("dev", "test")
    for line in lines
}

# Import name -> distribution, where they differ.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "faiss": "faiss-cpu",
    "flask_compress": "flask-compress",
    "prometheus_client": "prometheus-client",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}

# Folder that is an extra's as a whole -> the one module that imports it, and names the extra where that is absent.
OF_EXTRAS = {"serving": "cli/serve.py"}

# Needed at run time though no line of ours imports them.
UNSEEN = {
    "accelerate",  # transformers.Trainer runs on it
    "safetensors",  # transformers reads and writes checkpoints with it
    "tensorboard",  # the trainer's default tracker
    "torchvision",  # the image processor and timm stand on it
}


def third_party_imports():
    found = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            for name in (full.split(".")[0] for full in names):
                if name not in sys.stdlib_module_names and name != "hf_multimodal":
                    found.setdefault(DISTRIBUTIONS.get(name, name), str(path.relative_to(PACKAGE)))
    return found


def test_every_import_is_declared():
    assert {name: path for name, path in third_party_imports().items() if name not in {*CORE, *EXTRAS}} == {}


def test_what_extras_bring_is_imported_where_it_is_used_and_its_absence_names_the_extra():
    for name, path in third_party_imports().items():
        if name in EXTRAS:
            text = (PACKAGE / path).read_text(encoding="utf-8")
            module = next((key for key, value in DISTRIBUTIONS.items() if value == name), name)
            entry = OF_EXTRAS.get(path.split("/")[0])
            if entry is not None and EXTRAS[name] == "serve":
                assert 'pip install "hf_multimodal[serve]"' in (PACKAGE / entry).read_text(encoding="utf-8")
                continue
            assert not re.search(rf"^(import|from) {module}\b", text, flags=re.MULTILINE), path
            assert f'pip install "hf_multimodal[{EXTRAS[name]}]"' in text, path


def test_every_dependency_is_used():
    assert set(CORE) - set(third_party_imports()) - UNSEEN == set()


@pytest.mark.parametrize("name", sorted(CORE))
def test_dependency_has_a_lower_bound(name):
    assert [part.operator for part in CORE[name].specifier if part.operator == ">="] == [">="]


def test_version_is_written_once():
    assert "version" in PROJECT["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", hf_multimodal.__version__)


def test_changelog_describes_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(hf_multimodal.__version__)}\]", changelog, flags=re.MULTILINE)


def test_classifiers_agree_with_requires_python():
    supported = SpecifierSet(PROJECT["requires-python"])
    minors = [c.rsplit(".", 1)[1] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert minors == [str(minor) for minor in range(int(minors[0]), int(minors[-1]) + 1)]
    assert all(f"3.{minor}" in supported for minor in minors)
    assert f"3.{int(minors[0]) - 1}" not in supported


@pytest.mark.parametrize("script", sorted(PROJECT["scripts"]))
def test_console_script_exists(script):
    module, _, function = PROJECT["scripts"][script].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_types_are_shipped():
    assert (PACKAGE / "py.typed").is_file()


def test_licence_is_apache_2():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_file_starts_with_the_licence_lines(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["# Copyright 2026 The hf_multimodal authors.", "# SPDX-License-Identifier: Apache-2.0"]
