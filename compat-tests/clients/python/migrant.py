"""kazoo while the servers below it are replaced. See java/Migrant.java."""

import logging
import sys
import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import (
    ConnectionLoss,
    NodeExistsError,
    OperationTimeoutError,
    SessionExpiredError,
)
from kazoo.protocol.states import KazooState
from kazoo.retry import KazooRetry

logging.basicConfig(level=logging.CRITICAL)

zk = KazooClient(
    hosts=sys.argv[1],
    timeout=120,
    connection_retry=KazooRetry(max_tries=-1, delay=0.05, max_delay=0.3),
)
counts = {KazooState.CONNECTED: 0, KazooState.SUSPENDED: 0, KazooState.LOST: 0}
events = 0
stop = threading.Event()
last = threading.Event()
written = 0


def count(state):
    counts[state] += 1


def retried(step):
    while True:
        try:
            return step()
        except (ConnectionLoss, OperationTimeoutError):
            time.sleep(0.02)
        except SessionExpiredError:
            # kazoo says so, too, for what is asked while it is about to reconnect.
            time.sleep(0.02)


def create(path, **more):
    def step():
        try:
            zk.create(path, b"x", **more)
        except NodeExistsError:
            pass

    retried(step)


def write():
    global written
    try:
        while not stop.is_set():
            create(f"/kazoo/n{written}")
            written += 1
    except Exception as error:  # whatever it is, the migration has failed
        print(f"write: {error!r}", flush=True)


zk.add_listener(count)
zk.start(60)
for path in ("/kazoo", "/kazoo-watched", "/kazoo-lock"):
    create(path)
create("/kazoo-alive", ephemeral=True)
session = zk.client_id[0]
lock = zk.Lock("/kazoo-lock", "migrant")
lock.acquire(timeout=60)


@zk.DataWatch("/kazoo-watched")
def changed(data, stat):
    global events
    events += 1
    if data == b"last":
        last.set()


writer = threading.Thread(target=write)
writer.start()
print("@restart", flush=True)
sys.stdin.readline()
seen = last.wait(150)
stop.set()
writer.join()
retried(lambda: zk.sync("/"))
there = set(retried(lambda: zk.get_children("/kazoo")))
lost = sum(1 for n in range(written) if f"n{n}" not in there)
alive = retried(lambda: zk.exists("/kazoo-alive"))
locks = retried(lambda: zk.get_children("/kazoo-lock"))
owner = retried(lambda: zk.exists(f"/kazoo-lock/{locks[0]}")).ephemeralOwner if locks else 0
kept = alive is not None and alive.ephemeralOwner == session
print(
    f"lost={lost} expired={counts[KazooState.LOST]} ephemeral={str(kept).lower()}"
    f" lock={str(owner == session).lower()} last-event={str(seen).lower()}"
)
print(f"kazoo: {written} writes, {counts[KazooState.SUSPENDED]} reconnects, {events} events", flush=True)
zk.stop()
zk.close()
