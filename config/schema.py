"""Writes JSON schemas of the YAML files, so that editors complete keys and mark mistakes while typing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from config.models import SymbolsFile
from utils.atomic import write_atomic

SCHEMA_DIR = Path("config/schema")
MODELS: Mapping[str, type[BaseModel]] = {"symbols": SymbolsFile}


def schema_text(model: type[BaseModel]) -> str:
    """Return the JSON schema of a model, keys sorted, so that the same model always gives the same text."""
    return json.dumps(model.model_json_schema(mode="validation"), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_schemas(directory: Path = SCHEMA_DIR, more: Mapping[str, type[BaseModel]] | None = None) -> list[Path]:
    """Write `{name}.schema.json` for our own models and for `more` (parameters of strategies); return the files."""
    files = []
    for name, model in {**MODELS, **(more or {})}.items():
        path = directory / f"{name}.schema.json"
        write_atomic(path, schema_text(model))
        files.append(path)
    return files
