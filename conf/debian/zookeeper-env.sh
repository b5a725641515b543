# Read by the scripts in /usr/bin before anything else.

# Where `zkServer.sh start` writes; as a service, the server writes to the journal.
ZOO_LOG_DIR=/var/log/zookeeper

# Properties of the server, for example:
#SERVER_JVMFLAGS="-Djute.maxbuffer=4194304"
