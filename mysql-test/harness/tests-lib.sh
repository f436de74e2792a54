# What the tests with a real server share: checks, small steps, and the loop that runs the functions t_NAME.
# Sourced by server-tests.sh and hsm-tests.sh. Each test runs in a subshell under set -e.
. /kw/mysql-test/harness/server.sh
PASSED=0 FAILED=0

# many SHORT LONG: how often; the long number with scripts/test.sh --all.
many() { if [ "${KW_LONG:-no}" = yes ]; then echo "$2"; else echo "$1"; fi; }

log_has() { grep -qF -- "$1" "$LOG" || fail "the log has no '$1'"; }
log_lacks() { ! grep -F -- "$1" "$LOG" || fail "the log has '$1'"; }
# The statement fails, with this error number.
sql_fails() { # sql_fails NUMBER STATEMENT
  local out; out=$(sql -e "$2" 2>&1) && fail "succeeded: $2"
  case "$out" in *"ERROR $1 "*) ;; *) fail "expected error $1 from '$2', got: $out" ;; esac
}

# A keyring function failed: the server's functions turn every failure into NULL; our log says why.
sql_null() { expect "$1" "$(sql -e "$1" | tail -1)" NULL; }

encrypted_table() {
  sql -e "CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY, b TEXT) ENCRYPTION='Y'; INSERT INTO d.t VALUES (1,'one')"
}
row() { sql -e "SELECT b FROM d.t WHERE a=1"; }

# Starts the server as the account mysql itself, behind a command (strace, a limit).
# shellcheck disable=SC2086
start_as_mysql() { # start_as_mysql COMMAND… -- OPTION…
  local before=()
  while [ "$1" != -- ]; do before+=("$1"); shift; done; shift
  : > "$LOG"; chown mysql:mysql "$LOG"
  setpriv --reuid mysql --regid mysql --init-groups "${before[@]}" mysqld --no-defaults --datadir=$DATA \
    --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid --skip-networking --mysqlx=OFF $SMALL --log-error=$LOG "$@" &
  SERVER=$!
  wait_for 90 mysqladmin -uroot -S $SOCKET ping
}

# with_role component|plugin [OPTION…]: a server with the SQL functions; the role is in ROLE.
with_role() {
  ROLE=$1; shift
  reset_all; make_passphrase
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  if [ "$ROLE" = component ]; then component_manifest; else plugin_my_cnf; fi
  fresh_data
  start_server "$@"
  install_udf
  if [ "$ROLE" = plugin ]; then sed 's/component_keyring_ward.so/keyring_ward.so/' /kw/share/install.sql; else cat /kw/share/install.sql; fi | sql
}
# The plugin role by an option file, with the passphrase of make_passphrase.
plugin_my_cnf() {
  printf '[mysqld]\nearly-plugin-load=keyring_ward.so\nloose_keyring_ward_backend=file\nloose_keyring_ward_path=%s\n' "$KEYS/keyring.ward" > /etc/my.cnf
  echo "loose_keyring_ward_file_passphrase_file=$KEYS/passphrase" >> /etc/my.cnf
  FIRST=--defaults-file=/etc/my.cnf
}

# From the next start on the server's clock is what clock says: of the dates alone, waits take as long as ever.
with_clock() {
  local library; library=$(echo /usr/lib/*/faketime/libfaketimeMT.so.1)
  [ -e "$library" ] || fail "libfaketime is not here: scripts/test.sh installs it"
  clock +0
  # In the place of the subshell, so that the server has its number.
  eval "mysqld() { exec env LD_PRELOAD=$library FAKETIME_TIMESTAMP_FILE=/tmp/kw-clock FAKETIME_CACHE_DURATION=1 FAKETIME_DONT_FAKE_MONOTONIC=1 \
    FAKETIME_DONT_RESET=1 mysqld \"\$@\"; }"
}
clock() { # clock +DAYSd: a server that runs has it within a second
  echo "$1" > /tmp/kw-clock.new; chmod 644 /tmp/kw-clock.new; mv /tmp/kw-clock.new /tmp/kw-clock
  CLOCK=${1#+}; CLOCK=${CLOCK%d}
  [ -z "${SERVER:-}" ] || wait_for 20 has_clock || fail "the server's clock is not at $1"
}
has_clock() { local day; day=$(date -u -d "+$CLOCK days" +%F); [ "$(sql -e "SELECT UTC_DATE()")" = "$day" ]; }

# run_tests [NAME…]: all functions t_NAME, or the named ones; ends the script with "N passed, N failed".
run_tests() {
  local tests=("$@") test started rc
  [ ${#tests[@]} -gt 0 ] || mapfile -t tests < <(declare -F | sed -n 's/^declare -f t_//p')
  for test in "${tests[@]}"; do
    started=$SECONDS
    set +e
    (set -e; trap stop_server EXIT; FIRST=; "t_$test") > /tmp/kw-test.out 2>&1
    rc=$?
    if [ $rc = 0 ]; then
      PASSED=$((PASSED + 1)); echo "ok      $test ($((SECONDS - started)) s)"
      grep '^    ' /tmp/kw-test.out
    else
      FAILED=$((FAILED + 1)); echo "FAILED  $test"; sed 's/^/        /' /tmp/kw-test.out | tail -15
      # What a keyring says of itself, wherever it stands; then how the log ends.
      { grep KW- "$LOG" | tail -4; tail -8 "$LOG"; } | cut -c1-500 | sed 's/^/        log: /'
    fi
    own_servers | xargs -r kill -9 2>/dev/null
    set +e
  done
  echo "$PASSED passed, $FAILED failed"
  [ $FAILED = 0 ]
}
