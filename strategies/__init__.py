"""Strategies: what they measure, when they want to trade and why not. No account, no orders, no wall clock.

`base` is the contract, `indicators` and `conditions` are what strategies are made of, `loader` reads their YAML,
`feed` delivers closed candles in order, `runner` turns them into signals and verdicts. One folder a strategy.
"""
