"""The official SDKs of six vendors, each behind the same few methods, so that one test can be run with all of them."""

import json
from contextlib import ExitStack
from typing import Any, NamedTuple, Protocol

import anthropic
import cohere
import httpx
import mistralai.client
import ollama
import openai
from google import genai
from google.genai import types

Json = dict[str, Any]
TIMEOUT = 20  # seconds
TOOL = "get_weather"
DOES = "Look up the weather."
SCHEMA: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "query": {"type": "string"}},
}
FUNCTION: Json = {"name": TOOL, "description": DOES, "parameters": SCHEMA}


class Call(NamedTuple):
    """A call of a tool, as a program sees it. id: "" where the SDK has none."""

    id: str
    name: str
    arguments: Json


class Heard(NamedTuple):
    """What an SDK made of an answer.

    stop: why it ended, in the SDK's own word. turns: what goes into the next call for it. used: tokens of the output.
    """

    text: str
    calls: list[Call]
    stop: str
    turns: list[Any]
    used: int


class Sdk(Protocol):
    """An SDK. stops: its words for an answer that ended by itself, and for one that ends in a call of a tool."""

    stops: tuple[str, str]

    def __init__(self, url: str, key: str, stack: ExitStack) -> None:
        """Point the SDK at the gateway; `stack` closes it."""

    def user(self, words: str) -> Any:
        """Return the turn of a user."""

    def result(self, call: Call, words: str) -> Any:
        """Return the turn with the result of a call."""

    def ask(self, model: str, talk: list[Any], tools: bool, streamed: bool) -> Heard:
        """Make a call, and return what the SDK makes of the answer."""


class OpenAIChat:
    """OpenAI's SDK, chat completions."""

    stops = ("stop", "tool_calls")

    def __init__(self, url: str, key: str, stack: ExitStack) -> None:
        made = openai.OpenAI(base_url=f"{url}/v1", api_key=key, timeout=TIMEOUT, max_retries=0)
        self.client = stack.enter_context(made)

    def user(self, words: str) -> Any:
        return {"role": "user", "content": words}

    def result(self, call: Call, words: str) -> Any:
        return {"role": "tool", "tool_call_id": call.id, "content": words}

    def ask(self, model: str, talk: list[Any], tools: bool, streamed: bool) -> Heard:
        given: Json = {"model": model, "messages": talk}
        if tools:
            given["tools"] = [{"type": "function", "function": FUNCTION}]
        answer: Any
        if streamed:
            with self.client.chat.completions.stream(**given, stream_options={"include_usage": True}) as stream:
                answer = stream.until_done().get_final_completion()
        else:
            answer = self.client.chat.completions.create(**given)
        (choice,) = answer.choices
        calls = choice.message.tool_calls or []
        turn = {"role": "assistant", "content": choice.message.content}
        if calls:
            turn["tool_calls"] = [
                {"id": call.id, "type": "function", "function": call.function.model_dump(include={"name", "arguments"})}
                for call in calls
            ]
        heard = [Call(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls]
        used = answer.usage.completion_tokens
        return Heard(choice.message.content or "", heard, choice.finish_reason, [turn], used)


class OpenAIResponses:
    """OpenAI's SDK, the Responses API."""

    stops = ("completed", "completed")

    def __init__(self, url: str, key: str, stack: ExitStack) -> None:
        made = openai.OpenAI(base_url=f"{url}/v1", api_key=key, timeout=TIMEOUT, max_retries=0)
        self.client = stack.enter_context(made)

    def user(self, words: str) -> Any:
        return {"role": "user", "content": words}

    def result(self, call: Call, words: str) -> Any:
        return {"type": "function_call_output", "call_id": call.id, "output": words}

    def ask(self, model: str, talk: list[Any], tools: bool, streamed: bool) -> Heard:
        given: Json = {"model": model, "input": talk, "store": False}
        if tools:
            given["tools"] = [{"type": "function", **FUNCTION, "strict": False}]
        answer: Any
        if streamed:
            with self.client.responses.stream(**given) as stream:
                answer = stream.until_done().get_final_response()
        else:
            answer = self.client.responses.create(**given)
        calls = [
            Call(item.call_id, item.name, json.loads(item.arguments))
            for item in answer.output
            if item.type == "function_call"
        ]
        turns = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in answer.output]
        for turn in turns:
            for part in turn.get("content", ()):
                part.pop("parsed", None)
        return Heard(answer.output_text, calls, answer.status, turns, answer.usage.output_tokens)


