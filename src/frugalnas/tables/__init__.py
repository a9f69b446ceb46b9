"""Tables of trained networks: the published benchmarks as files, read for the estimator `table` and for rankings.

    from frugalnas.tables import read

    benchmark = read("nasbench201.csv.gz")
    benchmark.rows[3, 3, 3, 1, 3, 2].test_error

What a file is, its content says: see `tables.files.read`.
"""

from frugalnas.tables.benchmark import Benchmark, Row
from frugalnas.tables.files import read

__all__ = ["Benchmark", "Row", "read"]
