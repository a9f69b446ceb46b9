"""The tutorial works as it is written: every block of code runs, and what it prints is what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def shape(text: str) -> list[str]:
    """The lines of a text with every number as 0: figures differ from machine to machine."""
    lines = [re.sub(r"\d[\d.,]*", "0", line) for line in text.splitlines()]
    return [re.sub(r"\s+", " ", re.sub("-{3,}", "---", line)).strip() for line in lines]


@pytest.mark.skipif(sys.platform == "win32", reason="the tutorial is written for a POSIX shell")
def test_the_tutorial_works(tmp_path):
    for module in ("onnx", "onnxruntime"):
        pytest.importorskip(module, reason="the tutorial exports to ONNX: extra [export]")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "120", "FORCE_COLOR": ""}
    commands = {"python": [sys.executable], "shell": ["bash", "-euo", "pipefail"]}
    assert {language for language, _ in BLOCKS} == {*commands, "text"}
    printed = ""
    for number, (language, code) in enumerate(BLOCKS):
        if language == "text":
            missing = [line for line in shape(code) if line not in ("...", *shape(printed))]
            assert not missing, f"the page says {missing}, but this was printed:\n{printed}"
            continue
        file = tmp_path / f"block_{number}"
        file.write_text(code)
        command = [*commands[language], file]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        printed = done.stdout
