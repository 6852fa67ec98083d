"""The command line: `headgate`. Exit status: 0 done or nothing to do, 1 an error, 2 differences found."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from control import keys
from control.account import account_of
from control.calls import Calls
from control.catalogue import COLUMNS, catalogue
from control.console import ask
from control.datadir import CONSOLE, DataError
from control.launch import launch
from core.errors import ConfigError
from core.money import usd

__all__ = ["headgate", "main"]

Function = TypeVar("Function", bound=Callable[..., Any])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; every error ends in one clear message and status 1, wrong usage included."""
    try:
        # Not click's own ending: it uses status 2 for wrong usage, and here 2 says that there are differences.
        status = headgate.main(arguments, prog_name="headgate", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = 1
    except click.Abort:
        click.echo("Aborted.", err=True)
        status = 1
    except ConfigError as error:
        click.echo("\n".join(error.problems), err=True)
        status = 1
    except DataError as error:
        click.echo(f"Error: {error}", err=True)
        status = 1
    sys.exit(status if isinstance(status, int) else 0)


def _config_option(function: Function) -> Function:
    return click.option(
        "--config",
        type=click.Path(exists=True, path_type=Path),
        required=True,
        help="A YAML file, or a directory whose *.yaml are read as one.",
    )(function)


def _own_data_option(function: Function) -> Function:
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        envvar="HEADGATE_DATA",
        help="Directory for sockets and state, made if missing.  [default: data: of the config, else ./data]",
    )(function)


def _data_option(function: Function) -> Function:
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        envvar="HEADGATE_DATA",
        default=Path("data"),
        show_default=True,
        help="The data directory of the running control process.",
    )(function)


def _output_option(function: Function) -> Function:
    return click.option(
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="table is for people, json for programs.",
    )(function)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="headgate", message="%(prog)s %(version)s")
def headgate() -> None:
    """Headgate, an AI gateway: one endpoint in front of every model provider and HTTP API.

    Exit status: 0 done or nothing to do, 1 an error, 2 differences found.
    """


@headgate.command()
@_config_option
@_own_data_option
def up(config: Path, data: Path | None) -> int:
    """Run the whole gateway: a supervisor, the control process and the workers.

    Stays in the foreground and logs to standard error. SIGTERM or SIGINT lets calls in flight finish, for as long as
    listen.drain says; a second such signal ends it at once. SIGHUP reads the config again and applies it.
    """
    return launch(config, data, control=True, plane=True)


@headgate.command()
@_config_option
@_own_data_option
def control(config: Path, data: Path | None) -> int:
    """Run the control process alone, under its own supervisor.

    Workers are those of a `headgate plane` on the same data directory, started before or after.
    """
    return launch(config, data, control=True, plane=False)


@headgate.command()
@_config_option
@_own_data_option
def plane(config: Path, data: Path | None) -> int:
    """Run the workers alone, under their own supervisor.

    Of the config only `listen:`, `data:` and the names of credentials are read here; what the workers serve comes from
    the `headgate control` on the same data directory.
    """
    return launch(config, data, control=False, plane=True)


@headgate.command()
@_config_option
@_output_option
def validate(config: Path, output: str) -> int:
    """Check a config without a running gateway.

    Loads it, checks every reference, and builds it as a worker would. Secrets are not needed. Prints every problem as
    file:line:col: path: reason, and exits with 1 if there is one.
    """
    from control.prove import prove  # noqa: PLC0415 brings in the plane; the supervisor runs this module and needs none

    try:
        proved = prove(config)
    except ConfigError as error:
        if output == "json":
            _print_json({"valid": False, "problems": error.problems})
            return 1
        raise
    digest = proved.snapshot.digest
    if output == "json":
        _print_json({"valid": True, "digest": digest, "problems": []})
    else:
        click.echo(f"{config}: valid, digest {digest}")
    return 0


@headgate.command()
@_config_option
@_data_option
@_output_option
def apply(config: Path, data: Path, output: str) -> int:
    """Make a config active on every worker.

    Returns when every worker has answered. If one refuses, or does not answer within 10 seconds, the version before
    stays active everywhere; who refused and why is printed, and the exit status is 1.
    """
    status, answer = _call(data, "POST", "/v1/apply", {"path": os.path.abspath(config)})
    if output == "json":
        _print_json(answer)
    else:
        _print_applied(answer)
    return 0 if status == 200 else 1


@headgate.command()
@_data_option
@_output_option
def status(data: Path, output: str) -> int:
    """Show the active version, the workers, and what was used since the control process started."""
    code, answer = _call(data, "GET", "/v1/status")
    if output == "json":
        _print_json(answer)
    elif code != 200:
        _print_problem(answer)
    else:
        version, digest, generation = (answer[name] for name in ("version", "digest", "generation"))
        click.echo(f"version {version}, digest {digest}, secrets generation {generation}, process {answer['pid']}\n")
        rows = [{**row, "reason": _reason(row)} for row in answer["workers"]]
        _print_table(rows, ("worker", "pid", "state", "version", "generation", "reason"))
        if answer["usage"]:
            click.echo()
            usage = [{**row, "cost_usd": usd(row["cost_nano"])} for row in answer["usage"]]
            _print_table(usage, tuple(name for name in usage[0] if name != "cost_nano"))
    return 0 if code == 200 else 1


