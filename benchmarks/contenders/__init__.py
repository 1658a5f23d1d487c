"""Whom `bench_speed.py` measures: how each is started, and its programs, which run in environments of their own."""
