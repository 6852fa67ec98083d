"""docs/vendors.md, made of the data: `python -m control.vendors_page docs/vendors.md`."""

import sys
from pathlib import Path

from control.vendors import Vendor, vendors

__all__ = ["text"]

HEAD = """# Vendors

<!-- Made from plane/providers.toml by `python -m control.vendors_page docs/vendors.md`: change it there. -->

A provider with a vendor's word needs no more than that; what is written beside it takes the place of what the row says.
Without `credential` the key is that of the environment variable.

```yaml
providers:
  groq: {vendor: groq}
models:
  fast: {targets: [{provider: groq, model: llama-3.3-70b-versatile}]}
```

Any other server that speaks one of the dialects needs its `dialect` and `base_url`: vLLM, SGLang, another gateway, a
model of your own. Azure, Bedrock, Vertex AI, Databricks, Snowflake and Cloudflare have no row, as their addresses are
yours alone. What Bedrock and Vertex AI get for Claude is compared with what Anthropic's own clients for them send
(`tests/e2e/test_claude_at_the_clouds.py`).

**Tested** says how a vendor's row is tested. All have a request and an answer of their own in `tests/golden/vendors`,
run through the gateway: no test calls a vendor. *Client library*: the vendor's own runs against the gateway as well.
*Documented fixtures*: how its answers differ is from its documentation or the types of its client library. *Assumed
fixtures*: only the address and the key's name are; the answer is what the dialect says, with the differences that
others report, and nobody has compared it with the vendor.

The clients are those of OpenAI (chat completions and Responses), Anthropic, Google, Mistral, Cohere and Ollama, as they
are published. Each is tested before a provider of every dialect, also before Azure, Bedrock and Vertex AI, with words
and a loop of tools, whole and streamed (`tests/e2e/test_every_sdk.py`). Those providers are scripts that speak the
formats of the vendors as documented: the clients are real, the far side is not.

**Prices**: calls are [priced](cost.md) from the installed list without a price of your own; `headgate models` shows it.
Without them a target needs a `price`, or its calls are unpriced.

| vendor | name | dialect | address | key | prices | tested | how it differs |
|---|---|---|---|---|---|---|---|
"""


def text() -> str:
    """Return the page."""
    return HEAD + "".join(row(word, vendor) for word, vendor in sorted(vendors().items()))


def row(word: str, vendor: Vendor) -> str:
    """Return the line of one vendor."""
    dialects = ", ".join(f"`{name}`" for name in (vendor.dialect, *vendor.also))
    key = f"`{vendor.key}`" if vendor.key else "none"
    tested = "client library" if vendor.client else f"{vendor.basis} fixtures"
    return (
        f"| `{word}` | [{vendor.name}]({vendor.docs}) | {dialects} | `{vendor.base_url}` "
        f"| {key} | {'yes' if vendor.prices else ''} | {tested} | {vendor.quirk} |\n"
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
