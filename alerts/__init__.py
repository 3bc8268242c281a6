"""Alerts: what people are told, and its delivery from the persisted outbox. Never in the way of trading."""
