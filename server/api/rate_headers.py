"""The headers `RateLimit` and `RateLimit-Policy`.

Their form is that of draft-ietf-httpapi-ratelimit-headers, revision 8 and later: lists of items
with parameters (RFC 9651). `qu` names a unit other than requests.
"""

from collections.abc import Sequence

from server.rates import RateState


def rate_headers(rates: Sequence[RateState]) -> dict[str, str]:
    """Describe the limits on rates of a caller. A caller without limits gets no headers."""
    if not rates:
        return {}
    return {
        "RateLimit": ", ".join(map(_remaining, rates)),
        "RateLimit-Policy": ", ".join(map(_policy, rates)),
    }


def _remaining(rate: RateState) -> str:
    return f'"{rate.policy}";r={rate.remaining};t={rate.reset}'


def _policy(rate: RateState) -> str:
    unit = "" if rate.unit == "requests" else f';qu="{rate.unit}"'
    return f'"{rate.policy}";q={rate.quota}{unit};w={rate.window}'
