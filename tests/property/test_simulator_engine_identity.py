"""Random trading never breaks the ledger's identity, nor any other promise that holds at every instant.

Every step is an arbitrary request, market move or pause; after each one the invariants are checked from outside,
through the facade alone.
"""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from core.enums import MarginType, OrderType, PositionSide, Side, TimeInForce, WorkingType
from simulator.engine.errors import ApiError
from simulator.engine.events import AccountEvent, OrderEvent
from simulator.engine.requests import PlaceAlgo, PlaceOrder
from tests.unit.simulator_engine.support import BTC, ETH, HOUR_MS, Desk, assert_identity

SYMBOLS = st.sampled_from([BTC, ETH])
SIDES = st.sampled_from(list(Side))
LEGS = st.sampled_from([PositionSide.LONG, PositionSide.SHORT])
QUANTITIES = st.integers(1, 90_000).map(lambda n: Decimal(n) / 1000)
OFFSETS = st.integers(-300, 300)
LIVES = st.sampled_from([TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTX])
CONDITIONALS = st.sampled_from([OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET, OrderType.STOP])
FLAGS = st.booleans()

STEPS = st.one_of(
    st.tuples(st.just("market"), SYMBOLS, SIDES, LEGS, QUANTITIES, FLAGS),
    st.tuples(st.just("limit"), SYMBOLS, SIDES, LEGS, QUANTITIES, FLAGS, OFFSETS, LIVES),
    st.tuples(st.just("algo"), SYMBOLS, SIDES, LEGS, QUANTITIES, FLAGS, OFFSETS, CONDITIONALS, FLAGS),
    st.tuples(st.just("trail"), SYMBOLS, SIDES, LEGS, QUANTITIES, st.integers(1, 50)),
    st.tuples(st.just("trade"), SYMBOLS, OFFSETS, QUANTITIES),
    st.tuples(st.just("crash"), SYMBOLS, st.integers(-4000, 4000)),
    st.tuples(st.just("wait"), st.integers(0, 20)),
    st.tuples(st.just("cancel"), SYMBOLS, FLAGS),
    st.tuples(st.just("leverage"), SYMBOLS, st.integers(1, 50)),
    st.tuples(st.just("isolate"), SYMBOLS),
)


class Player:
    """Carries out steps; refusals are part of the game."""

    def __init__(self, is_hedge: bool) -> None:
        self.desk = Desk()
        self.exchange = self.desk.exchange
        self.is_hedge = is_hedge
        if is_hedge:
            self.exchange.set_position_mode(True)
        self.log: list[object] = []

    def step(self, step: tuple[object, ...]) -> None:
        name, *arguments = step
        with suppress(ApiError):
            getattr(self, f"do_{name}")(*arguments)
        self.log.extend(self.exchange.drain_events())

    def leg(self, leg: PositionSide) -> PositionSide:
        return leg if self.is_hedge else PositionSide.BOTH

    def reduce(self, flag: bool) -> bool | None:
        return flag if not self.is_hedge else None

    def price(self, symbol: str, offset: int) -> Decimal:
        return max(Decimal(20), self.desk.market.last[symbol] + Decimal(offset) / 10)

    def do_market(self, symbol: str, side: Side, leg: PositionSide, quantity: Decimal, flag: bool) -> None:
        self.exchange.place_order(
            PlaceOrder(symbol, side, OrderType.MARKET, self.leg(leg), quantity=quantity, reduce_only=self.reduce(flag))
        )

    def do_limit(
        self, symbol: str, side: Side, leg: PositionSide, quantity: Decimal, flag: bool, offset: int, life: TimeInForce
    ) -> None:
        price = self.price(symbol, offset)
        self.exchange.place_order(
            PlaceOrder(symbol, side, OrderType.LIMIT, self.leg(leg), life, quantity, price, self.reduce(flag))
        )

    def do_algo(
        self,
        symbol: str,
        side: Side,
        leg: PositionSide,
        quantity: Decimal,
        flag: bool,
        offset: int,
        order_type: OrderType,
        closes: bool,
    ) -> None:
        trigger = self.price(symbol, offset)
        is_limit = order_type is OrderType.STOP
        closes = closes and not is_limit
        self.exchange.place_algo(
            PlaceAlgo(
                symbol,
                side,
                order_type,
                self.leg(leg),
                quantity=None if closes else quantity,
                price=trigger if is_limit else None,
                trigger_price=trigger,
                close_position=closes,
                reduce_only=None if closes else self.reduce(flag),
                working_type=WorkingType.MARK_PRICE if flag else WorkingType.CONTRACT_PRICE,
            )
        )

    def do_trail(self, symbol: str, side: Side, leg: PositionSide, quantity: Decimal, rate: int) -> None:
        callback = Decimal(rate) / 10
        self.exchange.place_algo(
            PlaceAlgo(
                symbol, side, OrderType.TRAILING_STOP_MARKET, self.leg(leg), quantity=quantity, callback_rate=callback
            )
        )

    def do_trade(self, symbol: str, offset: int, quantity: Decimal) -> None:
        self.desk.market.trade(self.price(symbol, offset), str(quantity), symbol)
        self.log.extend(self.desk.play())

    def do_crash(self, symbol: str, offset: int) -> None:
        self.desk.market.trade(self.price(symbol, offset), "1000", symbol)
        self.log.extend(self.desk.play())

    def do_wait(self, hours: int) -> None:
        self.log.extend(self.exchange.advance(self.exchange.now_ms + hours * HOUR_MS))

    def do_cancel(self, symbol: str, algos: bool) -> None:
        if algos:
            self.exchange.cancel_all_algos(symbol)
        else:
            self.exchange.cancel_all(symbol)

    def do_leverage(self, symbol: str, leverage: int) -> None:
        self.exchange.set_leverage(symbol, leverage)

    def do_isolate(self, symbol: str) -> None:
        self.exchange.set_margin_type(symbol, MarginType.ISOLATED)


