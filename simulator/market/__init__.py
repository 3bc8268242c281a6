"""The market of the embedded exchange: contracts, candles, the trades inside them, quotes and the facade over all."""
