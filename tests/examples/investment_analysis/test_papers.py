"""Papers count from their day on and for a while; each says that it was written."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from edgewright.examples.investment_analysis.market import NoMaterial
from edgewright.examples.investment_analysis.papers import DATA, Papers


def test_a_later_paper_is_not_on_the_desk_yet() -> None:
    papers = Papers()
    assert papers.statement("AAPL", date(2009, 10, 18))["published"] == date(2009, 7, 21)
    assert papers.statement("AAPL", date(2009, 10, 19))["published"] == date(2009, 10, 19)
    assert [report["day"] for report in papers.news("MSFT", date(2009, 1, 30))] == [
        date(2008, 12, 16),
        date(2009, 1, 14),
        date(2009, 1, 26),
    ]


def test_an_old_paper_counts_no_more() -> None:
    with pytest.raises(NoMaterial, match="has nothing on IBM of the 200 days before 2003-06-30"):
        Papers().statement("IBM", date(2003, 6, 30))


def test_a_missing_feed_is_named() -> None:
    with pytest.raises(NoMaterial, match="there is no feed of notes for FB"):
        Papers().note("FB", date(2012, 8, 17))


@pytest.mark.parametrize("path", sorted(DATA.rglob("*.toml")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_each_feed_says_that_it_was_written(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# Written for this example. The company exists,")
