import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.AsyncCallback;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/**
 * What an application does with the Java client, printed line by line. The transcript against one
 * server must equal the transcript against another. "@restart" asks whoever runs this to kill the
 * server and to start it (or another one on the same directory) again, and to answer with a line.
 */
public class Scenario {
    private static String address;
    private static final BufferedReader STDIN = new BufferedReader(new InputStreamReader(System.in));

    /** Collects events; connection states are kept apart since their number is a matter of time. */
    private static class Events implements Watcher {
        final LinkedBlockingQueue<String> seen = new LinkedBlockingQueue<>();
        volatile Event.KeeperState state;
        final CountDownLatch connected = new CountDownLatch(1);

        public void process(WatchedEvent event) {
            if (event.getType() == Event.EventType.None) {
                state = event.getState();
                if (state == Event.KeeperState.SyncConnected) {
                    connected.countDown();
                }
                synchronized (this) {
                    notifyAll();
                }
                return;
            }
            seen.add(event.getType() + " " + event.getPath());
        }

        synchronized void await(Event.KeeperState wanted) throws Exception {
            long end = System.currentTimeMillis() + 60000;
            while (state != wanted) {
                if (System.currentTimeMillis() > end) {
                    throw new IllegalStateException("state " + state + " instead of " + wanted);
                }
                wait(1000);
            }
        }
    }

    interface Action {
        Object run() throws Exception;
    }

    static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    /** Runs and prints the result or the error. */
    static void step(String name, Action action) throws Exception {
        try {
            Object result = action.run();
            say(name + ": " + (result == null ? "ok" : result));
        } catch (KeeperException e) {
            say(name + ": " + e.code() + " " + e.getPath());
        } catch (IllegalArgumentException e) {
            say(name + ": illegal argument");
        }
    }

    static ZooKeeper connect(String chroot, Events events) throws Exception {
        ZooKeeper zk = new ZooKeeper(address + chroot, 30000, events);
        if (!events.connected.await(100, TimeUnit.SECONDS)) {
            throw new IllegalStateException("no connection");
        }
        return zk;
    }

