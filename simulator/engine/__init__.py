"""The private side of the embedded exchange: matching, algo orders, account, margin, funding, liquidation.

Pure, synchronous and deterministic: no I/O, no wall clock, time comes from the market that it is given.
The facade is `simulator.engine.exchange.Exchange`.
"""
