"""What an application does with kazoo, printed line by line. See java/Scenario.java."""

import logging
import sys
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, RolledBackError
from kazoo.protocol.states import KazooState
from kazoo.retry import KazooRetry
from kazoo.security import make_acl, make_digest_acl

logging.basicConfig(level=logging.CRITICAL)
ADDRESS = sys.argv[1]


def say(line):
    print(line, flush=True)


def step(name, action):
    try:
        result = action()
        say(f"{name}: {'ok' if result is None else result}")
        return result
    except KazooException as error:
        say(f"{name}: {type(error).__name__}")


def stat(s):
    owner = "none" if s.ephemeralOwner == 0 else "a session"
    return (
        f"v{s.version} cv{s.cversion} av{s.aversion} {s.dataLength} bytes {s.numChildren} children "
        f"owner {owner} zxids {s.mzxid - s.czxid} {s.pzxid - s.czxid}"
    )


def read(zk, path):
    data, s = zk.get(path)
    return f"{data} {stat(s)}"


def client(**more):
    zk = KazooClient(
        hosts=ADDRESS,
        timeout=30,
        connection_retry=KazooRetry(max_tries=-1, delay=0.05, max_delay=0.5),
        command_retry=KazooRetry(max_tries=-1, delay=0.05, max_delay=0.5),
        **more,
    )
    zk.start(30)
    return zk


def end(zk):
    zk.stop()
    zk.close()


def basics():
    say("== basics")
    zk = client()
    step("create", lambda: zk.create("/app", b"one"))
    step("again", lambda: zk.create("/app", b"one"))
    step("makepath", lambda: zk.create("/app/a/b/c", b"deep", makepath=True))
    step("include data", lambda: stat(zk.create("/app/stat", b"x", include_data=True)[1]))
    step("no parent", lambda: zk.create("/no/where", b""))
    step("ephemeral", lambda: zk.create("/app/mine", b"", ephemeral=True))
    step("sequence", lambda: zk.create("/app/s-", b"", sequence=True))
    step("both", lambda: zk.create("/app/s-", b"", sequence=True, ephemeral=True))
    step("read", lambda: read(zk, "/app"))
    step("mine", lambda: zk.exists("/app/mine").ephemeralOwner == zk.client_id[0])
    step("set", lambda: stat(zk.set("/app", b"two", 0)))
    step("bad version", lambda: zk.set("/app", b"three", 0))
    step("children", lambda: sorted(zk.get_children("/app")))
    step("with data", lambda: stat(zk.get_children("/app", include_data=True)[1]))
    step("exists", lambda: zk.exists("/nothing") is None)
    step("not empty", lambda: zk.delete("/app"))
    step("recursive", lambda: zk.delete("/app/a", recursive=True))
    step("ensure", lambda: zk.ensure_path("/app/x/y"))
    step("sync", lambda: zk.sync("/app"))
    step("ruok", lambda: zk.command(b"srvr").splitlines()[-2].split(":")[0])
    t = zk.transaction()
    t.create("/app/t", b"1")
    t.set_data("/app/t", b"2", 0)
    t.check("/app/t", 1)
    t.delete("/app/t")
    say(f"transaction {[r if isinstance(r, (str, bool)) else stat(r) for r in t.commit()]}")
    t = zk.transaction()
    t.create("/app/t", b"1")
    t.check("/app", 99)
    t.create("/app/u", b"1")
    say(f"rolled back {[type(r).__name__ for r in t.commit()]}")
    results = [zk.get_async("/app") for _ in range(500)] + [zk.set_async("/app", b"q") for _ in range(500)]
    say(f"async {sum(1 for r in results if r.get(30))}")
    end(zk)