def check_invariants(player: Player) -> None:
    exchange = player.exchange
    assert_identity(exchange)
    balance = exchange.account().balance
    assert balance.wallet_balance >= 0
    isolated = sum(view.isolated_wallet for view in exchange.positions(include_flat=True))
    assert balance.cross_wallet_balance + isolated == balance.wallet_balance
    for view in exchange.positions(include_flat=True):
        assert view.quantity or not view.isolated_wallet
        if view.position_side is not PositionSide.BOTH:
            assert view.quantity * (1 if view.position_side is PositionSide.LONG else -1) >= 0
    for order in exchange.open_orders():
        assert 0 <= order.executed_quantity < order.quantity
        if order.reduce_only:
            held = next(v.quantity for v in exchange.positions(order.symbol) if v.position_side is order.position_side)
            assert held * order.side.sign < 0
    for algo in exchange.open_algos():
        if algo.is_position_bound and algo.status == "NEW":
            views = exchange.positions(algo.symbol)
            assert any(v.position_side is algo.position_side and v.quantity * algo.side.sign < 0 for v in views)


def check_log(player: Player) -> None:
    """Events are in time order, fills are told once each, and each after the account's change at the same time."""
    times = [event.time_ms for event in player.log]  # type: ignore[attr-defined]
    assert times == sorted(times)
    told = [event.fill.trade_id for event in player.log if isinstance(event, OrderEvent) and event.fill]
    assert told == list(range(1, len(told) + 1))
    assert len(player.exchange.user_trades(from_id=1, limit=1000)) == min(1000, len(told))
    for before, event in zip(player.log, player.log[1:], strict=False):
        if isinstance(event, OrderEvent) and event.fill:
            assert isinstance(before, AccountEvent)
            assert before.time_ms == event.time_ms


@settings(max_examples=50, deadline=None)
@given(is_hedge=FLAGS, steps=st.lists(STEPS, min_size=5, max_size=40))
def test_random_trading_keeps_every_invariant(is_hedge: bool, steps: list[tuple[object, ...]]) -> None:
    player = Player(is_hedge)
    for step in steps:
        player.step(step)
        check_invariants(player)
    check_log(player)


@settings(max_examples=25, deadline=None)
@given(is_hedge=FLAGS, steps=st.lists(STEPS, min_size=5, max_size=30), cut=st.integers(0, 29))
def test_restart_at_any_step_changes_nothing(is_hedge: bool, steps: list[tuple[object, ...]], cut: int) -> None:
    """A twin that is rebuilt from its journal after step `cut` tells and holds the same as one that never stopped."""
    steady, restarted = Player(is_hedge), Player(is_hedge)
    facts = restarted.exchange.take_changes()
    for number, step in enumerate(steps):
        steady.step(step)
        restarted.step(step)
        facts += restarted.exchange.take_changes()
        if number == cut:
            restarted.desk = _revived(restarted.desk, facts)
            restarted.exchange = restarted.desk.exchange
    assert steady.log == restarted.log
    assert steady.exchange.account() == restarted.exchange.account()
    assert steady.exchange.open_orders() == restarted.exchange.open_orders()
    assert steady.exchange.open_algos() == restarted.exchange.open_algos()


def _revived(desk: Desk, facts: list[object]) -> Desk:
    fresh = Desk()
    fresh.market = desk.market
    fresh.exchange = type(desk.exchange)(desk.market, desk.exchange.config)
    fresh.exchange.restore(facts)  # type: ignore[arg-type]
    return fresh
