# Supervisor of one throwaway Postgres for a test process:
#
#   sh postgres_supervisor.sh <folder of the Postgres programs> <fsync: on or off>
#
# The end of file on standard input means that the test process has ended: passed, panicked, or killed by a signal that no
# handler can catch. The supervisor then stops Postgres and removes its folder. Until then it reads commands, one per line,
# and answers each with a line:
#
#   (at the start)  path of the folder; errors are in the file `log` in it
#   start <port>    ready | failed
#   kill            killed
#   freeze          frozen: neither the server nor a session runs
#   thaw            thawed

# A broken pipe must not end this script before it has stopped Postgres.
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
    # Line 1 is the id of the process that wrote the file, so neither a stale file nor another server on the port counts.
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
while read -r command port; do
    case $command in
    start) if start "$port"; then answer ready; else answer failed; fi ;;
    kill)
        # The sessions, too: each that is alive holds the shared memory, and the next start would fail. The server is stopped
        # first, so that it cannot fork another one after they are listed.
        kill -s STOP "$postgres" 2>/dev/null
        sessions=$(cat "/proc/$postgres/task/$postgres/children" 2>/dev/null)
        end KILL "$sessions"
        for session in $sessions; do
            # Empty for a process that has ended, even if nobody has waited for it yet.
            while grep -q . "/proc/$session/cmdline" 2>/dev/null; do sleep 0.01; done
        done
        answer killed
        ;;
    freeze)
        # The server first, so that it cannot fork another session after they are listed.
        kill -s STOP "$postgres"
        frozen=$(cat "/proc/$postgres/task/$postgres/children")
        for session in $frozen; do kill -s STOP "$session" 2>/dev/null; done
        answer frozen
        ;;
    thaw)
        for session in $frozen; do kill -s CONT "$session" 2>/dev/null; done
        kill -s CONT "$postgres"
        answer thawed
        ;;
    esac
done

end QUIT
cd / && rm -rf "$folder"
