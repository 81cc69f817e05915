"""Settings: the one place that reads the environment. Everything below receives values."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from environment variables `EDGEWRIGHT_*`.

    Attributes:
        home: folder of ledger, checkpoints and what examples keep.
        model: `provider:model` for agents that name none; None takes an example's offline model.
        environment: `development`, `staging`, `production`, …; policy reads it.
        token: the bearer token that commands send to a server which knows people.
        reviewers: file of the people whom a server answers to, by digests of their tokens; None asks nobody.
    """

    model_config = SettingsConfigDict(env_prefix="EDGEWRIGHT_", frozen=True)

    home: Path = Path(".edgewright")
    model: str | None = None
    environment: str = "development"
    reviewers: Path | None = None
    token: str | None = Field(default=None, repr=False)
