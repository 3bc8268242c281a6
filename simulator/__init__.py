"""The embedded exchange: a pure matching engine and market, and the loopback servers around them."""
