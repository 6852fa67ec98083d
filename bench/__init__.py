"""Benchmarks: the gateway and nginx in turns on one machine, and micro-benchmarks of the hot functions.

``python -m bench`` prints the budget table; README.md beside this file says what is measured, and how.
"""
