"""Tables of trained networks: the published benchmarks as files, read for the estimator `table` and for rankings.

    from frugalnas.tables import read

    benchmark = read("nasbench201.csv.gz")
    benchmark.rows[3, 3, 3, 1, 3, 2].test_error

What a file is, its content says; `KINDS` has what is known.
"""

from frugalnas.tables.benchmark import KINDS, Benchmark, Row
from frugalnas.tables.files import read

__all__ = ["KINDS", "Benchmark", "Row", "read"]
