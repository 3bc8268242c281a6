"""The heart of the trader: sizes, checks, sends, protects and follows every order to its end.

`core.TradingCore` decides (synchronous, no I/O, no clock); `shell.Executor` carries its effects out.
"""
