"""The market behind an exchange: generated, recorded or live, continued where its journal left it."""

from __future__ import annotations

from dataclasses import dataclass

from core.clock import Clock
from core.errors import ConfigurationError, RuntimeFailure
from simulator.identity import source_of
from simulator.journal import JournalHeader, Recording
from simulator.market.candle_play import CandlePlay
from simulator.market.catalog import generated_specs, select_specs
from simulator.market.live import LiveMarket
from simulator.market.live_client import LiveClient
from simulator.market.market import Market
from simulator.market.recorded import load_directory
from simulator.options import ExchangeOptions
from utils.logging import get_logger

CATALOGUE_SIZE = 10

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A market, its identity for the journal, and what feeds it (None: it moves by itself)."""

    header: JournalHeader
    market: Market | LiveMarket
    feeder: LiveClient | None = None


async def open_source(options: ExchangeOptions, recording: Recording | None, clock: Clock) -> OpenSource:
    """Return the market that the options ask for, at the time that the journal knows.

    A journal's start and symbols are kept where the options leave them open, so that its account fits its market.
    Raises ConfigurationError for bad options or data, RuntimeFailure for the journal of another market or a live
    venue that does not answer.
    """
    kept = recording.header if recording else None
    if options.lockstep:
        _refuse_lockstep(options)
    if options.live_url is not None:
        return await _live(options, options.live_url, kept, clock)
    if options.data_dir is not None:
        candles = load_directory(options.data_dir, _named(options.symbols, kept))
        for note in candles.notes:
            log.info("recorded data", note=note)
        start_ms = options.start_ms or candles.start_ms
        if options.lockstep:
            market: Market = CandlePlay(candles, seed=options.seed, start_ms=start_ms)
        else:
            market = Market(candles, seed=options.seed, start_ms=start_ms, end_ms=candles.end_ms)
    else:
        count = options.symbols if isinstance(options.symbols, int) else CATALOGUE_SIZE
        asked = options.symbols if isinstance(options.symbols, tuple) else None
        chosen = _named(asked or tuple(spec.symbol for spec in generated_specs(count)), kept)
        start_ms = options.start_ms or (kept.start_ms if kept else clock.wall_ms())
        market = Market.generated(select_specs(chosen or ()), seed=options.seed, start_ms=start_ms)
    header = _header(options, market, start_ms)
    if recording:
        _refuse_other_market(options, header, recording.header)
        market.seek(max(recording.market_ms, start_ms))
    return OpenSource(header, market)


def _refuse_lockstep(options: ExchangeOptions) -> None:
    """Raise ConfigurationError for what lock-step play cannot go with."""
    if options.data_dir is None:
        raise ConfigurationError("lockstep: it plays recorded candles; name their folder with --data")
    for name, value in (("journal", options.journal), ("faults", options.faults), ("live URL", options.live_url)):
        if value is not None:
            raise ConfigurationError(f"lockstep: it cannot go with a {name}; leave one of the two out")


async def _live(options: ExchangeOptions, url: str, kept: JournalHeader | None, clock: Clock) -> OpenSource:
    """Read the venue; its market cannot be continued, so the account goes on at the present."""
    if options.live_stream_url is None:
        raise ConfigurationError(
            "live market: the REST base alone is not enough; name its stream base, ws:// or wss://"
        )
    client = LiveClient(url, options.live_stream_url, _named(options.symbols, kept), clock=clock)
    try:
        market = await client.open()
        header = _header(options, market, kept.start_ms if kept else market.now_ms)
        if kept:
            _refuse_other_market(options, header, kept)
    except BaseException:
        await client.close()
        raise
    return OpenSource(header, market, client)


def _header(options: ExchangeOptions, market: Market | LiveMarket, start_ms: int) -> JournalHeader:
    return JournalHeader(
        options.seed,
        source_of(options.data_dir, options.live_url),
        tuple(market.specs),
        start_ms,
        format(options.deposit, "f"),
    )


def _named(symbols: tuple[str, ...] | int | None, kept: JournalHeader | None) -> tuple[str, ...] | None:
    """Return the named symbols, and behind them those that the journal's account may hold positions in."""
    if isinstance(symbols, int):
        raise ConfigurationError(
            f"symbols: {symbols} made-up symbols go with a generated market only; name the symbols instead"
        )
    known = kept.symbols if kept else ()
    if symbols is None:
        return known or None
    return tuple(dict.fromkeys([*symbols, *known]))


def _refuse_other_market(options: ExchangeOptions, asked: JournalHeader, kept: JournalHeader) -> None:
    """Raise RuntimeFailure when the journal's account belongs to another market than the one asked for."""
    for name, there, here in (
        ("seed", kept.seed, asked.seed),
        ("market", kept.source, asked.source),
        ("start", kept.start_ms, asked.start_ms),
        ("deposit", kept.deposit, asked.deposit),
    ):
        if there != here:
            raise RuntimeFailure(
                f"journal {options.journal} belongs to another market: its {name} is {there}, asked for is {here}; "
                "start with the same options, give another journal, or start over with --fresh"
            )
