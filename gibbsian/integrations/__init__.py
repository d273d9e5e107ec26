"""Gibbsian in other libraries' clothes: scikit-learn estimators, ArviZ export.

Imports models and what they stand on.
"""
