"""What goes wrong, and what leeward promises then.

A scenario breaks the world when the fault begins and mends it when the fault ends. Its bounds are the
Targets of the bench (docs/outage.md): the name of a figure (figures.py) and what it may be at most.
Bounds marked `per_rate` were written for 60 orders a second and grow with the rate of a run.
"""

import asyncio
import dataclasses
import itertools
import signal
import time
import typing

import world as model

# The load that the bounds were written for.
USUAL_ORDERS = 60
FLAP = 2
COLD_LIMIT = 50
COLD_SECONDS = 5
MOVE_DELAY = 3
LOSS_PERCENT = 2
PAUSE = 0.3
ROLL_EVERY = 6
# After these, new connections have to be dialled while names do not resolve.
CLOSE_IDLE = (5, 10)


@dataclasses.dataclass(frozen=True)
class Bound:
    """A figure and its limit. A `least` bound is a floor instead; `learning` is the limit where no
    capacity is declared."""
    figure: str
    limit: float
    per_rate: bool = False
    least: bool = False
    learning: float | None = None


@dataclasses.dataclass(frozen=True)
class Scenario:
    """`bad` is what the fault hits; shares of the traffic are told by it. `proof` is what
    the records must show of it, or the run is worthless: `silent`, that it did nothing in the fault, or
    `told`, that the fault's command reached it in time."""
    name: str
    title: str
    fault: typing.Callable
    repair: typing.Callable
    bounds: tuple = ()
    bad: tuple = ("aws",)
    proof: str = ""


async def nothing(_world, _seconds):
    pass


async def crash(world, _):
    world.kill("aws")


async def restart(world, _):
    world.restart("aws")


async def blackhole(world, _):
    world.lab.blackhole("aws")


async def mend(world, _):
    world.lab.mend()


async def hang(world, _):
    world.signal("aws", signal.SIGSTOP)


async def wake(world, _):
    world.signal("aws", signal.SIGCONT)


def sick(**fault):
    """Every backend of aws has this fault."""
    async def begin(world, _):
        world.command("aws", **fault)
    return begin


async def well(world, _):
    world.command_all()


async def all_red(world, _):
    world.command_all(health="red")


