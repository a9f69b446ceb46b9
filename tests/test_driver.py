"""The process that runs a search leaves torch to its workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tiny import SMALL, images

HEAVY = "torch", "torchvision", "scipy.stats", "sklearn"
SAY = f"print('HEAVY', *(name for name in {HEAVY} if name in sys.modules))"

SEARCH = f"""
import sys
from pathlib import Path
import frugalnas
from frugalnas import cli
from frugalnas.store import read, trials_of

def commanded(*words):
    sys.argv = ["frugalnas", *words]
    try:
        cli.main()
    except SystemExit as ended:
        assert not ended.code, ended.code

if __name__ == "__main__":
    commanded("search", "--data", sys.argv[1], "--out", "run", "--trials", "1", "--workers", "1", *{SMALL})
    commanded("resume", "run", "--trials", "2", "--tensorboard", "--mlflow")
    commanded("report", "run")
    assert [trial.status for trial in trials_of(read(Path("run"))[1])] == ["done"] * 2
    {SAY}
"""

PARTS = f"""
import sys
from pathlib import Path
from frugalnas import config, parts
from frugalnas.estimators import ESTIMATORS
from frugalnas.methods import METHODS

for method in METHODS:
    for preset in METHODS[method].PRESETS:
        tree = config.resolve(method, preset, layers=[{{"data": {{"source": "fashion-mini"}}}}])
        if not tree["latency"]["table"] and "latency_ms" not in tree["objectives"]:
            parts.strategy_of(tree, parts.problem_of(tree))
kinds = [kind for kind in ESTIMATORS if kind not in ("table", "predicted")]  # which need a file
for kind in kinds:
    config.make("estimators", config.part("estimators", {{"type": kind}}, "estimator"), {{}})
assert len(kinds) > 5
{SAY}
"""


def printed(folder: Path, script: str, *arguments: object) -> list[str]:
    """The last line that a script in a file prints, in words."""
    file = folder / "script.py"
    file.write_text(script)
    command = [sys.executable, str(file), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize("script", [SEARCH, PARTS], ids=["search, resume and report", "every preset and estimator"])
def test_torch_is_imported_by_workers_only(tmp_path, script):
    data = images(tmp_path / "images.npz", count=40)
    assert printed(tmp_path, script, data) == ["HEAVY"]
