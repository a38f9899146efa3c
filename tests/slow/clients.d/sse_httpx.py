"""Prints each event of a stream as a line of JSON, by `httpx-sse`. Usage: sse_httpx.py <url> <access token>

The library leaves reconnecting to its user, so the program reconnects as the README of the library shows.
"""

import json, sys, time

import httpx
from httpx_sse import connect_sse

url, access = sys.argv[1:]
last, wait = "", 3000
while True:
    headers = {"Authorization": f"Bearer {access}"} | ({"Last-Event-ID": last} if last else {})
    try:
        with httpx.Client(timeout=60) as client, connect_sse(client, "GET", url, headers=headers) as source:
            for event in source.iter_sse():
                last = event.id
                wait = event.retry if event.retry is not None else wait
                print(json.dumps({"event": event.event, "id": event.id, "data": event.data}), flush=True)
    except httpx.TransportError as error:
        print(repr(error), file=sys.stderr, flush=True)
    time.sleep(wait / 1000)