async def flap(world, seconds):
    """Two seconds down, two seconds up, until the fault ends; it ends up."""
    down = False
    for _ in range(int(seconds // FLAP)):
        down = not down
        world.kill("aws") if down else world.restart("aws")
        await asyncio.sleep(FLAP)
    if down:
        await asyncio.sleep(max(0, seconds % FLAP - 0.1))
        world.restart("aws")


async def lose_two(world, _):
    """Two providers are gone, the third carries half of the load and says so."""
    world.kill("aws")
    world.kill("gcp")
    world.command("selfhosted", limit=world.settings.left / world.settings.size, back_pressure=True)


async def regain_two(world, _):
    world.restart("aws")
    world.restart("gcp")
    world.command("selfhosted")


async def return_cold(world, _):
    world.restart("aws")
    world.command("aws", limit=COLD_LIMIT / world.settings.size)
    await asyncio.sleep(COLD_SECONDS)
    world.command("aws")


async def crash_one(world, _):
    world.kill("aws", [1])


async def restart_one(world, _):
    world.restart("aws", [1])


def lying_names(lie):
    """Names fail, and every backend closes its idle connections now and then."""
    async def begin(world, seconds):
        world.names.lie = lie
        before = 0
        for at in (at for at in CLOSE_IDLE if at < seconds):
            await asyncio.sleep(at - before)
            world.command_all(close_idle=True)
            before = at
    return begin


async def honest_names(world, _):
    world.names.lie = None


async def move(world, _):
    """aws has new addresses; the old ones die a little later."""
    old = world.of("aws")
    for number in old:
        world.spawn("aws", model.MOVED + number)
    world.names.table = world.table(moved=("aws",))
    await asyncio.sleep(MOVE_DELAY)
    world.kill("aws", old)


async def unrest(world, seconds):
    """What any day has: collections' pauses, a slow machine, a rolling restart, packets lost."""
    world.lab.lose(LOSS_PERCENT)
    world.command("aws", lag=0)
    # The last one is restarted last: it stays slow for a while.
    world.processes["aws", world.settings.size].stdin.write(b'{"lag": 0.004}\n')
    world.processes["aws", world.settings.size].stdin.flush()
    end = time.monotonic() + seconds - ROLL_EVERY
    # One by one, and no two of a provider after each other.
    for owner, number in itertools.cycle(sorted(world.processes, key=lambda who: who[1])):
        if time.monotonic() > end:
            break
        await world.roll(owner, number)
        for other in ("gcp", "aws"):
            await asyncio.sleep(ROLL_EVERY / 2 - PAUSE)
            world.signal(other, signal.SIGSTOP, [world.settings.size])
            await asyncio.sleep(PAUSE)
            world.signal(other, signal.SIGCONT, [world.settings.size])


async def rest(world, _):
    world.lab.mend()
    world.command("aws")


def bounds(reads, orders, *more, per_rate=False):
    """The bounds that every row has: what fails in the fault, and nothing after it."""
    return (Bound("failed_reads", reads), Bound("failed_orders", orders, per_rate=per_rate),
            Bound("failed_after", 0), *more)


FAST = Bound("read_p99_ms", 100)
DNS = bounds(0, 0)

SCENARIOS = [
    Scenario("calm", "no fault", nothing, nothing, bounds(0, 0, Bound("repeated_reads_percent", 2)), bad=()),
    Scenario("crash", "SIGKILL of all aws backends", crash, restart, bounds(0, 1), proof="silent"),
    Scenario("blackhole", "all packets of aws dropped", blackhole, mend,
             (Bound("failed_reads", 0), Bound("failed_orders", 3), Bound("failed_after", 0), FAST,
              Bound("read_max_ms", 400), Bound("executed_late", 0), Bound("streams_ended_s", 0.9)), proof="silent"),
    Scenario("hang", "SIGSTOP of all aws backends", hang, wake, bounds(0, 10, FAST, per_rate=True), proof="silent"),
    Scenario("storm", "every answer of aws 503, health green", sick(traffic="storm"), well,
             bounds(0, 3, Bound("last_failure_s", 0.5)), proof="told"),
    Scenario("orders-only", "orders at aws 503, its reads and health fine", sick(traffic="orders"), well,
             bounds(0, 10, Bound("last_failure_s", 0.5), Bound("moved_percent", 25), per_rate=True), proof="told"),
    Scenario("gray", "30 % of aws' answers 500, health green", sick(traffic="gray"), well, bounds(0, 5), proof="told"),
    Scenario("slow", "aws answers after 3 s, health too", sick(traffic="slow", health="slow"), well, bounds(0, 0, FAST), proof="told"),
    Scenario("slow-green", "aws answers after 3 s, health green", sick(traffic="slow"), well, bounds(0, 0, FAST), proof="told"),
    Scenario("cut", "half of aws' answers reset in the middle", sick(traffic="cut"), well, bounds(0, 6), proof="told"),
    Scenario("all-red", "health red everywhere, traffic fine", all_red, well,
             bounds(0, 0, Bound("moved_percent", 5), Bound("streams_dropped", 0)), bad=()),
    Scenario("flapping", "aws 2 s down, 2 s up", flap, nothing,
             bounds(0, 1, Bound("share_to_bad_percent", 0))),
    Scenario("capacity", "aws and gcp lost, selfhosted at half of the load", lose_two, regain_two,
             (Bound("failed_orders", 0, learning=5), Bound("failed_after", 0), Bound("shed_p99_ms", 50), Bound("shed_unsaid", 0),
              Bound("capacity_used_percent", 95, least=True)), bad=("aws", "gcp"), proof="silent"),
    Scenario("cold-return", "crash, then aws fails beyond 50/s for 5 s", crash, return_cold, bounds(0, 1), proof="silent"),
    Scenario("one-of-two", "SIGKILL of one aws backend", crash_one, restart_one,
             bounds(0, 1, Bound("moved_percent", 5)), bad=()),
    Scenario("dns-empty", "every name answers empty", lying_names("empty"), honest_names, DNS, bad=()),
    Scenario("dns-nxdomain", "NXDOMAIN for every name", lying_names("nxdomain"), honest_names, DNS, bad=()),
    Scenario("dns-servfail", "SERVFAIL for every name", lying_names("servfail"), honest_names, DNS, bad=()),
    Scenario("dns-silent", "the DNS server is silent", lying_names("silent"), honest_names, DNS, bad=()),
    Scenario("dns-moves", "aws moves to new addresses, the old ones die 3 s later", move, nothing, DNS, bad=()),
    Scenario("noise", "nothing is down: pauses of 300 ms, one slow backend, rolling restarts, 2 % loss", unrest, rest,
             (Bound("failed_reads", 0), Bound("failed_after", 0), Bound("away_s", 0)), bad=()),
]
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
