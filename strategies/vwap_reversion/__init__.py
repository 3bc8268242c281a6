"""Mean reversion to the session VWAP in quiet markets."""
