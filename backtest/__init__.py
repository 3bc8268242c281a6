"""Replays recorded candles through the live trading core and the live matching engine, and tells what came of it.

May import core, utils, strategies, executor and the pure part of the simulator (`engine`, `market`); docs/backtest.md
has the rules.
"""