class Anthropic:
    """Anthropic's SDK."""

    stops = ("end_turn", "tool_use")

    def __init__(self, url: str, key: str, stack: ExitStack) -> None:
        made = anthropic.Anthropic(base_url=url, api_key=key, timeout=TIMEOUT, max_retries=0)
        self.client = stack.enter_context(made)

    def user(self, words: str) -> Any:
        return {"role": "user", "content": words}

    def result(self, call: Call, words: str) -> Any:
        return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": words}]}

    def ask(self, model: str, talk: list[Any], tools: bool, streamed: bool) -> Heard:
        given: Json = {"model": model, "messages": talk, "max_tokens": 500}
        if tools:
            given["tools"] = [{"name": TOOL, "description": DOES, "input_schema": SCHEMA}]
        answer: Any
        if streamed:
            with self.client.messages.stream(**given) as stream:
                answer = stream.get_final_message()
        else:
            answer = self.client.messages.create(**given)
        text = "".join(block.text for block in answer.content if block.type == "text")
        calls = [Call(block.id, block.name, block.input) for block in answer.content if block.type == "tool_use"]
        turn = {"role": "assistant", "content": answer.content}
        return Heard(text, calls, answer.stop_reason, [turn], answer.usage.output_tokens)


class Google:
    """Google's SDK."""

    stops = ("STOP", "STOP")

    def __init__(self, url: str, key: str, stack: ExitStack) -> None:
        options = types.HttpOptions(base_url=url, timeout=TIMEOUT * 1000)
        self.client = stack.enter_context(genai.Client(api_key=key, http_options=options))

    def user(self, words: str) -> Any:
        return types.UserContent(words)

    def result(self, call: Call, words: str) -> Any:
        answer = types.FunctionResponse(id=call.id or None, name=call.name, response={"output": words})
        return types.Content(role="user", parts=[types.Part(function_response=answer)])

    def ask(self, model: str, talk: list[Any], tools: bool, streamed: bool) -> Heard:
        function = types.FunctionDeclaration(name=TOOL, description=DOES, parameters_json_schema=SCHEMA)
        config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[function])] if tools else None)
        given: Json = {"model": model, "contents": talk, "config": config}
        models = self.client.models
        answers: list[Any] = (
            list(models.generate_content_stream(**given)) if streamed else [models.generate_content(**given)]
        )
        parts = [part for answer in answers for part in answer.candidates[0].content.parts or ()]
        text = "".join(part.text for part in parts if part.text and not part.thought)
        calls = [
            Call(part.function_call.id or "", part.function_call.name, part.function_call.args)
            for part in parts
            if part.function_call
        ]
        counted = answers[-1].usage_metadata
        used = (counted.candidates_token_count or 0) + (counted.thoughts_token_count or 0)
        turn = types.Content(role="model", parts=parts)
        return Heard(text, calls, answers[-1].candidates[0].finish_reason.value, [turn], used)


