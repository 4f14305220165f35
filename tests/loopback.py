"""Plain HTTP to what runs on this machine, whatever proxy the environment names.

One client for all: to make one takes far longer than a request, since it loads every certificate
authority there is, and whoever waits for something asks many times.
"""

import httpx

#: No connection is kept: the other side may be killed and started anew between any two requests.
loopback = httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
