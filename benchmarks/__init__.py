"""Comparisons with other libraries, run by `make bench`."""
