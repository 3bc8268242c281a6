"""Measurements of the real program. Each prints a table and ends with one JSON line of its figures."""
