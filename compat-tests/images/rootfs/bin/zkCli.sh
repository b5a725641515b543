#!/bin/bash
# zkCli.sh [arguments]: the Java shell.
home=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck disable=SC2086 # the flags are words
exec "${JAVA:-java}" -Xmx256m $JVMFLAGS $CLIENT_JVMFLAGS -cp "$home/conf:$home/lib/*" org.apache.zookeeper.ZooKeeperMain "$@"
