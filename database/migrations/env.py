"""Alembic's entry: migrates the connection that `database/schema.py` hands over, or DB_URL on the command line."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection
from sqlmodel import SQLModel

from database import tables
from database.column_types import Money, UtcTime
from database.engine import DEFAULT_URL, parse_url, writing_engine

target_metadata = SQLModel.metadata
assert tables.MetaRow.__tablename__ in target_metadata.tables


def render_item(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Write our column types by their name; the template of new revisions imports them."""
    return f"{type(item).__name__}()" if kind == "type" and isinstance(item, Money | UtcTime) else False


def migrate(connection: Connection) -> None:
    """Run the migrations; SQLite changes tables by copying them (batch mode)."""
    context.configure(
        connection=connection,
        target_metadata=target_metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    url = context.get_x_argument(as_dictionary=True).get("url", DEFAULT_URL)
    with writing_engine(parse_url(url)).begin() as opened:
        migrate(opened)
