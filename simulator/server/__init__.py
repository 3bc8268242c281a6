"""The exchange's front: REST and stream servers on one port, and the clock that moves the market.

Everything but `http` and `driver` is synchronous and does no I/O, so that a test can call it without a socket.
"""
