"""The instances of the function app: requests go to one after the other, as Azure spreads them."""

from collections.abc import Awaitable, Callable, Sequence

import httpx


class Instances:
    """Addresses of functions hosts that serve the same app."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = list(urls)
        self._next = 0

    async def send(self, request: Callable[[str], Awaitable[httpx.Response]]) -> httpx.Response:
        """What `request` is answered by the instance whose turn it is, given its address.

        An instance that is down is passed over, which repeats nothing: it never heard of the
        request. Raises ConnectError when all are down, and whatever else `request` raises.
        """
        start, self._next = self._next, (self._next + 1) % len(self._urls)
        others = [self._urls[(start + turn) % len(self._urls)] for turn in range(len(self._urls))]
        for url in others[:-1]:
            try:
                return await request(url)
            except httpx.ConnectError:
                continue
        return await request(others[-1])
