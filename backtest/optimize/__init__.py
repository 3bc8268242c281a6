"""Optimisation: many backtests of one strategy, which parameters came out best, and how far that can be trusted.

Every trial is `backtest.run.run`, as `main.py backtest` runs it. Nothing in this package writes into the folder of
strategies: what was found is written down, applying it is a person's decision.
"""