def watches():
    say("== watches")
    zk, writer = client(), client()
    seen, lock = [], threading.Condition()

    def watch(event):
        with lock:
            seen.append(f"{event.type} {event.path}")
            lock.notify_all()

    def expect(count):
        with lock:
            if not lock.wait_for(lambda: len(seen) >= count, 30):
                say("an event is missing")
            say(f"  events {seen}")
            seen.clear()

    writer.create("/w")
    step("exists", lambda: zk.exists("/w/a", watch=watch) is None)
    step("children", lambda: zk.get_children("/w", watch=watch))
    step("create", lambda: writer.create("/w/a", b"1"))
    expect(2)
    step("data", lambda: zk.get("/w/a", watch=watch)[0])
    step("set", lambda: stat(writer.set("/w/a", b"2")))
    expect(1)
    step("data", lambda: zk.get("/w/a", watch=watch)[0])
    step("delete", lambda: writer.delete("/w/a"))
    expect(1)
    values = []
    done = threading.Event()

    @zk.DataWatch("/w/d")
    def data_watch(data, s):
        values.append(data)
        if data == b"3":
            done.set()

    for value in (b"1", b"2", b"3"):
        writer.ensure_path("/w/d")
        writer.set("/w/d", value)
    say(f"data watch {done.wait(100)} {values[0]} {values[-1]}")
    end(writer)
    end(zk)


def identities():
    say("== identities")
    zk, stranger = client(auth_data=[("digest", "bob:secret")]), client()
    step("create", lambda: zk.create("/i", b"s", acl=[make_digest_acl("bob", "secret", all=True)]))
    step("own", lambda: read(zk, "/i"))
    step("stranger", lambda: read(stranger, "/i"))
    step("acl", lambda: [(a.perms, a.id.scheme, a.id.id) for a in zk.get_acls("/i")[0]])
    step("set acl", lambda: stat(zk.set_acls("/i", [make_acl("world", "anyone", read=True)])))
    step("stranger", lambda: read(stranger, "/i"))
    step("stranger's add", lambda: stranger.add_auth("digest", "bob:secret"))
    step("locked out", lambda: zk.set_acls("/i", [make_acl("world", "anyone", all=True)]))
    step("bad scheme", lambda: zk.create("/i2", b"", acl=[make_acl("nope", "x", all=True)]))
    end(stranger)
    end(zk)


def recipes():
    say("== recipes")
    clients = [client() for _ in range(3)]
    inside, order = [0], []

    def work(n):
        lock = clients[n].Lock("/locks/one", f"client {n}")
        for _ in range(5):
            with lock:
                inside[0] += 1
                order.append(inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    say(f"lock {order}")
    counter = clients[0].Counter("/counter")
    for _ in range(10):
        counter += 1
    say(f"counter {counter.value}")
    queue = clients[1].Queue("/queue")
    for n in range(3):
        queue.put(str(n).encode())
    say(f"queue {[queue.get() for _ in range(4)]}")
    barrier = clients[0].Barrier("/barrier")
    barrier.create()
    waiter = threading.Thread(target=lambda: clients[1].Barrier("/barrier").wait(100))
    waiter.start()
    barrier.remove()
    waiter.join(40)
    say(f"barrier {not waiter.is_alive()}")
    elected = []
    leader = clients[2].Election("/election", "two")
    leader.run(lambda: elected.append("two"))
    say(f"election {elected}")
    party = [c.Party("/party", str(n)) for n, c in enumerate(clients)]
    for p in party:
        p.join()
    say(f"party {sorted(party[0])}")
    for c in clients:
        end(c)


def survival():
    say("== survival")
    zk = client()
    zk.create("/r", b"r")
    zk.create("/r/mine", b"e", ephemeral=True)
    changed, reconnected = threading.Event(), threading.Event()
    zk.get("/r", watch=lambda event: changed.set())
    lost = threading.Event()

    def listener(state):
        if state == KazooState.CONNECTED and lost.is_set():
            reconnected.set()
        if state != KazooState.CONNECTED:
            lost.set()

    zk.add_listener(listener)
    session = zk.client_id[0]
    say("@restart")
    sys.stdin.readline()
    say(f"reconnected {reconnected.wait(100)} same session {zk.client_id[0] == session}")
    step("still mine", lambda: zk.retry(zk.exists, "/r/mine").ephemeralOwner == session)
    writer = client()
    # kazoo does not re-arm watches by itself: it tells them that the connection was lost.
    zk.get("/r", watch=lambda event: changed.set())
    step("set", lambda: writer.set("/r", b"q").version)
    say(f"watch {changed.wait(100)}")
    gone = threading.Event()
    writer.exists("/r/mine", watch=lambda event: gone.set())
    end(zk)
    # A kazoo that is told to stop just between two turns of its loop hangs up without a goodbye: then
    # the session, which is 30 s long, has to expire.
    say(f"gone {gone.wait(100)}")
    end(writer)


for part in (basics, watches, identities, recipes, survival):
    part()
say("done")
