import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/**
 * An application that goes on while the servers below it are replaced: it writes, holds an
 * ephemeral and a lock, and watches. Says "@restart" when it is at work; a line ends it.
 */
public class Migrant implements Watcher {
    private final AtomicInteger connects = new AtomicInteger();
    private final AtomicInteger expired = new AtomicInteger();
    private final AtomicInteger events = new AtomicInteger();
    private final CountDownLatch last = new CountDownLatch(1);
    private volatile boolean stop;
    private int written;
    private ZooKeeper zk;

    public static void main(String[] args) throws Exception {
        new Migrant().run(args[0]);
    }

    @Override
    public void process(WatchedEvent event) {
        if (event.getType() == Event.EventType.None) {
            if (event.getState() == Event.KeeperState.SyncConnected) {
                connects.incrementAndGet();
            } else if (event.getState() == Event.KeeperState.Expired) {
                expired.incrementAndGet();
            }
        }
    }

    private interface Step<T> {
        T run() throws KeeperException, InterruptedException;
    }

    /** Again and again while the connection is lost: each step may be done twice. */
    private static <T> T retried(Step<T> step) throws KeeperException, InterruptedException {
        while (true) {
            try {
                return step.run();
            } catch (KeeperException.ConnectionLossException e) {
                Thread.sleep(20);
            }
        }
    }

    private void create(String path, CreateMode mode) throws KeeperException, InterruptedException {
        retried(() -> {
            try {
                return zk.create(path, new byte[] {'x'}, Ids.OPEN_ACL_UNSAFE, mode);
            } catch (KeeperException.NodeExistsException e) {
                return path;
            }
        });
    }

    private void watch() {
        try {
            byte[] data = retried(() -> zk.getData("/java-watched", event -> {
                if (event.getType() == Event.EventType.NodeDataChanged) {
                    events.incrementAndGet();
                    new Thread(this::watch).start();
                }
            }, null));
            if (new String(data).equals("last")) {
                last.countDown();
            }
        } catch (Exception e) {
            System.out.println("watch: " + e);
        }
    }

    private void write() {
        try {
            while (!stop) {
                create("/java/n" + written, CreateMode.PERSISTENT);
                written++;
            }
        } catch (Exception e) {
            System.out.println("write: " + e);
        }
    }

    private void run(String address) throws Exception {
        zk = new ZooKeeper(address, 120000, this);
        create("/java", CreateMode.PERSISTENT);
        create("/java-watched", CreateMode.PERSISTENT);
        create("/java-lock", CreateMode.PERSISTENT);
        create("/java-alive", CreateMode.EPHEMERAL);
        String lock = retried(() -> zk.create("/java-lock/l-", new byte[0], Ids.OPEN_ACL_UNSAFE,
            CreateMode.EPHEMERAL_SEQUENTIAL));
        watch();
        Thread writer = new Thread(this::write);
        writer.start();
        System.out.println("@restart");
        new BufferedReader(new InputStreamReader(System.in)).readLine();
        boolean seen = last.await(150, TimeUnit.SECONDS);
        stop = true;
        writer.join();
        retried(() -> {
            zk.sync("/", (code, path, context) -> { }, null);
            return zk.exists("/", false);
        });
        List<String> children = retried(() -> zk.getChildren("/java", false));
        Set<String> there = new HashSet<>(children);
        int lost = 0;
        for (int n = 0; n < written; n++) {
            lost += there.contains("n" + n) ? 0 : 1;
        }
        Stat alive = retried(() -> zk.exists("/java-alive", false));
        Stat held = retried(() -> zk.exists(lock, false));
        boolean kept = alive != null && alive.getEphemeralOwner() == zk.getSessionId();
        boolean locked = held != null && held.getEphemeralOwner() == zk.getSessionId();
        System.out.println("lost=" + lost + " expired=" + expired + " ephemeral=" + kept
            + " lock=" + locked + " last-event=" + seen);
        System.out.println("java: " + written + " writes, " + (connects.get() - 1)
            + " reconnects, " + events + " events");
        zk.close();
    }
}
