"""Prints what apollo-client-python holds of a key, a line for each value: URL APP CLUSTER KEY [SECRET]."""

import sys
import time

from apollo import ApolloClient

url, app, cluster, key, *secret = sys.argv[1:]
client = ApolloClient(
    config_url=url,
    app_id=app,
    cluster=cluster,
    namespaces=["application"],
    secret=secret[0] if secret else "",
    enable_long_pool_updates=True,
    auto_update_enabled=True,
    enable_dotenv=False,
)
shown = object()
while True:
    value = client.get_value(key)
    if value != shown:
        print(value, flush=True)
        shown = value
    time.sleep(0.05)
