"""The commands beside `run`, and how a venue is opened. Part of the composition root: may see every room."""
