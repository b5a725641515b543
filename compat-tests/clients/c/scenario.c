/* What an application does with the C client, printed line by line. See java/Scenario.java. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

static const char *address;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static char events[64][256];
static int event_count;

static void say(const char *text, const char *value) {
    printf("%s: %s\n", text, value);
    fflush(stdout);
}

/* Waits up to a minute for a condition, which is evaluated under the lock. */
#define AWAIT(condition)                                        \
    do {                                                        \
        struct timespec end;                                    \
        clock_gettime(CLOCK_REALTIME, &end);                    \
        end.tv_sec += 60;                                       \
        pthread_mutex_lock(&lock);                              \
        while (!(condition))                                    \
            if (pthread_cond_timedwait(&changed, &lock, &end)) { \
                printf("waited in vain: " #condition "\n");     \
                exit(1);                                        \
            }                                                   \
        pthread_mutex_unlock(&lock);                            \
    } while (0)

static void on_session(zhandle_t *zh, int type, int state, const char *path, void *context) {
    (void)zh, (void)path;
    pthread_mutex_lock(&lock);
    if (type == ZOO_SESSION_EVENT) *(int *)context = state;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void on_watch(zhandle_t *zh, int type, int state, const char *path, void *context) {
    (void)zh, (void)state;
    if (type == ZOO_SESSION_EVENT) return;
    pthread_mutex_lock(&lock);
    if (event_count < 64)
        snprintf(events[event_count++], sizeof events[0], "%s %d %s", (const char *)context, type, path);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void expect_events(int count) {
    AWAIT(event_count >= count);
    pthread_mutex_lock(&lock);
    for (int i = 0; i < event_count; i++) say("  event", events[i]);
    event_count = 0;
    pthread_mutex_unlock(&lock);
}

static zhandle_t *connect_to(int *state) {
    *state = 0;
    zhandle_t *zh = zookeeper_init(address, on_session, 30000, NULL, state, 0);
    AWAIT(*state == ZOO_CONNECTED_STATE);
    return zh;
}

static void show(const char *name, int rc, const struct Stat *s) {
    char text[256];
    if (rc != ZOK || !s) {
        say(name, zerror(rc));
        return;
    }
    snprintf(text, sizeof text, "v%d cv%d av%d %d bytes %d children owner %s zxids %lld %lld", s->version,
             s->cversion, s->aversion, s->dataLength, s->numChildren, s->ephemeralOwner ? "a session" : "none",
             (long long)(s->mzxid - s->czxid), (long long)(s->pzxid - s->czxid));
    say(name, text);
}

static void create(zhandle_t *zh, const char *path, const char *data, int flags, const struct ACL_vector *acl) {
    char made[256] = "", text[600];
    int rc = zoo_create(zh, path, data, data ? (int)strlen(data) : -1, acl, flags, made, sizeof made);
    snprintf(text, sizeof text, "%s as %s", zerror(rc), rc == ZOK ? made : "nothing");
    say(path, text);
}

static void get(zhandle_t *zh, const char *path) {
    char data[256];
    int length = sizeof data - 1;
    struct Stat s;
    int rc = zoo_get(zh, path, 0, data, &length, &s);
    if (rc == ZOK) {
        data[length < 0 ? 0 : length] = 0;
        say(path, length < 0 ? "(null)" : data);
    }
    show(path, rc, &s);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void children(zhandle_t *zh, const char *path) {
    struct String_vector names;
    struct Stat s;
    int rc = zoo_get_children2(zh, path, 0, &names, &s);
    if (rc == ZOK) {
        qsort(names.data, names.count, sizeof *names.data, by_name);
        for (int i = 0; i < names.count; i++) say("  child", names.data[i]);
        deallocate_String_vector(&names);
    }
    show(path, rc, &s);
}

static void on_auth(int rc, const void *context) {
    pthread_mutex_lock(&lock);
    *(int *)context = rc == ZOK ? 1 : rc;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static int answered;
static void on_stat(int rc, const struct Stat *s, const void *context) {
    (void)s;
    pthread_mutex_lock(&lock);
    if (rc == ZOK && (long)context == answered) answered++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    address = argv[1];
    zoo_set_debug_level(0);
    int state, other;
    struct Stat s;

    printf("== basics\n");
    zhandle_t *zh = connect_to(&state);
    create(zh, "/app", "one", 0, &ZOO_OPEN_ACL_UNSAFE);
    create(zh, "/app", "one", 0, &ZOO_OPEN_ACL_UNSAFE);
    create(zh, "/no/where", "", 0, &ZOO_OPEN_ACL_UNSAFE);
    create(zh, "/app/null", NULL, 0, &ZOO_OPEN_ACL_UNSAFE);
    create(zh, "/app/mine", "e", ZOO_EPHEMERAL, &ZOO_OPEN_ACL_UNSAFE);
    create(zh, "/app/mine/x", "e", 0, &ZOO_OPEN_ACL_UNSAFE);
    create(zh, "/app/s-", "s", ZOO_SEQUENCE, &ZOO_OPEN_ACL_UNSAFE);
    create(zh, "/app/s-", "s", ZOO_SEQUENCE | ZOO_EPHEMERAL, &ZOO_OPEN_ACL_UNSAFE);
    create(zh, "/app/box", "b", ZOO_CONTAINER, &ZOO_OPEN_ACL_UNSAFE);
    char made[256];
    int rc = zoo_create2_ttl(zh, "/app/ttl", "t", 1, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_WITH_TTL, 3600000, made,
                             sizeof made, &s);
    show("ttl", rc, &s);
    get(zh, "/app");
    get(zh, "/app/null");
    get(zh, "/app/mine");
    get(zh, "/nothing");
    show("set", zoo_set2(zh, "/app", "two", 3, 0, &s), &s);
    show("set old version", zoo_set2(zh, "/app", "two", 3, 0, &s), &s);
    children(zh, "/app");
    say("delete with children", zerror(zoo_delete(zh, "/app", -1)));
    say("delete", zerror(zoo_delete(zh, "/app/box", 0)));
    say("bad path", zerror(zoo_delete(zh, "app", 0)));

    zoo_op_t ops[4];
    zoo_op_result_t results[4];
    zoo_create_op_init(&ops[0], "/app/m", "1", 1, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made);
    zoo_set_op_init(&ops[1], "/app/m", "2", 1, 0, &s);
    zoo_check_op_init(&ops[2], "/app/m", 1);
    zoo_delete_op_init(&ops[3], "/app/m", 1);
    say("multi", zerror(zoo_multi(zh, 4, ops, results)));
    for (int i = 0; i < 4; i++) say("  result", zerror(results[i].err));
    zoo_check_op_init(&ops[2], "/app", 99);
    say("failing multi", zerror(zoo_multi(zh, 4, ops, results)));
    for (int i = 0; i < 4; i++) say("  result", zerror(results[i].err));

    for (long i = 0; i < 1000; i++) zoo_aset(zh, "/app", "burst", 5, -1, on_stat, (void *)i);
    AWAIT(answered == 1000);
    say("burst", "answered in order");

    printf("== watches\n");
    zhandle_t *writer = connect_to(&other);
    zoo_wexists(zh, "/app/w", on_watch, "exists", &s);
    struct String_vector names;
    zoo_wget_children(zh, "/app", on_watch, "children", &names);
    deallocate_String_vector(&names);
    create(writer, "/app/w", "1", 0, &ZOO_OPEN_ACL_UNSAFE);
    expect_events(2);
    char data[64];
    int length = sizeof data;
    zoo_wget(zh, "/app/w", on_watch, "data", data, &length, &s);
    zoo_set(writer, "/app/w", "2", 1, -1);
    expect_events(1);

    printf("== identities\n");
    int authenticated = 0;
    zoo_add_auth(zh, "digest", "bob:secret", 10, on_auth, &authenticated);
    AWAIT(authenticated == 1);
    create(zh, "/i", "s", 0, &ZOO_CREATOR_ALL_ACL);
    get(zh, "/i");
    get(writer, "/i");
    struct ACL_vector acl;
    show("acl", zoo_get_acl(zh, "/i", &acl, &s), &s);
    for (int i = 0; i < acl.count; i++) say(acl.data[i].id.scheme, acl.data[i].id.id);
    say("open", zerror(zoo_set_acl(zh, "/i", 0, &ZOO_READ_ACL_UNSAFE)));
    get(writer, "/i");

    printf("== survival\n");
    create(zh, "/r", "r", 0, &ZOO_OPEN_ACL_UNSAFE);
    create(zh, "/r/mine", "e", ZOO_EPHEMERAL, &ZOO_OPEN_ACL_UNSAFE);
    length = sizeof data;
    zoo_wget(zh, "/r", on_watch, "data", data, &length, &s);
    int64_t session = zoo_client_id(zh)->client_id;
    zookeeper_close(writer);
    printf("@restart\n");
    fflush(stdout);
    if (!fgets(data, sizeof data, stdin)) return 1;
    do rc = zoo_exists(zh, "/r/mine", 0, &s);
    while ((rc == ZCONNECTIONLOSS || rc == ZOPERATIONTIMEOUT) && usleep(20000) == 0);
    say("mine", zerror(rc));
    say("same session", zoo_client_id(zh)->client_id == session ? "yes" : "no");
    say("still mine", s.ephemeralOwner == session ? "yes" : "no");
    writer = connect_to(&other);
    zoo_set(writer, "/r", "q", 1, -1);
    expect_events(1);
    /* It does not wait until the server has closed the session, which would expire after 30 s. */
    zookeeper_close(zh);
    for (int i = 0; i < 1250 && (rc = zoo_exists(writer, "/r/mine", 0, &s)) == ZOK; i++) usleep(20000);
    say("gone", zerror(rc));
    zookeeper_close(writer);
    printf("done\n");
    return 0;
}
