"""Properties of the executor's small parts: any order of reports, any numbers, any history."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from core.enums import (
    AlgoStatus,
    Direction,
    Leg,
    OrderService,
    OrderStatus,
    OrderType,
    PositionSide,
    Side,
    SymbolStatus,
)
from core.instrument import Instrument, plain
from core.limits import SizingPolicy
from core.orders import AlgoOrderReport, Approved, OrderReport
from executor.filters import EntryPlan, approve_entry, market_close, stop_trigger_price, target_trigger_price
from executor.sizing import Sized, SizingInput, loss_per_unit, size_entry
from executor.tracked import Phase, TrackedOrder
from tests.unit.executor.lab import BTC, Lab, instrument

D = Decimal


def tracked(service: OrderService = OrderService.PLAIN) -> TrackedOrder:
    return TrackedOrder(
        client_order_id="ft-1-1-E0",
        symbol=BTC,
        strategy="vwap",
        intent_id=1,
        leg=Leg.ENTRY,
        attempt=0,
        service=service,
        side=Side.BUY,
        position_side=PositionSide.BOTH,
        type=OrderType.MARKET,
        quantity=D(10),
        price=None,
        stop_price=None,
        reduce_only=False,
        close_position=False,
        created_time_ms=1,
        sent_ms=1,
    )


def plain_report(status: OrderStatus, filled: int) -> OrderReport:
    return OrderReport(
        symbol=BTC,
        client_order_id="ft-1-1-E0",
        venue_order_id=7,
        side=Side.BUY,
        position_side=PositionSide.BOTH,
        type=OrderType.MARKET,
        status=status,
        execution_type="QUERY",
        quantity=D(10),
        price=D(0),
        filled_quantity=D(filled),
        average_price=D(100) if filled else None,
        reduce_only=False,
        close_position=False,
        update_time_ms=filled,
    )


@st.composite
def plain_histories(draw: st.DrawFn) -> list[OrderReport]:
    """A possible life of an order, then told in any order, with repetitions."""
    steps = sorted(draw(st.sets(st.integers(1, 9), max_size=4)))
    ending = draw(st.sampled_from([OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED, None]))
    life = [plain_report(OrderStatus.NEW, 0), *(plain_report(OrderStatus.PARTIALLY_FILLED, q) for q in steps)]
    if ending is not None:
        life.append(plain_report(ending, 10 if ending is OrderStatus.FILLED else max(steps, default=0)))
    return life


@given(plain_histories(), st.randoms(use_true_random=False), st.integers(1, 3))
def test_reports_of_an_order_in_any_order_end_in_the_same_state(history, random, copies) -> None:  # type: ignore[no-untyped-def]
    straight, shuffled = tracked(), tracked()
    for report in history:
        straight.apply_plain(report, 5)
    told = history * copies
    random.shuffle(told)
    seen = D(0)
    was_done = False
    for report in told:
        shuffled.apply_plain(report, 5)
        assert shuffled.reported >= seen
        assert not was_done or shuffled.phase is Phase.DONE
        seen, was_done = shuffled.reported, shuffled.phase is Phase.DONE
    assert (straight.phase, straight.venue_status, straight.reported) == (
        shuffled.phase,
        shuffled.venue_status,
        shuffled.reported,
    )


@given(st.permutations(range(4)), st.sampled_from([AlgoStatus.FINISHED, AlgoStatus.REJECTED, AlgoStatus.EXPIRED]))
def test_reports_of_a_conditional_order_in_any_order_end_alike(order: list[int], ending: AlgoStatus) -> None:
    life = [AlgoStatus.NEW, AlgoStatus.TRIGGERING, AlgoStatus.TRIGGERED, ending]
    subject = tracked(OrderService.ALGO)
    for index in order:
        subject.apply_algo(
            AlgoOrderReport(
                symbol=BTC,
                client_order_id="ft-1-1-E0",
                algo_id=3,
                side=Side.SELL,
                position_side=PositionSide.BOTH,
                type=OrderType.STOP_MARKET,
                status=life[index],
                trigger_price=D(99),
                quantity=D(0),
                close_position=True,
                reduce_only=False,
                update_time_ms=index,
                venue_order_id=7 if index >= 2 else None,
            ),
            5,
        )
    assert (subject.phase, subject.venue_status, subject.venue_order_id) == (Phase.DONE, ending.value, 7)


grids = st.sampled_from([D("0.001"), D("0.01"), D("0.1"), D("0.5"), D(1), D(5), D(10), D("0.00001")])


@st.composite
def instruments(draw: st.DrawFn) -> Instrument:
    step = draw(grids)
    return instrument(
        BTC,
        status=SymbolStatus.TRADING,
        tick_size=draw(grids),
        min_price=D("0.00001"),
        max_price=D(10_000_000),
        step_size=step,
        market_step_size=step,
        min_quantity=step,
        market_min_quantity=step,
        max_quantity=step * 10_000,
        market_max_quantity=step * 5_000,
        min_notional=draw(st.sampled_from([D(5), D(20), D(100)])),
    )


prices = st.decimals(min_value=D("0.5"), max_value=D(90_000), places=6)
quantities = st.decimals(min_value=D("0.00001"), max_value=D(60_000), places=8)


@given(instruments(), prices, quantities)
def test_approved_entry_is_on_the_grid_plain_and_never_larger_than_asked(
    subject: Instrument, price: Decimal, quantity: Decimal
) -> None:
    plan = EntryPlan(Side.BUY, PositionSide.BOTH, quantity, price, price, price * D("0.99"), "ft-1-1-E0")
    result = approve_entry(subject, plan)
    if isinstance(result, Approved):
        sent = result.order.quantity
        assert sent is not None
        assert subject.market_min_quantity <= sent <= min(quantity, subject.market_max_quantity)
        assert subject.is_on_step(sent, market=True)
        assert sent * price >= subject.min_notional
        assert Decimal(plain(sent)) == sent
        assert "E" not in plain(sent)


@given(instruments(), prices, st.sampled_from(Direction))
def test_trigger_prices_are_on_the_grid_and_towards_the_entry(
    subject: Instrument, price: Decimal, direction: Direction
) -> None:
    stop = stop_trigger_price(subject, price, direction)
    target = target_trigger_price(subject, price, direction)
    if subject.tick_size < price:
        assert subject.is_on_tick(stop)
        assert subject.is_on_tick(target)
        assert (stop - price) * direction.sign >= 0
        assert (target - price) * direction.sign <= 0
        assert abs(stop - price) < subject.tick_size
        assert "E" not in plain(stop)


@given(instruments(), quantities)
def test_close_never_exceeds_what_is_open(subject: Instrument, quantity: Decimal) -> None:
    order = market_close(subject, Direction.LONG, PositionSide.BOTH, quantity, "ft-1-1-C0").order
    assert order.quantity is not None
    assert 0 < order.quantity <= quantity


@given(
    price=prices,
    distance=st.decimals(min_value=D("0.0005"), max_value=D("0.2"), places=4),
    equity=st.decimals(min_value=D(1), max_value=D(1_000_000), places=2),
    percent=st.decimals(min_value=D("0.01"), max_value=D(5), places=2),
    leverage=st.integers(1, 50),
    used=st.decimals(min_value=D(0), max_value=D(2), places=2),
)
def test_size_never_risks_more_than_the_budget_nor_passes_a_cap(
    price: Decimal, distance: Decimal, equity: Decimal, percent: Decimal, leverage: int, used: Decimal
) -> None:
    policy = SizingPolicy(risk_usd=None, risk_percent=percent)
    stop = price * (1 - distance)
    data = SizingInput(
        direction=Direction.LONG,
        price=price,
        stop_price=stop,
        equity=equity,
        available=equity,
        taker_fee_rate=D("0.0005"),
        leverage=leverage,
        brackets=(),
        symbol_exposure=D(0),
        total_exposure=equity * used,
        max_position_notional=D(5_000),
        max_exposure_fraction=D("0.25"),
        max_total_exposure_fraction=D(2),
    )
    sized = size_entry(policy, data)
    if isinstance(sized, Sized):
        tiny = D("1e-15")
        loss = sized.quantity * loss_per_unit(price, stop, D("0.0005"), policy.slippage_fraction)
        assert loss <= equity * percent / 100 * (1 + tiny)
        notional = sized.quantity * price
        assert notional <= min(D(5_000), equity / 4, equity * leverage, equity * (2 - used)) * (1 + tiny)


@settings(max_examples=25, deadline=None)
@given(
    moves=st.lists(st.sampled_from(["up", "down", "signal", "mute", "hear", "restart", "hand", "wait"]), max_size=14),
)
def test_any_short_history_ends_flat_or_protected_and_adds_up(moves: list[str]) -> None:
    lab = Lab()
    number = 0
    price = D(100)
    for move in moves:
        if move in ("up", "down"):
            price = price * (D("1.004") if move == "up" else D("0.996"))
            lab.price(BTC, price.quantize(D("0.1")))
        elif move == "signal":
            number += 1
            lab.signal(number=number)
        elif move in ("mute", "hear"):
            lab.venue.mute = move == "mute"
        elif move == "restart":
            lab = lab.restart()
        elif move == "hand" and lab.venue.position(BTC):
            lab.venue.now_ms = lab.now_ms
            lab.venue.market_order(BTC, Side.SELL, lab.venue.position(BTC), f"web_{number}_{len(lab.venue.fills)}")
            lab.flush()
        lab.run(1_000)
    lab.venue.mute = False
    lab.run(65_000)
    held = lab.venue.position(BTC)
    assert sum((row.quantity for row in lab.rows.positions.values()), D(0)) == held
    assert (held == 0) == (lab.live_stops() == [])
    fills = lab.rows.fills.values()
    assert D(10_000) + sum((f.realized_pnl - f.fee for f in fills), D(0)) == lab.venue.wallet
    assert not any(f.correction for f in fills)
    assert len(lab.submitted(Leg.ENTRY)) == len({c.approved.order.client_order_id for c in lab.submitted(Leg.ENTRY)})
