"""Venue adapters: each sub-package speaks one venue's protocol and implements the ports of `core`."""