@headgate.command()
@click.argument("REQUEST")
@_data_option
@_output_option
def explain(request: str, data: Path, output: str) -> int:
    """Show why a call went as it did, by its REQUEST id: the x-request-id of its answer.

    Shows route, model, target, usage, and the cost line by line. Of a call with the header `x-headgate-explain: 1`,
    from a consumer with `explain: true`, also its limits, the candidates, which were passed over and why, and each
    attempt. The exit status is 1 if no call has the id.
    """
    if re.fullmatch("[A-Za-z0-9._:-]{1,128}", request) is None:
        raise click.BadParameter("a request id has up to 128 letters, digits and . _ : -", param_hint="REQUEST")
    code, answer = _call(data, "GET", f"/v1/calls/{request}")
    if output == "json":
        _print_json(answer)
    elif code != 200:
        _print_problem(answer)
    else:
        click.echo("\n\n".join(account_of(call) for call in msgspec.convert(answer, Calls).calls))
    return 0 if code == 200 else 1


@headgate.command()
@click.option("--provider", metavar="VENDOR", help="Only what this vendor sells.")
@_output_option
def models(provider: str | None, output: str) -> int:
    """Show the models that vendors sell: what they cost, in dollars for a million tokens, and how much they can read.

    It is what the installed price list says; nothing is asked over the network. A target with one of these models is
    priced without a price of its own.
    """
    rows = catalogue(datetime.now(UTC), provider)
    if output == "json":
        _print_json(rows)
    else:
        _print_table(rows, COLUMNS)
    return 0


@headgate.command()
@click.option("--control", is_flag=True, help="Replace the control process instead; the workers serve on.")
@_data_option
def restart(control: bool, data: Path) -> int:
    """Replace the workers one by one, without losing a call.

    Each gets a successor, a fresh process with the code that is installed by now. When that one serves, the old worker
    takes no more callers and ends when its calls have, or when listen.drain has passed. If a successor does not come to
    serve, the restart stops there and the workers that are left serve on. Static keys of the config (listen, data) are
    not read again: those need a restart of the whole gateway.
    """
    half = "control" if control else "plane"
    command = "restart control" if control else "restart workers"
    failed = ask(data.absolute() / CONSOLE.format(half=half), command, click.echo)
    if failed:
        click.echo(f"Error: {failed}", err=True)
        return 1
    click.echo("done")
    return 0


@headgate.group()
def key() -> None:
    """API keys for consumers."""


@key.command()
@click.option("--consumer", default="my-service", show_default=True, help="Name for the lines to paste.")
@_output_option
def create(consumer: str, output: str) -> int:
    """Make an API key, and the lines of config that let it in.

    The key is shown this once and stored nowhere; the config holds its SHA-256 alone.
    """
    made = keys.make()
    digest = keys.digest(made)
    if output == "json":
        _print_json({"key": made, "sha256": digest, "consumer": consumer})
        return 0
    click.echo(f"key: {made}\n\nShown this once. Give it to {consumer}, and put this into the config:\n")
    click.echo(f'consumers:\n  {json.dumps(consumer)}:\n    keys: [{{sha256: {digest}}}]\n    models: ["*"]')
    return 0


def _call(data: Path, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
    from control.client import call  # noqa: PLC0415 aiohttp is large; the supervisor runs this module and needs none

    return call(data, method, path, body)


def _print_applied(answer: dict[str, Any]) -> None:
    match answer.get("result"):
        case "same":
            click.echo(f"version {answer['version']} is active already; nothing was sent")
        case "active":
            version, digest, generation = (answer[name] for name in ("version", "digest", "generation"))
            click.echo(f"version {version} is active, digest {digest}, secrets generation {generation}")
        case _:
            _print_problem(answer)
            if refused := answer.get("refused_version"):
                click.echo(f"version {answer['version']} stays active; version {refused} was refused", err=True)
    if answer.get("workers"):
        _print_table([{"reason": "", **row} for row in answer["workers"]], ("worker", "answer", "reason"))


def _reason(worker: dict[str, Any]) -> str:
    """Return why a worker is not serving; of one that is not running, how often and when it is tried again, too."""
    reason = str(worker["reason"])
    if worker["failures"]:
        return f"{reason} (failed {worker['failures']} times in a row, next try {worker['next_start']})"
    return reason


def _print_problem(answer: dict[str, Any]) -> None:
    if answer.get("problems"):
        click.echo("\n".join(answer["problems"]), err=True)
    else:
        click.echo(f"Error: {' '.join(filter(None, (answer.get('title'), answer.get('detail'))))}", err=True)


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2))


def _print_table(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> None:
    lines = [tuple(column.upper() for column in columns)]
    lines += [tuple(str(row[column]) for column in columns) for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
