"""Polls a key with apollo-client-python and prints each new value on a line: URL APP CLUSTER KEY [SECRET].

The environment may name a namespace. The key `*` is the whole namespace, as JSON with sorted keys.
"""

import json
import os
import sys
import time

from apollo import ApolloClient

url, app, cluster, key, *secret = sys.argv[1:]
namespace = os.environ.get("NAMESPACE", "application")
client = ApolloClient(
    config_url=url,
    app_id=app,
    cluster=cluster,
    namespaces=[namespace],
    secret=secret[0] if secret else "",
    enable_long_pool_updates=True,
    auto_update_enabled=True,
    enable_dotenv=False,
)
last = object()
while True:
    if key == "*":
        value = json.dumps(client.get_config(namespace), sort_keys=True, ensure_ascii=False)
    else:
        value = client.get_value(key, namespace=namespace)
    if value != last:
        print(value, flush=True)
        last = value
    time.sleep(0.05)
