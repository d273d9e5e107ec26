"""Many runs: comparisons of methods at equal time, sweeps over settings, budgets.

Imports models and what they stand on, and report for pages.
"""
