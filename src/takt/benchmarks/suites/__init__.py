"""Public benchmarks: one file per suite, one runner, one report.

`suite.py` says what a suite is. Its simulator lives in an environment of its own
(`environment.py`), where `worker.py` plays trials; `runner.py` hands them out.
"""
