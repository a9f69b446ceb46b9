from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from frugalnas import config
from frugalnas.core import Candidate, InputError, Objective, Problem, evaluate
from frugalnas.estimators.table import NotInTable, Table
from frugalnas.spaces.cell import OPERATION_LISTS, CellSpace
from table import SPACE, rows, written


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_a_candidate_has_the_errors_of_its_row(tmp_path: Path, name: str) -> None:
    table = Table(str(written(tmp_path / name, 50)))
    for genes, (validation, test) in rows(50).items():
        values = table.evaluate(Candidate(genes), SPACE, 0)
        assert values == {"error": pytest.approx(1 - validation / 100), "test_error": pytest.approx(1 - test / 100)}


def test_other_columns_can_be_chosen(tmp_path: Path) -> None:
    table = Table(str(written(tmp_path / "t.csv", 50)), validation="c10_val_12", test="c10_val_200")
    genes, (validation, _) = next(iter(rows(50).items()))
    assert table.evaluate(Candidate(genes), SPACE, 0) == {
        "error": pytest.approx((110 - validation) / 100),
        "test_error": pytest.approx(1 - validation / 100),
    }


def test_an_architecture_that_the_table_lacks_is_a_failed_trial_with_that_reason(tmp_path: Path) -> None:
    table = Table(str(written(tmp_path / "t.csv", 50)))
    missing = next(genes for genes in rows(60) if genes not in rows(50))
    with pytest.raises(NotInTable, match=r"is not in the table t\.csv"):
        table.evaluate(Candidate(missing), SPACE, 0)
    problem = Problem(SPACE, (Objective("error"),), (table,))
    trial, _ = evaluate(problem, 3, Candidate(missing), {"params": 5.0}, 0)
    assert (trial.status, trial.values) == ("failed", {"params": 5.0})
    assert "is not in the table t.csv" in trial.reason


def test_other_spaces_are_refused(tmp_path: Path) -> None:
    space = CellSpace(OPERATION_LISTS["eeea"])
    with pytest.raises(InputError, match="'nasbench201', not of CellSpace"):
        Table(str(written(tmp_path / "t.csv", 20))).evaluate(Candidate((0,) * len(space.domains)), space, 0)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (None, {}, r"no table .*t\.csv: did you mean 'tt\.csv'"),
        ("arch_str,c10_val_200,c10_test_200\n", {}, "has no rows"),
        (
            "arch_str,c10_val_200,c10_test_200\na,1,2\n",
            {"test": "c10_tset_200"},
            "no column 'c10_tset_200': .*'c10_test",
        ),
        ("arch_str,c10_val_200,c10_test_200\na,1,2\nb,1\n", {}, "line 3 has 2 cells: expected 3"),
        ("arch_str,c10_val_200,c10_test_200\na,1,x\n", {}, "line 2 has 'x': expected numbers"),
        ("arch_str,c10_val_200,c10_test_200\na,nan,1\n", {}, "line 2.*0 to 100"),
        ("arch_str,c10_val_200,c10_test_200\na,0.5,101\n", {}, "line 2.*0 to 100"),
        (b"\xff\xfe\x00", {}, "is no table"),
        (gzip.compress(b"arch_str,c10_val_200\n" * 99, mtime=0)[:-9], {}, "is no table"),
    ],
)
def test_what_is_no_such_table_is_refused_at_once(
    tmp_path: Path, text: str | bytes | None, settings: dict[str, str], message: str
) -> None:
    written(tmp_path / "tt.csv", 3)
    if text is not None:
        (tmp_path / "t.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError, match=message):
        Table(str(tmp_path / "t.csv"), **settings)


def test_a_configuration_can_name_it(tmp_path: Path) -> None:
    section = config.part("estimators", {"type": "table", "path": str(written(tmp_path / "t.csv", 3))}, "estimators.0")
    assert len(config.make("estimators", section, {}).rows) == 3
