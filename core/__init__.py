"""Domain language of the trader: types, events, commands, ports. No I/O and no third-party imports."""
