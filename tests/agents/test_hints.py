"""Hints for a provider's prompt cache: what each provider is sent, and that no other is sent anything."""

from __future__ import annotations

from typing import Any

from edgewright.agents.hints import hinted
from edgewright.agents.offline import OfflineModel, Say
from langchain.agents.middleware.types import ModelRequest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

OPENAI = ChatOpenAI(model="gpt-4o-mini", api_key=SecretStr("sk-test"), base_url="http://127.0.0.1:9/v1")


class Claude(OfflineModel):
    """Says that it is Anthropic's."""

    def __init__(self) -> None:
        super().__init__("claude", lambda turn: Say(""))

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {**super()._get_ls_params(stop=stop, **kwargs), "ls_provider": "anthropic"}


def _request(model: Any, system: Any = "Do it.", **settings: Any) -> ModelRequest[Any]:
    return ModelRequest(
        model=model,
        messages=[HumanMessage("go"), AIMessage("ok")],
        system_message=SystemMessage(system),
        model_settings=settings,
    )


def test_openai_gets_one_key_per_tenant_and_agent_that_tells_neither() -> None:
    keys = [hinted(_request(OPENAI), *parts).model_settings["prompt_cache_key"] for parts in ("ta", "tb", "ua", "ta")]
    assert len(set(keys)) == 3
    assert keys[0] == keys[3]
    assert all(len(k) == 32 and int(k, 16) >= 0 for k in keys)


def test_the_key_is_on_the_wire() -> None:
    found = hinted(_request(OPENAI), "t", "a")
    assert OPENAI._get_request_payload("hi", **found.model_settings)["prompt_cache_key"]


def test_a_key_of_the_callers_own_stays() -> None:
    assert hinted(_request(OPENAI, prompt_cache_key="mine"), "t").model_settings == {"prompt_cache_key": "mine"}


def test_anthropic_is_told_where_the_system_prompt_ends() -> None:
    claude = Claude()
    found = hinted(_request(claude), "t").system_message
    assert found is not None
    mark = {"cache_control": {"type": "ephemeral"}}
    assert found.content == [{"type": "text", "text": "Do it.", **mark}]
    two = hinted(_request(claude, [{"type": "text", "text": "a"}, "b"]), "t").system_message
    assert two is not None
    assert two.content == [{"type": "text", "text": "a"}, {"type": "text", "text": "b", **mark}]


def test_a_prompt_that_its_author_marked_stays_as_it_is() -> None:
    marked = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]
    request = _request(Claude(), marked)
    assert hinted(request, "t").system_message == request.system_message


def test_another_provider_is_sent_nothing() -> None:
    request = _request(OfflineModel("none", lambda turn: Say("")))
    assert hinted(request, "t") is request
