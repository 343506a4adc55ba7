# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What README.md shows works.

Blocks marked ```python run in order in one empty folder and share their names, as for a reader who follows along.
After the language a block may say `fresh` (starts with no names) or `compile-only` (needs a network or a long time: is
compiled, and its imports are executed).
Blocks marked ```bash are not run; the verbs, options' files and scripts that they name must exist.
"""

import ast
import re
import shlex
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from PIL import Image

from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from tests.training.tiny_run import tiny_run

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```\s*$", flags=re.MULTILINE | re.DOTALL)
WAYS = {"fresh", "compile-only"}


@dataclass(frozen=True)
class Block:
    language: str
    ways: frozenset
    line: int
    code: str


def read_blocks(text):
    blocks = []
    for match in FENCE.finditer(text):
        language, *ways = match["info"].split() or [""]
        line = text.count("\n", 0, match.start("body")) + 1
        blocks.append(Block(language, frozenset(ways), line, match["body"]))
    return blocks


def compile_block(block):
    """Compiles a block so that a traceback names the README's own line."""
    tree = ast.parse("\n" * (block.line - 1) + block.code, filename=README.name)
    if "compile-only" in block.ways:
        tree.body = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return compile(tree, README.name, "exec")


def run_blocks(blocks):
    names = {"__name__": "__main__"}
    for block in blocks:
        if "fresh" in block.ways:
            names = {"__name__": "__main__"}
        exec(compile_block(block), names)
    return names


def read_commands(blocks):
    """Lists the commands in shell blocks as words, without prompts, comments, variables and line continuations."""
    lines = [
        re.sub(r"^\s*\$ ", "", line)
        for block in blocks
        if block.language in ("bash", "sh", "shell", "console")
        for line in block.code.replace("\\\n", " ").splitlines()
    ]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.fixture(scope="module")
def blocks():
    return read_blocks(README.read_text(encoding="utf-8"))


def make_quickstart_folder(root):
    """Leaves behind what the quickstart does, on a few rows and with hardly any training."""
    folder = root / "runs" / "quickstart" / "text_image"
    train(RunConfig.from_dict(tiny_run(folder)))
    Image.new("RGB", (32, 32), "red").save(folder / "example.png")


@pytest.mark.slow
def test_python_blocks_run(blocks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_quickstart_folder(tmp_path)
    python = [block for block in blocks if block.language == "python"]
    assert python, "README.md shows no Python"
    run_blocks(python)


def test_yaml_blocks_describe_runs(blocks):
    runs = [RunConfig.from_dict(yaml.safe_load(block.code)) for block in blocks if block.language == "yaml"]
    assert runs, "README.md shows no configuration"


def test_python_blocks_say_how_in_known_words(blocks):
    assert [(b.line, sorted(b.ways - WAYS)) for b in blocks if b.language == "python" and b.ways - WAYS] == []


def test_command_line_verbs_exist(blocks):
    verbs = set()
    for words in read_commands(blocks):
        if "hf-multimodal" in words and not words[-1].endswith("hf-multimodal"):
            verbs.add(words[words.index("hf-multimodal") + 1])
    verbs = sorted(verb for verb in verbs if not verb.startswith("-"))
    assert verbs, "README.md shows no command"
    for verb in verbs:
        code = f"import sys; sys.argv[1:] = [{verb!r}, '--help']; from hf_multimodal.cli.main import main; main()"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"hf-multimodal {verb} --help: {result.stderr}"


def test_files_in_commands_exist(blocks):
    words = [word.removeprefix("./") for command in read_commands(blocks) for word in command]
    named = [word for word in words if word.startswith(("scripts/", "configs/", "tests/"))]
    assert named, "README.md names no file of the repository"
    assert [word for word in named if not (ROOT / word).exists()] == []


def test_links_to_files_exist():
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", README.read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_blocks_share_names_unless_fresh():
    text = "```python\na = 1\n```\n\n```python\nb = a + 1\n```\n```python fresh\nc = 'a' in globals()\n```\n"
    assert run_blocks(read_blocks(text)[:2])["b"] == 2
    assert run_blocks(read_blocks(text))["c"] is False


def test_a_failing_block_names_its_line():
    with pytest.raises(ZeroDivisionError, match="division by zero") as caught:
        run_blocks(read_blocks("text\n\n```python\na = 0\n1 / a\n```\n"))
    last = traceback.extract_tb(caught.tb)[-1]
    assert (last.filename, last.lineno) == ("README.md", 5)


def test_compile_only_blocks_still_import():
    with pytest.raises(ImportError, match="no_such_name"):
        run_blocks(read_blocks("```python compile-only\nfrom json import no_such_name\n```\n"))
    assert "a" not in run_blocks(read_blocks("```python compile-only\na = 1 / 0\n```\n"))
    with pytest.raises(SyntaxError, match="invalid syntax"):
        run_blocks(read_blocks("```python compile-only\na = \n```\n"))


def test_commands_are_read_without_decoration():
    text = '```bash\n# set up\n$ ./scripts/test -m "not slow"\nhf-multimodal train \\\n  run.yaml  # comment\n```\n'
    assert read_commands(read_blocks(text)) == [
        ["./scripts/test", "-m", "not slow"],
        ["hf-multimodal", "train", "run.yaml"],
    ]
