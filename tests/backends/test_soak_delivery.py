"""The soak of delivery, small: `make soak-delivery` is the large one."""

from __future__ import annotations

import pathlib

from soak_delivery import Soak

from backends.conftest import needed
from backends.real import Loki, OpenSearch


def test_every_record_is_there_once(tmp_path: pathlib.Path) -> None:
    """Servers and writers are killed, a proxy misbehaves, a clock jumps: Loki and OpenSearch have each record once."""
    needed(Loki)
    needed(OpenSearch)
    soak = Soak(tmp_path, records=3_000, seed=20_261_121, rate=400.0, outages=1, life=4.0)
    assert soak.run()
    assert soak.returned >= 3_000
    assert soak.kills > 0
