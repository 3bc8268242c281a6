"""Faults on command: one seeded schedule, and the places of the exchange where its entries take hold.

An exchange without a schedule contains none of this: the classes here replace their sound counterparts, they are
not asked by them.
"""
