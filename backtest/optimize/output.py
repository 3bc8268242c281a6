"""Files of an optimisation: the best parameters as YAML, trials.csv, optimize.json. Nothing is ever applied."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from backtest.optimize.objectives import Objective
from backtest.optimize.space import Scalar
from backtest.optimize.study import SHOWN, Row
from utils.atomic import write_atomic


def write_parameters(
    folder: Path, present_in: Path, symbols: Sequence[str], values: Mapping[str, Scalar], note: str
) -> list[tuple[Path, Path]]:
    """Write `{folder}/{SYMBOL}.yaml` for each symbol: its YAML in the strategy's folder with the new values.

    Returns what was written and the file that it would replace.
    """
    pairs = []
    for symbol in symbols:
        present = present_in / f"{symbol}.yaml"
        parser = YAML(typ="rt")
        tree = parser.load(present.read_text(encoding="utf-8")) if present.is_file() else None
        tree = CommentedMap() if tree is None else tree
        for name, value in values.items():
            tree[name] = value
        text = io.StringIO()
        parser.dump(tree, text)
        head = "" if present.is_file() else "# yaml-language-server: $schema=schema.json\n"
        path = folder / f"{symbol}.yaml"
        write_atomic(path, f"# {note}\n{head}{text.getvalue()}")
        pairs.append((path, present))
    return pairs


def write_trials(
    path: Path, rows: Sequence[Row], names: Sequence[str], objectives: Sequence[Objective], front: Sequence[Row] = ()
) -> None:
    """Write one row a trial: its state, scores, parameters (`param_` before the name), and the numbers of its run."""
    on_front = {row.number for row in front}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    scored, varied = (f"score_{one.name}" for one in objectives), (f"param_{name}" for name in names)
    writer.writerow(["trial", "state", "pareto", *scored, *varied, *SHOWN, "error"])
    for row in rows:
        scores = row.scores or ("",) * len(objectives)
        values = (row.values.get(name, "") for name in names)
        results = ("" if row.result.get(name) is None else row.result[name] for name in SHOWN)
        is_front = str(row.number in on_front).lower() if front else ""
        writer.writerow([row.number, row.state, is_front, *scores, *values, *results, row.error])
    write_atomic(path, text.getvalue())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomic(path, json.dumps(content, indent=2, default=str) + "\n")
