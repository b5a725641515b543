// What an application does with the Go client, printed line by line. See java/Scenario.java.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"os"
	"sort"
	"time"

	"github.com/go-zookeeper/zk"
)

var stdin = bufio.NewReader(os.Stdin)

func say(format string, args ...interface{}) {
	fmt.Printf(format+"\n", args...)
}

func stat(s *zk.Stat) string {
	owner := "none"
	if s.EphemeralOwner != 0 {
		owner = "a session"
	}
	return fmt.Sprintf("v%d cv%d av%d %d bytes %d children owner %s zxids %d %d",
		s.Version, s.Cversion, s.Aversion, s.DataLength, s.NumChildren, owner, s.Mzxid-s.Czxid, s.Pzxid-s.Czxid)
}

func connect() *zk.Conn {
	conn, _, err := zk.Connect([]string{os.Args[1]}, 30*time.Second,
		zk.WithLogger(log.New(io.Discard, "", 0)))
	if err != nil {
		panic(err)
	}
	retry(func() error { _, _, err := conn.Exists("/"); return err })
	return conn
}

// The client's own session events may be dropped when its channel is full: ask until answered.
func retry(action func() error) {
	end := time.Now().Add(60 * time.Second)
	for action() != nil {
		if time.Now().After(end) {
			panic("no connection")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func event(name string, events <-chan zk.Event) {
	select {
	case e := <-events:
		say("  %s %s %s", name, e.Type, e.Path)
	case <-time.After(100 * time.Second):
		say("  %s: no event", name)
	}
}

func read(conn *zk.Conn, path string) {
	data, s, err := conn.Get(path)
	if err != nil {
		say("read %s: %v", path, err)
		return
	}
	say("read %s: %q %s", path, data, stat(s))
}

func basics() {
	say("== basics")
	conn := connect()
	open := zk.WorldACL(zk.PermAll)
	create := func(path string, flags int32, acl []zk.ACL) {
		made, err := conn.Create(path, []byte("data"), flags, acl)
		say("create %s: %s %v", path, made, err)
	}
	create("/app", 0, open)
	create("/app", 0, open)
	create("/no/where", 0, open)
	create("/app/mine", zk.FlagEphemeral, open)
	create("/app/mine/x", 0, open)
	create("/app/s-", zk.FlagSequence, open)
	create("/app/s-", zk.FlagSequence|zk.FlagEphemeral, open)
	create("/app/acl", 0, []zk.ACL{})
	made, err := conn.CreateContainer("/app/box", nil, zk.FlagTTL, open)
	say("container with a wrong flag: %s %v", made, err)
	made, err = conn.CreateContainer("/app/box", nil, 4, open)
	say("container: %s %v", made, err)
	made, err = conn.CreateTTL("/app/ttl", nil, zk.FlagTTL, open, time.Hour)
	say("ttl: %s %v", made, err)
	made, err = conn.CreateProtectedEphemeralSequential("/app/p-", nil, open)
	say("protected: %d %v", len(made), err)
	read(conn, "/app")
	read(conn, "/nothing")
	s, err := conn.Set("/app", []byte("two"), 0)
	say("set: %s %v", stat(s), err)
	_, err = conn.Set("/app", []byte("three"), 0)
	say("set old version: %v", err)
	children, s, err := conn.Children("/app")
	sort.Strings(children)
	say("children: %d %s %v", len(children), stat(s), err)
	exists, _, err := conn.Exists("/nothing")
	say("exists: %v %v", exists, err)
	say("delete with children: %v", conn.Delete("/app", -1))
	say("delete: %v", conn.Delete("/app/box", -1))
	path, err := conn.Sync("/app")
	say("sync: %s %v", path, err)
	results, err := conn.Multi(
		&zk.CreateRequest{Path: "/app/m", Data: []byte("1"), Acl: open},
		&zk.SetDataRequest{Path: "/app/m", Data: []byte("2"), Version: 0},
		&zk.CheckVersionRequest{Path: "/app/m", Version: 1},
		&zk.DeleteRequest{Path: "/app/m", Version: 1})
	for _, r := range results {
		text := r.String
		if r.Stat != nil {
			text += stat(r.Stat)
		}
		say("multi %s %v", text, r.Error)
	}
	say("multi: %v", err)
	results, err = conn.Multi(
		&zk.CreateRequest{Path: "/app/m", Data: []byte("1"), Acl: open},
		&zk.CheckVersionRequest{Path: "/app", Version: 77})
	say("failing multi: %d results %v", len(results), err)
	conn.Close()
}

func identities() {
	say("== identities")
	conn := connect()
	stranger := connect()
	say("auth: %v", conn.AddAuth("digest", []byte("bob:secret")))
	_, err := conn.Create("/i", []byte("s"), 0, zk.AuthACL(zk.PermAll))
	say("create: %v", err)
	read(conn, "/i")
	read(stranger, "/i")
	acl, s, err := conn.GetACL("/i")
	say("acl: %v %s %v", acl, stat(s), err)
	s, err = conn.SetACL("/i", zk.WorldACL(zk.PermRead), 0)
	say("set acl: %s %v", stat(s), err)
	read(stranger, "/i")
	say("bad scheme: %v", stranger.AddAuth("nonsense", nil))
	conn.Close()
	stranger.Close()
}

func watches() {
	say("== watches")
	conn := connect()
	writer := connect()
	open := zk.WorldACL(zk.PermAll)
	writer.Create("/w", nil, 0, open)
	_, _, created, _ := conn.ExistsW("/w/a")
	_, _, listed, _ := conn.ChildrenW("/w")
	writer.Create("/w/a", nil, 0, open)
	event("exists", created)
	event("children", listed)
	_, _, changed, _ := conn.GetW("/w/a")
	writer.Set("/w/a", []byte("x"), -1)
	event("data", changed)
	_, _, deleted, _ := conn.GetW("/w/a")
	writer.Delete("/w/a", -1)
	event("deleted", deleted)
	conn.Close()
	writer.Close()
}

func locks() {
	say("== locks")
	inside := make(chan int, 1)
	done := make(chan error, 3)
	for n := 0; n < 3; n++ {
		go func() {
			conn := connect()
			defer conn.Close()
			for i := 0; i < 5; i++ {
				lock := zk.NewLock(conn, "/locks/go", zk.WorldACL(zk.PermAll))
				if err := lock.Lock(); err != nil {
					done <- err
					return
				}
				select {
				case inside <- 1:
				default:
					done <- fmt.Errorf("two at once")
					return
				}
				<-inside
				if err := lock.Unlock(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for n := 0; n < 3; n++ {
		say("worker: %v", <-done)
	}
}

func survival() {
	say("== survival")
	conn := connect()
	open := zk.WorldACL(zk.PermAll)
	conn.Create("/r", []byte("r"), 0, open)
	conn.Create("/r/mine", nil, zk.FlagEphemeral, open)
	_, _, changed, _ := conn.GetW("/r")
	_, _, listed, _ := conn.ChildrenW("/r")
	session := conn.SessionID()
	say("@restart")
	stdin.ReadString('\n')
	retry(func() error { _, _, err := conn.Exists("/r"); return err })
	say("same session %v", session == conn.SessionID())
	_, s, err := conn.Exists("/r/mine")
	say("still mine %v %v", err == nil && s.EphemeralOwner == session, err)
	writer := connect()
	writer.Set("/r", []byte("q"), -1)
	event("data", changed)
	writer.Create("/r/new", nil, 0, open)
	event("children", listed)
	// It waits for its answer for one second only. The session would expire after 30 s.
	conn.Close()
	exists, _, err := writer.Exists("/r/mine")
	for end := time.Now().Add(25 * time.Second); exists && err == nil && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
		exists, _, err = writer.Exists("/r/mine")
	}
	say("gone %v %v", !exists, err)
	writer.Close()
}

func main() {
	basics()
	identities()
	watches()
	locks()
	survival()
	say("done")
}
