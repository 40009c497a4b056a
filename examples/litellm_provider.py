"""Use a task of the server as a model of LiteLLM: it answers with the label of the last message.

LiteLLM has no call for classification. With this provider, programs that call `litellm.completion`
can use a small classifier where they would ask a large model for a label:

    pip install litellm
    POLYPREFIX_URL=http://127.0.0.1:8000 python examples/litellm_provider.py "You have won a prize!"

The key is in the variable `POLYPREFIX_API_KEY`, or in the argument `api_key`. The proxy of LiteLLM
loads the provider from its configuration:

    litellm_settings:
      custom_provider_map:
        - {provider: polyprefix, custom_handler: litellm_provider.provider}
"""

import json
import os
import sys
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else the import downloads prices

import httpx
import litellm
from litellm.llms.custom_llm import CustomLLMError


class Polyprefix(litellm.CustomLLM):
    """Classifies the last message of a chat."""

    def completion(self, **call: Any) -> litellm.ModelResponse:
        """Answer a call of `litellm.completion`."""
        response = httpx.post(**self._request(call))
        return self._answer(call, response)

    async def acompletion(self, **call: Any) -> litellm.ModelResponse:
        """Answer a call of `litellm.acompletion`."""
        async with httpx.AsyncClient() as client:
            response = await client.post(**self._request(call))
        return self._answer(call, response)

    def _request(self, call: dict[str, Any]) -> dict[str, Any]:
        url = call.get("api_base") or os.environ.get("POLYPREFIX_URL", "http://127.0.0.1:8000")
        key = call.get("api_key") or os.environ.get("POLYPREFIX_API_KEY")
        return {
            "url": f"{url.rstrip('/')}/v1/classify",
            "json": {"model": call["model"], "input": call["messages"][-1]["content"]},
            "headers": {"Authorization": f"Bearer {key}"} if key else {},
            "timeout": call.get("timeout") or 30,
        }

    def _answer(self, call: dict[str, Any], response: httpx.Response) -> litellm.ModelResponse:
        if response.is_error:
            raise CustomLLMError(response.status_code, response.json()["detail"])
        body = response.json()
        (result,) = body["results"]
        answer: litellm.ModelResponse = call["model_response"]
        answer.model = result["model"]
        answer.choices[0].message.content = result.get("label") or json.dumps(
            result.get("labels", result.get("value"))
        )
        tokens = body["usage"]["tokens"]
        answer.usage = litellm.Usage(prompt_tokens=tokens, completion_tokens=0, total_tokens=tokens)
        return answer


provider = Polyprefix()


def main() -> None:
    """Classify the text of the command line."""
    litellm.custom_provider_map = [{"provider": "polyprefix", "custom_handler": provider}]
    message = {"role": "user", "content": " ".join(sys.argv[1:]) or "See you at lunch?"}
    answer = litellm.completion(model="polyprefix/examples/spam", messages=[message])
    print(answer.choices[0].message.content)


if __name__ == "__main__":
    main()
