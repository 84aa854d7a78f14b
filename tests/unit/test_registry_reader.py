"""Claims about how long a registry is believed."""

from meters.tally import Tally
from meters.writer import REGISTRY_AGE_S, RegistryReader
from tests.fakes_meters import FakeStore

NOW = 1_795_341_600_000_000
RELOAD_S = 30.0


def test_a_registry_is_read_again_when_it_is_old_and_when_the_clock_was_set_back() -> None:
    now = [NOW]
    reader, store = RegistryReader(Tally(), lambda: now[0], RELOAD_S), FakeStore()
    seen: list[tuple[bool, bool]] = []
    for moment in (NOW, NOW, NOW + 30_000_000, NOW + 30_000_000 + round(REGISTRY_AGE_S * 1e6), NOW - 86_400_000_000):
        now[0] = moment
        seen.append((reader.is_due, reader.is_old))
        reader.read_when_due(store)
    assert seen == [(True, True), (False, False), (True, False), (True, True), (True, True)]
    assert store.registry_reads == 4
