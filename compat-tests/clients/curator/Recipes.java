import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.CreateMode;

/**
 * Curator's recipes between two clients, with a crash of the server in the middle. What it prints
 * does not depend on time.
 */
public class Recipes {
    private static BufferedReader input;

    private static CuratorFramework client(String address) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.builder().connectString(address)
            .sessionTimeoutMs(30000).connectionTimeoutMs(30000).namespace("recipes")
            .retryPolicy(new RetryNTimes(600, 100)).build();
        client.start();
        client.blockUntilConnected();
        return client;
    }

    private interface Condition {
        boolean holds() throws Exception;
    }

    private static void until(String what, Condition condition) throws Exception {
        for (int n = 0; n < 3000; n++) {
            if (condition.holds()) {
                System.out.println(what);
                return;
            }
            Thread.sleep(20);
        }
        throw new IllegalStateException("not in time: " + what);
    }

    private static void restart() throws Exception {
        System.out.println("@restart");
        input.readLine();
    }

    public static void main(String[] args) throws Exception {
        input = new BufferedReader(new InputStreamReader(System.in));
        try (CuratorFramework a = client(args[0]); CuratorFramework b = client(args[0])) {
            lock(a, b);
            semaphore(a, b);
            leaders(a, b);
            caches(a, b);
            counters(a, b);
            barriers(a, b);
        }
        System.out.println("done");
    }

    private static void lock(CuratorFramework a, CuratorFramework b) throws Exception {
        InterProcessMutex mine = new InterProcessMutex(a, "/lock");
        InterProcessMutex theirs = new InterProcessMutex(b, "/lock");
        mine.acquire();
        System.out.println("lock: other gets it: " + theirs.acquire(200, TimeUnit.MILLISECONDS));
        restart();
        System.out.println("lock: held after a crash: " + mine.isAcquiredInThisProcess());
        System.out.println("lock: other gets it: " + theirs.acquire(200, TimeUnit.MILLISECONDS));
        mine.release();
        System.out.println("lock: other gets it: " + theirs.acquire(60, TimeUnit.SECONDS));
        theirs.release();
        int[] counter = {0};
        List<Thread> threads = new ArrayList<>();
        for (CuratorFramework client : List.of(a, b)) {
            Thread thread = new Thread(() -> {
                InterProcessMutex mutex = new InterProcessMutex(client, "/counted");
                try {
                    for (int n = 0; n < 20; n++) {
                        mutex.acquire();
                        int seen = counter[0];
                        Thread.yield();
                        counter[0] = seen + 1;
                        mutex.release();
                    }
                } catch (Exception e) {
                    System.out.println("lock: " + e);
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        System.out.println("lock: counted to " + counter[0]);
    }

    private static void semaphore(CuratorFramework a, CuratorFramework b) throws Exception {
        InterProcessSemaphoreV2 mine = new InterProcessSemaphoreV2(a, "/semaphore", 2);
        InterProcessSemaphoreV2 theirs = new InterProcessSemaphoreV2(b, "/semaphore", 2);
        Lease first = mine.acquire();
        Lease second = theirs.acquire();
        Lease third = theirs.acquire(200, TimeUnit.MILLISECONDS);
        System.out.println("semaphore: third lease: " + (third != null));
        mine.returnLease(first);
        third = theirs.acquire(60, TimeUnit.SECONDS);
        System.out.println("semaphore: after a return: " + (third != null));
        theirs.returnLease(second);
        theirs.returnLease(third);
    }

    private static void leaders(CuratorFramework a, CuratorFramework b) throws Exception {
        LeaderLatch first = new LeaderLatch(a, "/latch", "first");
        first.start();
        first.await();
        LeaderLatch second = new LeaderLatch(b, "/latch", "second");
        second.start();
        until("latch: both are there", () -> first.getParticipants().size() == 2);
        System.out.println("latch: leader is " + second.getLeader().getId());
        restart();
        // A latch whose look at its own node fails, as the connection does, queues up again at the end:
        // either may lead now, and the other in its place.
        until("latch: one leads after a crash", () -> first.hasLeadership() || second.hasLeadership());
        LeaderLatch leader = first.hasLeadership() ? first : second;
        LeaderLatch other = leader == first ? second : first;
        leader.close();
        until("latch: the other leads", other::hasLeadership);
        System.out.println("latch: it says so: " + other.getLeader().getId().equals(other.getId()));
        other.close();
    }

    private static void caches(CuratorFramework a, CuratorFramework b) throws Exception {
        a.create().creatingParentsIfNeeded().forPath("/cache/old", "1".getBytes());
        CuratorCache cache = CuratorCache.build(b, "/cache");
        AtomicInteger changes = new AtomicInteger();
        CountDownLatch ready = new CountDownLatch(1);
        cache.listenable().addListener(new org.apache.curator.framework.recipes.cache.CuratorCacheListener() {
            @Override
            public void event(Type type, org.apache.curator.framework.recipes.cache.ChildData before,
                org.apache.curator.framework.recipes.cache.ChildData after) {
                changes.incrementAndGet();
            }

            @Override
            public void initialized() {
                ready.countDown();
            }
        });
        cache.start();
        System.out.println("cache: filled: " + ready.await(60, TimeUnit.SECONDS));
        a.setData().forPath("/cache/old", "2".getBytes());
        a.create().creatingParentsIfNeeded().forPath("/cache/deep/er", "3".getBytes());
        until("cache: sees a change", () -> has(cache, "/cache/old", "2"));
        until("cache: sees below", () -> has(cache, "/cache/deep/er", "3"));
        PersistentNode node = new PersistentNode(a, CreateMode.EPHEMERAL, false, "/cache/alive",
            "here".getBytes());
        node.start();
        until("cache: sees an ephemeral", () -> has(cache, "/cache/alive", "here"));
        restart();
        a.setData().forPath("/cache/deep/er", "4".getBytes());
        until("cache: goes on after a crash", () -> has(cache, "/cache/deep/er", "4"));
        b.delete().forPath("/cache/alive");
        until("node: is made again", () -> a.checkExists().forPath("/cache/alive") != null);
        node.close();
        until("cache: sees it go", () -> !cache.get("/cache/alive").isPresent());
        TreeSet<String> paths = new TreeSet<>();
        cache.stream().forEach(data -> paths.add(data.getPath()));
        System.out.println("cache: " + paths + ", changes: " + (changes.get() > 4));
        cache.close();
    }

    private static boolean has(CuratorCache cache, String path, String data) {
        return cache.get(path).map(d -> data.equals(new String(d.getData()))).orElse(false);
    }

    private static void counters(CuratorFramework a, CuratorFramework b) throws Exception {
        DistributedAtomicLong mine = new DistributedAtomicLong(a, "/long", new RetryNTimes(100, 10));
        DistributedAtomicLong theirs = new DistributedAtomicLong(b, "/long", new RetryNTimes(100, 10));
        mine.initialize(0L);
        for (int n = 0; n < 10; n++) {
            mine.increment();
            theirs.add(2L);
        }
        System.out.println("long: " + theirs.get().postValue());
    }

    private static void barriers(CuratorFramework a, CuratorFramework b) throws Exception {
        Thread thread = new Thread(() -> {
            try {
                DistributedDoubleBarrier theirs = new DistributedDoubleBarrier(b, "/barrier", 2);
                theirs.enter();
                theirs.leave();
            } catch (Exception e) {
                System.out.println("barrier: " + e);
            }
        });
        thread.start();
        DistributedDoubleBarrier mine = new DistributedDoubleBarrier(a, "/barrier", 2);
        System.out.println("barrier: entered: " + mine.enter(60, TimeUnit.SECONDS));
        System.out.println("barrier: left: " + mine.leave(60, TimeUnit.SECONDS));
        thread.join();
    }
}
