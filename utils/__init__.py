"""Leaf helpers without domain words: YAML reading, logging set-up, back-off, time formatting, atomic files."""
