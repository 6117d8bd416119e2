"""Each command on a server, by its URL: the same words as on a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memo import Cache
from memo.cli import main


def test_each_command_on_redis(redis_server: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = redis_server.url

    def ran(*arguments: object, at: object = url) -> tuple[int, str]:
        code = main(["-l", str(at), *map(str, arguments)])
        return code, capsys.readouterr().out

    def entries(at: object = url) -> int:
        code, out = ran("ls", "--entries", "--json", at=at)
        return len(json.loads(out)) if code in (0, 1) else -code

    cache = Cache(url, trust_folder=True)
    price = cache.persist(name="shop.price", version=1, code="off", tags=["daily"])(lambda n: n * 2)
    for n in range(40):  # more than are asked for one by one
        price(n)
    cache.persist(name="shop.text", version=1, code="off")(lambda n: "x" * n)(100_000)

    assert [one["entries"] for one in json.loads(ran("ls", "--json")[1])] == [1, 40]
    assert json.loads(ran("stats", "--json")[1])["entries"] == 41
    assert json.loads(ran("where", "--json")[1])["entries"] == 41
    key = json.loads(ran("ls", "shop.text", "--entries", "--json")[1])[0]["key"]
    assert json.loads(ran("show", key, "--json")[1])["function"] == "shop.text"
    assert ran("ps")[0] == 1
    assert ran("why", "shop.price")[0] in (0, 1)
    assert ran("compact")[0] in (0, 1)

    assert ran("push", tmp_path / "copy")[0] == 0
    assert entries(tmp_path / "copy") == 41
    assert "41 there already" in ran("push", tmp_path / "copy")[1]
    assert ran("export", tmp_path / "results.memo")[0] == 0
    assert ran("clear", "shop.price", "--yes")[0] == 0
    assert entries() == 1
    assert ran("pull", tmp_path / "copy", "--trust", "-f", "shop.price")[0] == 0
    assert entries() == 41
    assert [price(n) for n in range(40)] == [n * 2 for n in range(40)]
    assert ran("clear", "--tag", "daily", "--yes")[0] == 0
    assert ran("import", tmp_path / "results.memo", "--trust")[0] == 0
    assert entries() == 41
    assert "41 there already" in ran("merge", url, "--trust", at=tmp_path / "copy")[1]
    assert ran("prune", "--yes")[0] in (0, 1)
    computed = Cache(url, trust_folder=True).persist(name="shop.text", version=1, code="off")(lambda n: 1 / 0)
    assert computed(100_000) == "x" * 100_000
