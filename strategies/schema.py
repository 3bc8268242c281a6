"""Writes a JSON schema beside each strategy's YAML, so that editors complete and check its keys."""

from __future__ import annotations

import json
from pathlib import Path

from strategies.registry import StrategyClass, discover

FILE = "schema.json"


def schema_text(strategy_class: StrategyClass) -> str:
    """Return the schema of default.yaml and {SYMBOL}.yaml as JSON text."""
    schema = strategy_class.Params.model_json_schema()
    schema["title"] = f"Parameters of {strategy_class.name}"
    return json.dumps(schema, indent=2) + "\n"


def write_schemas(root: Path) -> list[Path]:
    """Write `schema.json` into every strategy's folder and return the files that changed."""
    changed = []
    for name, strategy_class in discover(root).items():
        path = root / name / FILE
        text = schema_text(strategy_class)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed
