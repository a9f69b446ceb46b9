"""What an installed FrugalNAS is: quick to import, complete, and honest about what it needs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import typer

import frugalnas
from frugalnas import cli

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "frugalnas"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
INSTALLED = packages_distributions()

TORCH_FREE = (
    "frugalnas",
    "frugalnas.core",
    "frugalnas.variation",
    "frugalnas.pareto",
    "frugalnas.surrogate",
    "frugalnas.layers.plan",
    "frugalnas.multipliers",
    "frugalnas.multipliers.library",
    "frugalnas.store",
    "frugalnas.spaces.cell",
    "frugalnas.spaces.architecture",
    "frugalnas.objectives.count",
    "frugalnas.objectives.latency",
    "frugalnas.tasks.data",
    "frugalnas.strategies",
    "frugalnas.zoo",
    "frugalnas.distribute",
    "frugalnas.study",
    "frugalnas.config",
    "frugalnas.export.source",
    "frugalnas.drawing",
    "frugalnas.ladder",
    "frugalnas.ranking",
    "frugalnas.proxies",
    "frugalnas.rank",
    "frugalnas.launch",
    "frugalnas.latency.cost",
    "frugalnas.report",
    "frugalnas.watch",
    "frugalnas.loggers",
    "frugalnas.cli",
)


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Top-level package names that a file imports, and whether only inside a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], id(node) in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0], id(node) in inside


def distributions(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~ ;]", requirement)[0].lower() for requirement in requirements}


def distribution_of(module: str) -> str:
    """The distribution that a top-level module comes from; its own name where it is not installed here."""
    return INSTALLED.get(module, [module])[0].lower().replace("_", "-")


def test_evolutionary_half_does_not_import_torch():
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    if 'torch' in sys.modules: sys.exit(f'{name} imports torch')\n"
    )
    result = subprocess.run([sys.executable, "-c", code, *TORCH_FREE], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_public_names_resolve_and_are_what_type_checkers_see():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("frugalnas.")
        for alias in node.names
    }
    assert typed == frugalnas._MODULE_OF
    # a submodule of the same name would take the place of the function as soon as somebody imported it
    assert not [name for name in dir(frugalnas) if (PACKAGE / f"{name}.py").exists() or (PACKAGE / name).is_dir()]
    assert all(getattr(frugalnas, name) is not None for name in dir(frugalnas))
    with pytest.raises(AttributeError, match="serach"):
        _ = frugalnas.serach


def test_every_import_of_the_package_is_declared():
    core = distributions(PROJECT["dependencies"])
    extras = [requirement for extra in EXTRAS.keys() - {"dev", "bench"} for requirement in EXTRAS[extra]]
    optional = core | distributions(extras)
    undeclared = {
        f"{path.relative_to(ROOT)}: {module}{'' if lazy else ' (at import time)'}"
        for path in sources("src")
        for module, lazy in imports(path)
        if module not in sys.stdlib_module_names
        and module != "frugalnas"
        and distribution_of(module) not in (optional if lazy else core)
    }
    assert not undeclared


def test_every_dependency_is_imported():
    imported = {distribution_of(module) for path in sources("src") for module, _ in imports(path)}
    assert distributions(PROJECT["dependencies"]) <= imported


def test_every_import_of_tests_and_scripts_is_declared():
    declared = distributions([*PROJECT["dependencies"], *EXTRAS["dev"]])
    optional = declared | distributions([requirement for extra in EXTRAS.values() for requirement in extra])
    own = {"frugalnas", *(path.stem for path in sources("tests", "benchmarks", "examples")), "tests", "benchmarks"}
    undeclared = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in sources("tests", "benchmarks", "examples")
        for module, lazy in imports(path)
        if module not in sys.stdlib_module_names | own
        and distribution_of(module) not in (optional if lazy or path.is_relative_to(ROOT / "benchmarks") else declared)
    }
    assert not undeclared


@pytest.mark.parametrize(
    "requirement", [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
)
def test_requirements_are_lower_bounds(requirement):
    assert re.fullmatch(r"[a-z0-9-]+>=[0-9.]+", requirement)


def test_wheel_holds_the_whole_package(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
        assert b"frugalnas = frugalnas.cli:main" in wheel.read(entry_points)
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    expected = {f"frugalnas/{path.relative_to(PACKAGE).as_posix()}" for path in files}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.startswith("frugalnas/tasks/shipped/") for name in names)
    assert any(name.startswith("frugalnas/zoo/") and name.endswith(".json") for name in names)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.parametrize(
    ("openers", "allowed"),
    [
        ({"load_test", "find_test"}, {"tasks/data.py", "training/work.py"}),
        ({"READERS"}, {"tasks/data.py", "tasks/labelled.py"}),
        (
            {"load_labelled"},
            {"tasks/labelled.py", "assign/run.py", "cli/use.py", "cli/export.py", "fit/run.py", "classifier.py"},
        ),
    ],
    ids=["test images", "any part", "any part, for a model that is trained"],
)
def test_search_code_cannot_open_the_test_split(openers, allowed):
    mentioning = {
        path.relative_to(PACKAGE).as_posix()
        for path in sources("src")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if openers & {getattr(node, "id", ""), getattr(node, "attr", ""), getattr(node, "name", "")}
    }
    assert mentioning == allowed


def text_of(page: Path) -> str:
    return re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.S)


def documented_commands() -> list[str]:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    return [line for page in pages for line in re.findall(r"^(?: {4})?(frugalnas .*)", text_of(page), re.M)]


@pytest.mark.parametrize("line", documented_commands())
def test_documented_commands_and_options_exist(line):
    command = typer.main.get_command(cli.app)
    for word in line.partition(" #")[0].split()[1:]:
        if word.startswith("--"):
            assert word in {option for parameter in command.params for option in parameter.opts}
        elif isinstance(command, typer.core.TyperGroup):
            command = command.commands[word]


def test_links_between_documents_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = {
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text_of(page))
        if not (page.parent / link).exists()
    }
    assert pages
    assert not broken
