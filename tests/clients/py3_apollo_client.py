"""Polls a key with py3-apollo-client and prints each new value on a line: URL APP CLUSTER KEY [SECRET].

The key `*` is the whole namespace, as JSON with sorted keys.
"""

import json
import os
import sys
import time

from py3_apollo import ApolloClient

url, app, cluster, key, *secret = sys.argv[1:]
cache = os.path.join(os.environ["HOME"], "py3-apollo")
os.makedirs(cache, exist_ok=True)
client = ApolloClient(
    app_id=app,
    config_url=url,
    cluster=cluster,
    secret=secret[0] if secret else "",
    cache_path=cache,
    log_level="CRITICAL",
)
last = object()
while True:
    if key == "*":
        # The client has no call for all of it.
        held = client._cache.get("application") or {}
        value = json.dumps(held.get("configurations"), sort_keys=True, ensure_ascii=False)
    else:
        value = client.get_value(key)
    if value != last:
        print(value, flush=True)
        last = value
    time.sleep(0.05)