class Mistral:
    """Mistral's SDK."""

    stops = ("stop", "tool_calls")

    def __init__(self, url: str, key: str, stack: ExitStack) -> None:
        made = mistralai.client.Mistral(server_url=f"{url}/mistral", api_key=key, timeout_ms=TIMEOUT * 1000)
        self.client = stack.enter_context(made)

    def user(self, words: str) -> Any:
        return {"role": "user", "content": words}

    def result(self, call: Call, words: str) -> Any:
        return {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": words}

    def ask(self, model: str, talk: list[Any], tools: bool, streamed: bool) -> Heard:
        given: Json = {"model": model, "messages": talk}
        if tools:
            given["tools"] = [{"type": "function", "function": FUNCTION}]
        found: list[Any]
        if streamed:
            with self.client.chat.stream(**given) as stream:
                chunks: list[Any] = [event.data for event in stream]
            last = chunks[-1]
            choices = [choice for chunk in chunks for choice in chunk.choices]
            text = "".join(mistrals_words(choice.delta.content) for choice in choices)
            found = [call for choice in choices for call in choice.delta.tool_calls or ()]
            stop = choices[-1].finish_reason
        else:
            last = self.client.chat.complete(**given)
            (choice,) = last.choices
            text, found, stop = (
                mistrals_words(choice.message.content),
                choice.message.tool_calls or [],
                choice.finish_reason,
            )
        spelt: dict[int, Json] = {}
        for call in found:
            known = spelt.setdefault(call.index, {"id": call.id, "name": call.function.name, "arguments": ""})
            known["arguments"] += call.function.arguments
        calls = [Call(call["id"], call["name"], json.loads(call["arguments"])) for call in spelt.values()]
        turn: Json = {"role": "assistant", "content": text}
        if calls:
            turn["tool_calls"] = [
                {"id": call["id"], "function": {"name": call["name"], "arguments": call["arguments"]}}
                for call in spelt.values()
            ]
        return Heard(text, calls, stop, [turn], last.usage.completion_tokens)


def mistrals_words(content: Any) -> str:
    """Return the words of a content, without what was thought."""
    if isinstance(content, list):
        return "".join(part.text for part in content if part.type == "text")
    return content or ""


class Cohere:
    """Cohere's SDK, the second version of its API."""

    stops = ("COMPLETE", "TOOL_CALL")

    def __init__(self, url: str, key: str, stack: ExitStack) -> None:
        connections = stack.enter_context(httpx.Client(timeout=TIMEOUT))
        self.client = cohere.ClientV2(api_key=key, base_url=url, httpx_client=connections)

    def user(self, words: str) -> Any:
        return {"role": "user", "content": words}

    def result(self, call: Call, words: str) -> Any:
        return {"role": "tool", "tool_call_id": call.id, "content": words}

    def ask(self, model: str, talk: list[Any], tools: bool, streamed: bool) -> Heard:
        given: Json = {"model": model, "messages": talk}
        if tools:
            given["tools"] = [{"type": "function", "function": FUNCTION}]
        said: list[Json] = []
        if streamed:
            events: list[Any] = list(self.client.chat_stream(**given))
            end = events[-1].delta
            deltas = [event.delta.message.content for event in events if event.type == "content-delta"]
            text = "".join(delta.text or "" for delta in deltas)
            for event in events:
                if event.type == "tool-call-start":
                    said.append(event.delta.message.tool_calls.model_dump(exclude_none=True))
                elif event.type == "tool-call-delta":
                    said[-1]["function"]["arguments"] += event.delta.message.tool_calls.function.arguments
        else:
            end = self.client.chat(**given)
            text = "".join(part.text for part in end.message.content or () if part.type == "text")
            said = [call.model_dump(exclude_none=True) for call in end.message.tool_calls or ()]
        calls = [Call(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in said]
        turn: Json = {"role": "assistant", "tool_calls": said} if said else {"role": "assistant", "content": text}
        return Heard(text, calls, end.finish_reason, [turn], int(end.usage.billed_units.output_tokens))


class Ollama:
    """Ollama's SDK."""

    stops = ("stop", "stop")

    def __init__(self, url: str, key: str, stack: ExitStack) -> None:
        made = ollama.Client(host=f"{url}/ollama", headers={"authorization": f"Bearer {key}"}, timeout=TIMEOUT)
        self.client = stack.enter_context(made)

    def user(self, words: str) -> Any:
        return {"role": "user", "content": words}

    def result(self, call: Call, words: str) -> Any:
        return {"role": "tool", "tool_name": call.name, "content": words}

    def ask(self, model: str, talk: list[Any], tools: bool, streamed: bool) -> Heard:
        given: Json = {"model": model, "messages": talk}
        if tools:
            given["tools"] = [{"type": "function", "function": FUNCTION}]
        lines: list[Any] = (
            list(self.client.chat(**given, stream=True)) if streamed else [self.client.chat(**given, stream=False)]
        )
        text = "".join(line.message.content or "" for line in lines)
        found = [call for line in lines for call in line.message.tool_calls or ()]
        calls = [Call("", call.function.name, dict(call.function.arguments)) for call in found]
        turn: Json = {"role": "assistant", "content": text}
        if found:
            turn["tool_calls"] = [call.model_dump() for call in found]
        return Heard(text, calls, lines[-1].done_reason, [turn], lines[-1].eval_count)


SDKS: dict[str, type[Sdk]] = {
    "openai": OpenAIChat,
    "openai_responses": OpenAIResponses,
    "anthropic": Anthropic,
    "gemini": Google,
    "mistral": Mistral,
    "cohere": Cohere,
    "ollama": Ollama,
}
"""Each by the dialect it speaks."""
