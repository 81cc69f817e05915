"""The picture: a PNG that is the same for the same arguments, whatever else is drawn meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from io import BytesIO

import pytest
from edgewright.examples.investment_analysis.chart import COLOURS, drawn
from edgewright.examples.investment_analysis.market import Prices, prices
from PIL import Image


def picture(recommendation: str = "buy", ticker: str = "AAPL", day: date = date(2009, 9, 30)) -> bytes:
    return drawn(prices(ticker, day), recommendation=recommendation, confidence=51, status="agreed")


def colours(content: bytes) -> set[str]:
    with Image.open(BytesIO(content)) as image:
        found = image.convert("RGB").getcolors(maxcolors=2**24) or []
    return {f"#{r:02x}{g:02x}{b:02x}" for _, (r, g, b) in found}  # type: ignore[misc]


def test_it_is_a_picture_of_the_size_it_says() -> None:
    with Image.open(BytesIO(picture())) as image:
        assert (image.format, image.size) == ("PNG", (1200, 864))


@pytest.mark.parametrize("recommendation", ["buy", "hold", "sell"])
def test_the_recommendation_has_its_colour(recommendation: str) -> None:
    assert COLOURS[recommendation] in colours(picture(recommendation))


def test_threads_that_draw_at_once_draw_what_one_alone_draws() -> None:
    shares = [("AAPL", date(2009, 9, 30)), ("FB", date(2012, 8, 17)), ("IBM", date(2002, 9, 30))]
    alone = [picture("sell", *share) for share in shares]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda share: picture("sell", *share), shares)) == alone


def test_a_share_of_three_days_can_be_drawn() -> None:
    days = (date(2012, 5, 18), date(2012, 5, 21), date(2012, 5, 22))
    content = drawn(
        Prices("FB", days, (38.23, 34.03, 31.0), 31.0), recommendation="hold", confidence=0, status="confirmed"
    )
    assert COLOURS["hold"] in colours(content)
