#!/bin/bash
# Writes /conf/zoo.cfg and myid from the environment where they are missing, then runs the command.
set -e
if [ ! -f "$ZOO_CONF_DIR/zoo.cfg" ]; then
    {
        echo "dataDir=$ZOO_DATA_DIR"
        echo "dataLogDir=$ZOO_DATA_LOG_DIR"
        echo "tickTime=${ZOO_TICK_TIME:-2000}"
        echo "initLimit=${ZOO_INIT_LIMIT:-5}"
        echo "syncLimit=${ZOO_SYNC_LIMIT:-2}"
        echo "maxClientCnxns=${ZOO_MAX_CLIENT_CNXNS:-60}"
        echo "standaloneEnabled=${ZOO_STANDALONE_ENABLED:-true}"
        echo "admin.enableServer=${ZOO_ADMINSERVER_ENABLED:-true}"
        if [ -z "$ZOO_SERVERS" ]; then echo "clientPort=2181"; fi
        for server in $ZOO_SERVERS; do echo "$server"; done
        if [ -n "$ZOO_4LW_COMMANDS_WHITELIST" ]; then
            echo "4lw.commands.whitelist=$ZOO_4LW_COMMANDS_WHITELIST"
        fi
        for entry in $ZOO_CFG_EXTRA; do echo "$entry"; done
    } >"$ZOO_CONF_DIR/zoo.cfg"
fi
[ -f "$ZOO_DATA_DIR/myid" ] || [ -z "$ZOO_MY_ID" ] || echo "$ZOO_MY_ID" >"$ZOO_DATA_DIR/myid"
exec "$@"
