# Keeps one throwaway Postgres for a test process: sh keeper.sh <folder of the Postgres programs> <fsync: on or off>
#
# The end of standard input means that the test process is gone, whether it passed, panicked or was killed with a signal
# that no handler sees. Postgres is stopped then and its folder removed. Until then orders arrive as lines:
#
#   (at first)      answered with the path of the folder; what went wrong is in the file `log` there
#   start <port>    ready | failed
#   kill            killed

# An answer that nobody reads any more must not end us before Postgres is stopped.
trap '' PIPE

programs=$1
fsync=$2
postgres=

folder=$(mktemp -d "${TMPDIR:-/tmp}/pilothouse-postgres.XXXXXX") || exit
cd "$folder" || exit

# Postgres refuses to run as root: 65534 is `nobody`.
unprivileged=
if [ "$(id -u)" -eq 0 ]; then
    chown 65534:65534 "$folder"
    unprivileged='setpriv --reuid=65534 --regid=65534 --clear-groups'
fi

start() {
    if [ ! -d data ]; then
        $unprivileged "$programs/initdb" --pgdata="$folder/data" --username=postgres --auth=trust \
            --encoding=UTF8 --locale=C --no-sync </dev/null >>log 2>&1 || return
    fi
    $unprivileged "$programs/postgres" -D "$folder/data" -p "$1" \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300 \
        -c "fsync=$fsync" -c "synchronous_commit=$fsync" -c "full_page_writes=$fsync" >>log 2>&1 &
    postgres=$!
    # The first line is the process that wrote the file, so neither a stale file nor a stranger on the port can deceive us.
    until [ "$(sed -n '1p; 8p' data/postmaster.pid 2>/dev/null | tr -d ' \n')" = "${postgres}ready" ]; do
        if ! kill -0 "$postgres" 2>/dev/null; then
            postgres=
            return 1
        fi
        sleep 0.02
    done
}

end() {
    [ -n "$postgres" ] || return 0
    kill -s "$1" "$postgres" $2 2>/dev/null
    wait "$postgres" 2>/dev/null
    postgres=
}

answer() {
    echo "$1" 2>/dev/null
}

answer "$folder"
while read -r order port; do
    case $order in
    start) if start "$port"; then answer ready; else answer failed; fi ;;
    kill)
        # The sessions too, or they would go on for a moment and stand in the way of the next start.
        end KILL "$(cat "/proc/$postgres/task/$postgres/children" 2>/dev/null)"
        answer killed
        ;;
    esac
done

end QUIT
cd / && rm -rf "$folder"
