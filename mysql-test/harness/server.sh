# Starting and stopping a real mysqld inside the box. Sourced by the harness's scripts.
# It waits for conditions, never for a time; each wait has an end.

PLUGINS=/usr/lib/mysql/plugin
MANIFEST=/usr/sbin/mysqld.my
CONFIG=$PLUGINS/component_keyring_ward.cnf
DATA=/var/lib/mysql
KEYS=/var/lib/mysql-keyring
SOCKET=/run/mysqld/mysqld.sock
LOG=/run/mysqld/error.log
JUDGE=/kw/target/tools/debug/judge

sql() { mysql -uroot -S "$SOCKET" --batch --skip-column-names "$@"; }
fail() { echo "FAILED: $*" >&2; tail -5 "$LOG" 2>/dev/null >&2 || true; exit 1; }
expect() { [ "$2" = "$3" ] || fail "$1: expected '$3', got '$2'"; }

# wait_for SECONDS COMMAND…: until the command succeeds.
wait_for() {
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.05
  done
}

component_manifest() { echo '{ "components": "file://component_keyring_ward" }' > "$MANIFEST"; }

# component_config FIELD: the configuration with the given KEK member, e.g. '"passphrase_file": "/x"'
component_config() {
  echo "{ \"backend\": \"file\", \"path\": \"$KEYS/keyring.ward\", \"start_timeout\": 5, \"read_only\": ${2:-false}, \"file\": { $1 } }" > "$CONFIG"
}

make_passphrase() {
  (umask 077; printf '%s\n' "${1:-correct horse battery staple}" > "$KEYS/passphrase")
  chown mysql:mysql "$KEYS/passphrase"
}

# The servers in this root file system; a chroot sees the host's processes, too.
own_servers() {
  local pid
  for pid in $(pgrep -x mysqld); do [ "/proc/$pid/root" -ef / ] && echo "$pid"; done
  true
}
no_servers() { [ -z "$(own_servers)" ]; }

# An empty data directory, an empty keyring folder, an empty log, no configuration.
reset_all() {
  stop_server
  wait_for 30 no_servers || fail "a server of an earlier test is still there"
  find "$DATA" "$KEYS" -mindepth 1 -delete
  rm -f "$MANIFEST" "$CONFIG" "$LOG" /etc/my.cnf
}

# Small: what is written, zeroed and reserved at a start is most of what a start costs.
SMALL="--innodb-redo-log-capacity=8M --innodb-buffer-pool-size=16M"
for each in digests-size=100 max-digest-length=64 max-sql-text-length=64 max-thread-instances=100 error-size=10 max-table-instances=200 \
  max-table-handles=200 max-program-instances=10 accounts-size=10 hosts-size=10 users-size=10 \
  events-{statements,stages,waits,transactions}-history-long-size=100; do SMALL+=" --performance-schema-$each"; done
# shellcheck disable=SC2086  # words
initialize() { mysqld --no-defaults --initialize-insecure --user=mysql --datadir=$DATA $SMALL "$@" > "$LOG" 2>&1; }

# A data directory that was initialised once, without any keyring, and is copied.
fresh_data() {
  if [ ! -d /var/cache/kw-data ]; then
    local manifest_aside=
    [ -e "$MANIFEST" ] && { mv "$MANIFEST" /tmp/kw-manifest; manifest_aside=yes; }
    initialize || fail "mysqld --initialize"
    cp -a "$DATA" /var/cache/kw-data
    if [ -n "$manifest_aside" ]; then mv /tmp/kw-manifest "$MANIFEST"; fi
  fi
  find "$DATA" -mindepth 1 -delete
  cp -a /var/cache/kw-data/. "$DATA/"
  rm -f "$DATA/auto.cnf"
}

# start_server [OPTION…]: succeeds when the server answers. Options that must stand first (e.g.
# --defaults-file) go into FIRST.
start_server() {
  : > "$LOG"; chown mysql:mysql "$LOG"
  # shellcheck disable=SC2086
  mysqld ${FIRST:---no-defaults} --user=mysql --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid \
    --skip-networking --mysqlx=OFF $SMALL --log-error=$LOG "$@" &
  SERVER=$!
  local end=$((SECONDS + 60))
  # The socket is there a little before the server answers: no client is started in vain.
  until [ -S $SOCKET ] && mysqladmin -uroot -S $SOCKET ping >/dev/null 2>&1; do
    kill -0 $SERVER 2>/dev/null || { wait $SERVER || true; return 1; }
    [ $SECONDS -lt $end ] || { kill -9 $SERVER; return 1; }
    sleep 0.05
  done
}

stop_server() {
  if [ -n "${SERVER:-}" ] && kill -0 "$SERVER" 2>/dev/null; then
    # mysqladmin shutdown would look once a second whether it is over.
    if mysqladmin -uroot -S $SOCKET ping >/dev/null 2>&1; then kill "$SERVER"; else kill -9 "$SERVER"; fi
    wait "$SERVER" 2>/dev/null || true
  fi
  SERVER=
}

kill_server() {
  kill -9 "$SERVER"
  wait "$SERVER" 2>/dev/null || true
  rm -f "$SOCKET" "$SOCKET.lock"
  SERVER=
}

install_udf() {
  sql -e "INSTALL PLUGIN keyring_udf SONAME 'keyring_udf.so';
    CREATE FUNCTION keyring_key_generate RETURNS INTEGER SONAME 'keyring_udf.so';
    CREATE FUNCTION keyring_key_fetch RETURNS STRING SONAME 'keyring_udf.so';
    CREATE FUNCTION keyring_key_length_fetch RETURNS INTEGER SONAME 'keyring_udf.so';
    CREATE FUNCTION keyring_key_type_fetch RETURNS STRING SONAME 'keyring_udf.so';
    CREATE FUNCTION keyring_key_store RETURNS INTEGER SONAME 'keyring_udf.so';
    CREATE FUNCTION keyring_key_remove RETURNS INTEGER SONAME 'keyring_udf.so';"
}

status_row() { sql -e "SELECT STATUS_VALUE FROM performance_schema.keyring_component_status WHERE STATUS_KEY='$1'"; }
