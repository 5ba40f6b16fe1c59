"""The suites by name; importing it imports none of them."""

from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from typing import Any

from takt.benchmarks.suites.suite import Suite, SuiteError

SUITES = {
    "metaworld": "takt.benchmarks.suites.metaworld:Metaworld",
    "libero": "takt.benchmarks.suites.libero:Libero",
    "calvin": "takt.benchmarks.suites.calvin:Calvin",
    "simpler": "takt.benchmarks.suites.simpler:Simpler",
    "aloha": "takt.benchmarks.suites.aloha:Aloha",
}


def make_suite(name: str, options: Mapping[str, Any]) -> Suite:
    """The suite with its options, as `options_of` gave them.

    Raises:
        SuiteError: there is none of that name, or it has other options.
    """
    if name not in SUITES:
        raise SuiteError(f"expected a suite of {', '.join(SUITES)}, got {name!r}")
    module, _, noun = SUITES[name].partition(":")
    kind = getattr(import_module(module), noun)
    try:
        return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in options.items()})
    except TypeError as error:
        raise SuiteError(
            f"expected the options that {name} has in this version of takt, got "
            f"{', '.join(options)} ({error}); play it again with this one"
        ) from error


def body_of(suite: Suite) -> str:
    """Where its body's spec stands, as `takt serve --body` wants it: in its module, as `SPEC`.

    A suite with several robots names that of the one it plays with in `body`.
    """
    return f"{SUITES[suite.name].partition(':')[0]}:{getattr(suite, 'body', 'SPEC')}"


def options_of(suite: Suite) -> dict[str, Any]:
    """What was asked of it: plain values by name."""
    return asdict(suite)  # pyright: ignore[reportArgumentType] - every suite is a dataclass
