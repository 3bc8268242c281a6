"""Binance USDS-M futures through the official SDK: REST gateway, market streams, user stream.

`settings` is light; `gateway`, `market_stream` and `user_stream` import the SDK (about two seconds), so the composition
root imports them only when a command needs the venue.
"""