    /** Waits until all events that the server sent so far were delivered, and prints them. */
    static void settle(ZooKeeper zk, Events events) throws Exception {
        CountDownLatch latch = new CountDownLatch(1);
        zk.sync("/", (rc, path, ctx) -> latch.countDown(), null);
        if (!latch.await(100, TimeUnit.SECONDS)) {
            throw new IllegalStateException("sync was not answered");
        }
        List<String> all = new ArrayList<>();
        events.seen.drainTo(all);
        say("  events " + all);
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String stat(Stat s) {
        return "v" + s.getVersion() + " cv" + s.getCversion() + " av" + s.getAversion() + " "
                + s.getDataLength() + " bytes " + s.getNumChildren() + " children owner "
                + (s.getEphemeralOwner() == 0 ? "none" : "a session") + " zxids "
                + (s.getMzxid() - s.getCzxid()) + " " + (s.getPzxid() - s.getCzxid());
    }

    static Object read(ZooKeeper zk, String path) throws Exception {
        Stat stat = new Stat();
        byte[] data = zk.getData(path, false, stat);
        return (data == null ? "null" : new String(data, StandardCharsets.UTF_8)) + " " + stat(stat);
    }

    static Object sorted(List<String> names) {
        List<String> copy = new ArrayList<>(names);
        Collections.sort(copy);
        return copy;
    }

    static Object results(List<OpResult> results) {
        List<String> texts = new ArrayList<>();
        for (OpResult r : results) {
            if (r instanceof OpResult.CreateResult) {
                Stat s = ((OpResult.CreateResult) r).getStat();
                texts.add("created " + ((OpResult.CreateResult) r).getPath() + (s == null ? "" : " " + stat(s)));
            } else if (r instanceof OpResult.SetDataResult) {
                texts.add("set " + stat(((OpResult.SetDataResult) r).getStat()));
            } else if (r instanceof OpResult.ErrorResult) {
                texts.add("error " + ((OpResult.ErrorResult) r).getErr());
            } else if (r instanceof OpResult.GetDataResult) {
                texts.add("data " + new String(((OpResult.GetDataResult) r).getData(), StandardCharsets.UTF_8));
            } else if (r instanceof OpResult.GetChildrenResult) {
                texts.add("children " + sorted(((OpResult.GetChildrenResult) r).getChildren()));
            } else {
                texts.add(r.getClass().getSimpleName());
            }
        }
        return texts;
    }

    static void restart() throws Exception {
        say("@restart");
        STDIN.readLine();
    }

    public static void main(String[] args) throws Exception {
        address = args[0];
        basics();
        watches();
        multis();
        identities();
        sequences();
        locks();
        survival();
        say("done");
        System.exit(0);
    }

    static void basics() throws Exception {
        say("== basics");
        Events events = new Events();
        ZooKeeper zk = connect("", events);
        step("create", () -> zk.create("/app", bytes("one"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        step("create again", () -> zk.create("/app", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        step("create without parent", () -> zk.create("/no/where", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        step("create null data", () -> zk.create("/app/null", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        step("create empty data", () -> zk.create("/app/empty", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        step("create with stat", () -> {
            Stat s = new Stat();
            return zk.create("/app/stat", bytes("x"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, s) + " " + stat(s);
        });
        step("container", () -> {
            Stat s = new Stat();
            return zk.create("/app/box", bytes("x"), Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER, s) + " " + stat(s);
        });
        step("container without stat", () -> zk.create("/app/box2", bytes("x"), Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER));
        step("ttl", () -> {
            Stat s = new Stat();
            return zk.create("/app/ttl", bytes("x"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, s, 3600000) + " " + stat(s);
        });
        step("ephemeral", () -> zk.create("/app/mine", bytes("e"), Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL));
        step("child of ephemeral", () -> zk.create("/app/mine/x", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        for (String path : new String[] {"/app", "/app/null", "/app/empty", "/app/mine", "/app/box", "/zookeeper", "/nothing"}) {
            step("read " + path, () -> read(zk, path));
        }
        step("mine is mine", () -> zk.exists("/app/mine", false).getEphemeralOwner() == zk.getSessionId());
        step("set", () -> stat(zk.setData("/app", bytes("two"), 0)));
        step("set old version", () -> stat(zk.setData("/app", bytes("three"), 0)));
        step("set any version", () -> stat(zk.setData("/app", bytes("three"), -1)));
        step("exists not", () -> zk.exists("/nothing", false) == null);
        step("children", () -> sorted(zk.getChildren("/app", false)));
        step("all children", () -> zk.getAllChildrenNumber("/app"));
        step("ephemerals", () -> sorted(zk.getEphemerals()));
        step("ephemerals below", () -> sorted(zk.getEphemerals("/app/x")));
        step("delete with children", () -> { zk.delete("/app", -1); return null; });
        step("delete wrong version", () -> { zk.delete("/app/stat", 7); return null; });
        step("delete", () -> { zk.delete("/app/stat", 0); return null; });
        step("delete again", () -> { zk.delete("/app/stat", -1); return null; });
        step("bad path", () -> zk.create("/app//x", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        step("empty acl", () -> zk.create("/app/acl", null, new ArrayList<>(), CreateMode.PERSISTENT));
        step("config", () -> new String(zk.getConfig(false, new Stat()), StandardCharsets.UTF_8).isEmpty());
        step("who am I", () -> zk.whoAmI().size());
        byte[] large = new byte[900000];
        Arrays.fill(large, (byte) 'L');
        step("large", () -> stat(zk.setData("/app/null", large, -1)));
        step("large back", () -> Arrays.equals(large, zk.getData("/app/null", false, null)));
        Events inside = new Events();
        ZooKeeper chrooted = connect("/app", inside);
        step("chroot create", () -> chrooted.create("/inside", bytes("c"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        step("chroot watch", () -> chrooted.exists("/inside", inside) != null);
        step("set through the front", () -> stat(zk.setData("/app/inside", bytes("d"), -1)));
        settle(chrooted, inside);
        chrooted.close();
        // Pipelined: the answers come in the order of the requests.
        int burst = 2000;
        CountDownLatch all = new CountDownLatch(burst);
        AtomicInteger wrong = new AtomicInteger();
        AtomicInteger next = new AtomicInteger();
        for (int i = 0; i < burst; i++) {
            AsyncCallback.StatCallback callback = (rc, path, ctx, s) -> {
                if (rc != 0 || next.getAndIncrement() != (Integer) ctx) {
                    wrong.incrementAndGet();
                }
                all.countDown();
            };
            if (i % 2 == 0) {
                zk.setData("/app/inside", bytes("burst " + i), -1, callback, i);
            } else {
                zk.exists("/app/inside", false, callback, i);
            }
        }
        say("burst answered " + all.await(60, TimeUnit.SECONDS) + ", wrong " + wrong.get());
        step("after the burst", () -> read(zk, "/app/inside").toString().split(" zxids")[0]);
        zk.close();
    }

    static void watches() throws Exception {
        say("== watches");
        Events events = new Events();
        Events other = new Events();
        ZooKeeper zk = connect("", events);
        ZooKeeper writer = connect("", other);
        step("root", () -> writer.create("/w", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        step("exists", () -> zk.exists("/w/a", true) == null);
        step("children", () -> zk.getChildren("/w", true));
        step("create", () -> writer.create("/w/a", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        settle(zk, events);
        step("data and child", () -> { zk.getData("/w/a", true, null); return zk.getChildren("/w/a", true); });
        step("delete", () -> { writer.delete("/w/a", -1); return null; });
        settle(zk, events);
        step("persistent", () -> { zk.addWatch("/w", AddWatchMode.PERSISTENT); return null; });
        step("recursive", () -> { zk.addWatch("/w/deep", AddWatchMode.PERSISTENT_RECURSIVE); return null; });
        for (String path : new String[] {"/w/deep", "/w/deep/1", "/w/deep/1/2"}) {
            step("create " + path, () -> writer.create(path, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        }
        step("set", () -> stat(writer.setData("/w/deep/1/2", bytes("x"), -1)));
        step("delete 2", () -> { writer.delete("/w/deep/1/2", -1); return null; });
        settle(zk, events);
        step("remove persistent", () -> { zk.removeWatches("/w", events, Watcher.WatcherType.Any, false); return null; });
        settle(zk, events);
        step("remove again", () -> { zk.removeWatches("/w", events, Watcher.WatcherType.Any, false); return null; });
        step("create after", () -> writer.create("/w/late", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        settle(zk, events);
        zk.close();
        writer.close();
    }

    static void multis() throws Exception {
        say("== multis");
        Events events = new Events();
        ZooKeeper zk = connect("", events);
        step("multi", () -> results(zk.multi(Arrays.asList(
                Op.create("/m", bytes("0"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                Op.create("/m/s-", bytes("1"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL),
                Op.create("/m/t", bytes("t"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, 3600000),
                Op.setData("/m", bytes("2"), 0),
                Op.check("/m", 1),
                Op.delete("/m/t", 0)))));
        try {
            zk.multi(Arrays.asList(Op.setData("/m", bytes("3"), 1), Op.check("/m", 9), Op.delete("/m", -1)));
            say("failing multi did not fail");
        } catch (KeeperException e) {
            say("failing multi: " + e.code() + " " + results(e.getResults()));
        }
        step("nothing happened", () -> read(zk, "/m"));
        step("transaction", () -> results(zk.transaction()
                .create("/m/x", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL)
                .setData("/m/x", bytes("tx"), 0).commit()));
        step("multi read", () -> results(zk.multi(Arrays.asList(
                Op.getData("/m"), Op.getChildren("/m"), Op.getData("/nothing")))));
        step("empty multi", () -> results(zk.multi(new ArrayList<>())));
        zk.close();
    }

    static void identities() throws Exception {
        say("== identities");
        Events events = new Events();
        ZooKeeper zk = connect("", events);
        ZooKeeper stranger = connect("", new Events());
        step("auth without", () -> zk.create("/i", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        zk.addAuthInfo("digest", bytes("bob:secret"));
        step("auth", () -> zk.create("/i", bytes("s"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        step("acl", () -> zk.getACL("/i", new Stat()));
        step("stranger reads", () -> read(stranger, "/i"));
        step("stranger deletes", () -> { stranger.delete("/i", -1); return null; });
        step("stranger's acl", () -> stranger.getACL("/i", new Stat()));
        step("open up", () -> stat(zk.setACL("/i", Arrays.asList(
                new ACL(ZooDefs.Perms.READ, Ids.ANYONE_ID_UNSAFE),
                new ACL(ZooDefs.Perms.ALL, new Id("digest", "bob:pDB71hSpLEFKXRRTO9yFOXxcgUg=")),
                new ACL(ZooDefs.Perms.WRITE, new Id("ip", "127.0.0.1"))), 0)));
        step("stranger reads now", () -> read(stranger, "/i"));
        step("stranger writes by address", () -> stat(stranger.setData("/i", bytes("t"), -1)));
        step("masked acl", () -> stranger.getACL("/i", new Stat()));
        step("bad acl", () -> zk.setACL("/i", Collections.singletonList(new ACL(31, new Id("nope", "x"))), -1));
        step("who", () -> zk.whoAmI().toString().contains("bob"));
        zk.close();
        stranger.close();
    }

    static void sequences() throws Exception {
        say("== sequences");
        Events events = new Events();
        ZooKeeper zk = connect("", events);
        step("root", () -> zk.create("/s", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        for (int i = 0; i < 3; i++) {
            step("persistent", () -> zk.create("/s/p-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL));
            step("ephemeral", () -> zk.create("/s/e-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL));
            step("ttl", () -> zk.create("/s/t-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, null, 3600000));
        }
        step("slash", () -> zk.create("/s/", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL));
        step("delete", () -> { zk.delete("/s/p-0000000000", -1); return null; });
        step("next", () -> zk.create("/s/p-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL));
        Events watcher = new Events();
        ZooKeeper second = connect("", watcher);
        step("watch", () -> sorted(second.getChildren("/s", true)));
        zk.close();
        settle(second, watcher);
        step("ephemerals are gone", () -> sorted(second.getChildren("/s", false)));
        second.close();
    }

    /** The lock recipe of ZooKeeper's documentation: three clients, one at a time, in order. */
    static void locks() throws Exception {
        say("== locks");
        List<ZooKeeper> clients = new ArrayList<>();
        List<String> order = Collections.synchronizedList(new ArrayList<>());
        List<Thread> threads = new ArrayList<>();
        ZooKeeper first = connect("", new Events());
        first.create("/lock", null, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER);
        AtomicInteger inside = new AtomicInteger();
        for (int i = 0; i < 3; i++) {
            ZooKeeper zk = connect("", new Events());
            clients.add(zk);
            String mine = zk.create("/lock/l-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL);
            String name = "client " + i;
            Thread thread = new Thread(() -> {
                try {
                    while (true) {
                        List<String> names = zk.getChildren("/lock", false);
                        Collections.sort(names);
                        int at = names.indexOf(mine.substring("/lock/".length()));
                        if (at == 0) {
                            break;
                        }
                        CountDownLatch gone = new CountDownLatch(1);
                        if (zk.exists("/lock/" + names.get(at - 1), e -> gone.countDown()) != null
                                && !gone.await(100, TimeUnit.SECONDS)) {
                            throw new IllegalStateException("nobody told me");
                        }
                    }
                    order.add(name + " alone " + (inside.incrementAndGet() == 1));
                    inside.decrementAndGet();
                    zk.close();
                } catch (Exception e) {
                    order.add(name + " failed " + e);
                }
            });
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.start();
        }
        for (Thread thread : threads) {
            thread.join(110000);
        }
        say("order " + order);
        step("left", () -> first.getChildren("/lock", false));
        first.close();
    }

    /** Sessions, ephemerals and watches live through a crash of the server. */
    static void survival() throws Exception {
        say("== survival");
        Events events = new Events();
        ZooKeeper zk = connect("", events);
        zk.addAuthInfo("digest", bytes("bob:secret"));
        step("root", () -> zk.create("/r", bytes("r"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        step("mine", () -> zk.create("/r/mine", bytes("e"), Ids.CREATOR_ALL_ACL, CreateMode.EPHEMERAL));
        step("watch data", () -> read(zk, "/r") + " " + new String(zk.getData("/r", true, null)));
        step("watch children", () -> sorted(zk.getChildren("/r", true)));
        step("watch absent", () -> zk.exists("/r/later", true) == null);
        step("watch deep", () -> { zk.addWatch("/r/deep", AddWatchMode.PERSISTENT_RECURSIVE); return null; });
        long session = zk.getSessionId();
        byte[] password = zk.getSessionPasswd();
        restart();
        step("wait", () -> {
            long end = System.currentTimeMillis() + 60000;
            while (true) {
                try {
                    return zk.exists("/r/mine", false) != null;
                } catch (KeeperException.ConnectionLossException e) {
                    if (System.currentTimeMillis() > end) {
                        throw e;
                    }
                }
            }
        });
        say("same session " + (session == zk.getSessionId()));
        step("still mine", () -> zk.exists("/r/mine", false).getEphemeralOwner() == session);
        ZooKeeper writer = connect("", new Events());
        step("stranger", () -> read(writer, "/r/mine"));
        step("own", () -> read(zk, "/r/mine").toString().split(" zxids")[0]);
        step("set", () -> stat(writer.setData("/r", bytes("q"), -1)).split(" zxids")[0]);
        step("later", () -> writer.create("/r/later", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        step("deep", () -> writer.create("/r/deep", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        step("deeper", () -> writer.create("/r/deep/er", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        settle(zk, events);
        // The same session from a second client object: the first one loses its connection.
        Events taken = new Events();
        ZooKeeper again = new ZooKeeper(address, 30000, taken, session, password);
        taken.await(Watcher.Event.KeeperState.SyncConnected);
        step("taken over", () -> again.exists("/r/mine", false).getEphemeralOwner() == again.getSessionId());
        again.close();
        events.await(Watcher.Event.KeeperState.Expired);
        say("the first object knows " + events.state);
        step("gone", () -> writer.exists("/r/mine", false) == null);
        writer.close();
    }
}
