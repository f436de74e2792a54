#!/bin/bash
# The audit log with a real server: who it says it was, that no call waits for it, and that each acknowledged change is in it once
# whatever dies when.
#   audit-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
AUDIT=$KEYS/audit.log
as_mysql() { setpriv --reuid mysql --regid mysql --init-groups env HOME=/tmp "$@"; }

# with_log [MEMBER…]: a component with a log, and more members in its configuration; a server that serves.
with_log() {
  reset_all; make_passphrase
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  local more="\"audit_file\": \"$AUDIT\","; for member; do more+=" $member,"; done
  sed -i "1s|{|{ $more|" "$CONFIG"
  component_manifest
  fresh_data
  start_server
  install_udf
  sql < /kw/share/install.sql
}
key() { keyring-ward audit public-key --config "$CONFIG" > /tmp/kw-audit.pem 2>/dev/null; }
# verify CODE [OPTION…]: the log is checked without a secret.
verify() {
  local want=$1 code=0; shift
  key || fail "no public key"
  keyring-ward audit verify "$AUDIT" --public-key /tmp/kw-audit.pem "$@" > /tmp/kw-verify 2>&1 || code=$?
  [ $code = "$want" ] || { cat /tmp/kw-verify; fail "verify: $code instead of $want"; }
}
show() { keyring-ward audit show "$AUDIT" --json "$@"; }
# The log has all that was told so far.
said() { show "$@" | grep -q .; }
has() { wait_for 20 said "$@" || fail "the log has nothing of: $*"; }
# actor EVENT KEY: who it says it was, the last time.
actor() { has --event "$1" --key "$2"; show --event "$1" --key "$2" | tail -1 | sed 's/.*"actor":"\([^"]*\)".*/\1/'; }
state() { status_row Audit_state; }
in_state() { wait_for 30 is_state "$1" || fail "the log is '$(state)', not '$1': $(status_row Audit_error)"; }
is_state() { [ "$(state)" = "$1" ]; }
generate() { expect "generate $1" "$(sql -e "SELECT keyring_key_generate('$1','AES',32)")" 1; }
fetch() { expect "fetch $1" "$(sql -e "SELECT LENGTH(keyring_key_fetch('$1'))")" 32; }
logger() { for task in /proc/"$SERVER"/task/*; do if [ "$(cat "$task/comm")" = kw-audit ]; then basename "$task"; fi; done; }

# The table of who the log says it was.
t_who_it_was() {
  with_log '"audit_reads": "all"'
  sql -e "CREATE DATABASE d; CREATE USER app@'%' IDENTIFIED BY 'app'; GRANT EXECUTE ON *.* TO app@'%'; GRANT INSERT, CREATE, TRIGGER ON d.* TO app@'%';
    CREATE USER definer@localhost ACCOUNT LOCK; GRANT EXECUTE ON *.* TO definer@localhost; GRANT SELECT, INSERT, UPDATE, TRIGGER ON d.* TO definer@localhost; GRANT EVENT ON d.* TO definer@localhost;
    CREATE TABLE d.t (a INT);
    CREATE DEFINER=definer@localhost PROCEDURE d.make(k TEXT) SQL SECURITY DEFINER DO keyring_key_generate(k,'AES',32);
    CREATE DEFINER=definer@localhost TRIGGER d.g BEFORE INSERT ON d.t FOR EACH ROW SET NEW.a = keyring_key_generate(CONCAT('trigger',NEW.a),'AES',32)"
  as_app() { mysql -uapp -papp -S $SOCKET --batch --skip-column-names -e "$1" 2>&1 | { grep -v "Using a password" || true; }; }
  generate plain; as_app "SELECT keyring_key_generate('own','AES',32)"
  as_app "CALL d.make('routine')"
  as_app "INSERT INTO d.t VALUES (1)"
  sql -e "SET GLOBAL event_scheduler=ON; CREATE DEFINER=definer@localhost EVENT d.e ON SCHEDULE AT NOW() DO CALL d.make('event')"
  local row who
  while read -r name want; do
    who=$(actor key_added "$name")
    # shellcheck disable=SC2254 # a pattern
    case "$who" in $want) ;; *) fail "$name: '$who' is no '$want'" ;; esac
    echo "    $name: $who"
  done <<'ROWS'
plain root@localhost*from*socket*#*
own app@localhost*as*app@%*from*socket*#*
routine app@localhost*as*definer@localhost*from*socket*#*
trigger1 app@localhost*as*definer@localhost*from*socket*#*
event thread*as*definer@localhost*#*
ROWS
  sql -e "CREATE TABLE d.e (a INT) ENCRYPTION='Y'"
  innodb() { show --event key_added | grep INNODBKey; }
  wait_for 20 innodb || fail "InnoDB's key is not told"
  row=$(innodb | tail -1)
  case "$row" in *'"actor":"server for root@localhost from socket #'*) ;; *) fail "InnoDB's: $row" ;; esac
  echo "    INNODBKey: $(echo "$row" | sed 's/.*"actor":"\([^"]*\)".*/\1/')"
  # Reads, and what is not there.
  fetch plain
  expect "reader" "$(actor key_read plain | cut -d' ' -f1)" root@localhost
  sql -e "SELECT keyring_key_remove('plain')" >/dev/null
  expect "remover" "$(actor key_removed plain | cut -d' ' -f1)" root@localhost
  stop_server
  verify 0
}

# A summary has one line for a caller and a key, with the number.
t_reads_in_summary() {
  with_log
  generate k
  local n; for n in 1 2 3 4 5; do fetch k; done
  stop_server
  expect "lines" "$(show --event key_read --key k | wc -l)" 1
  case "$(show --event key_read --key k)" in *'"count":5'*) ;; *) fail "$(show --event key_read --key k)" ;; esac
  verify 0
  keyring-ward audit exposed "$AUDIT" --account root@localhost | grep -q "^k	root@localhost	5	" || fail "exposed"
}

# The disk hangs in the middle of a sync: keys are made and read, and the log goes on afterwards.
t_a_disk_that_hangs() {
  with_log
  generate before
  in_state writing
  strace -p "$(logger)" -e trace=fdatasync -e inject=fdatasync:delay_enter=15000000:when=1 -o /dev/null 2>/dev/null & local strace=$!
  wait_for 10 grep -q "TracerPid:.*[1-9]" "/proc/$SERVER/task/$(logger)/status" || fail "no strace"
  generate hanging
  local begin=$SECONDS n
  for n in $(seq 1 50); do generate "h$n"; fetch "h$n"; done
  [ $((SECONDS - begin)) -lt 12 ] || fail "50 keys took $((SECONDS - begin)) s"
  expect "in the log meanwhile" "$(show --event key_added --key h50 | wc -l)" 0
  echo "    50 generates and fetches while the log's sync hangs: $((SECONDS - begin)) s"
  wait_for 40 said --event key_added --key h50 || fail "it does not go on"
  kill $strace 2>/dev/null; wait $strace 2>/dev/null || true
  stop_server
  verify 0
  expect "each once" "$(show --event key_added | grep -c '"key":"h[0-9]*"')" 50
}

# No room, a disk that fails, a folder that nobody may write to.
t_a_log_that_can_not_be_written() {
  local fault
  for fault in pwrite64:error=ENOSPC fdatasync:error=EIO; do
    with_log
    generate before
    in_state writing
    strace -p "$(logger)" -e trace="${fault%%:*}" -e inject="$fault" -o /dev/null 2>/dev/null & local strace=$!
    wait_for 10 grep -q "TracerPid:.*[1-9]" "/proc/$SERVER/task/$(logger)/status" || fail "no strace"
    generate meanwhile
    in_state failing
    fetch meanwhile; generate more
    kill $strace; wait $strace 2>/dev/null || true
    in_state writing
    has --event key_added --key more
    stop_server
    verify 0
    expect "each once" "$(show --event key_added | grep -cE '"key":"(before|meanwhile|more)"')" 3
    echo "    $fault: it serves, and the log goes on"
  done
  # From the start on.
  stop_server; rm -f "$AUDIT"*; mkdir "$AUDIT"
  start_server
  generate later
  in_state failing
  log_has "it is a folder"
  rmdir "$AUDIT"
  in_state writing
  has --event key_added --key later
}

# What accounts ask for is refused then, if that is wanted; the server itself goes on.
t_a_log_that_is_required() {
  with_log '"audit_required": true'
  generate k
  encrypted_table
  in_state writing
  strace -p "$(logger)" -e trace=pwrite64 -e inject=pwrite64:error=ENOSPC -o /dev/null 2>/dev/null & local strace=$!
  wait_for 10 grep -q "TracerPid:.*[1-9]" "/proc/$SERVER/task/$(logger)/status" || fail "no strace"
  sql -e "CREATE TABLE d.u (a INT) ENCRYPTION='Y'; ALTER INSTANCE ROTATE INNODB MASTER KEY"
  in_state failing
  sql_null "SELECT keyring_key_generate('refused','AES',32)"
  log_has "is required (audit_required)"
  sql -e "CREATE TABLE d.v (a INT) ENCRYPTION='Y'; ALTER INSTANCE ROTATE INNODB MASTER KEY; SELECT * FROM d.t" >/dev/null
  kill $strace; wait $strace 2>/dev/null || true
  in_state writing
  generate allowed
}

# A folder that is not there at the start is a log that can't be written, and not one whose keyring is still to come.
t_a_folder_that_is_not_there() {
  local AUDIT=$KEYS/logs/audit.log
  with_log '"audit_required": true'
  sql -e "DO keyring_key_generate('first','AES',32)"
  in_state failing
  sql_null "SELECT keyring_key_generate('refused','AES',32)"
  encrypted_table
  mkdir "$KEYS/logs"; chown mysql:mysql "$KEYS/logs"; chmod 700 "$KEYS/logs"
  in_state writing
  generate allowed
}

# What was asked for and is not there was not read.
t_what_is_not_there_is_not_read() {
  with_log '"audit_reads": "all"'
  generate k
  sql -e "SELECT keyring_ward_encrypt('nothing', 'x')" 2>/dev/null && fail "sealed with nothing"
  sql -e "SELECT keyring_ward_public_key('nobody')" 2>/dev/null && fail "a public half of nothing"
  sql -e "DO keyring_ward_key_create('ssn', CURRENT_USER(), 'AES', 32), LENGTH(keyring_ward_encrypt('ssn', 'x'))"
  local key want
  while read -r key want; do
    has --event key_used --key "$key"
    case "$(show --event key_used --key "$key")" in *"\"result\":\"$want\""*) ;; *) fail "$key: $(show --event key_used --key "$key")" ;; esac
  done <<< "nothing absent
nobody absent
ssn ok"
}

t_a_file_that_is_removed_or_replaced() {
  with_log
  generate a
  in_state writing
  has --event key_added --key a
  mv "$AUDIT" "$KEYS/moved"
  generate b
  has --event key_added --key b
  # Both together are whole.
  key
  keyring-ward audit verify "$KEYS/moved" "$AUDIT" --public-key /tmp/kw-audit.pem > /tmp/kw-verify || { cat /tmp/kw-verify; fail "both"; }
  mv "$AUDIT" "$KEYS/moved2"
  echo "not ours" > "$AUDIT"; chown mysql:mysql "$AUDIT"
  generate c
  in_state failing
  log_has "was replaced by another file"
  expect "it is not touched" "$(cat "$AUDIT")" "not ours"
  rm "$AUDIT"
  in_state writing
  has --event key_added --key c
  ln -s /etc/passwd "$KEYS/link"
}

# SHUTDOWN closes it, STOP and CONT change nothing, a daemon has it.
t_the_life_of_the_thread() {
  with_log
  generate a
  in_state writing
  kill -STOP "$SERVER"; kill -CONT "$SERVER"
  generate b
  has --event key_added --key b
  sql -e "SHUTDOWN"; wait "$SERVER" || fail "the server's exit"
  SERVER=
  verify 0
  grep -q "Closed        yes" /tmp/kw-verify || fail "it was not closed"
  log_lacks "ERROR"
  : > "$LOG"; chown mysql:mysql "$LOG"
  # shellcheck disable=SC2086
  mysqld --no-defaults --user=mysql --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid --skip-networking --mysqlx=OFF $SMALL --log-error=$LOG --daemonize || fail "no daemon"
  SERVER=$(cat /run/mysqld/mysqld.pid)
  generate c
  has --event key_added --key c
  sql -e "SHUTDOWN"
  wait_for 30 no_servers || fail "the daemon does not stop"
  SERVER=
  verify 0
}

# RELOAD goes on in the same chain; another way to tell of reads, and none.
t_reload() {
  with_log
  generate a; has --event key_added --key a
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  generate b; has --event key_added --key b
  sed -i 's/"audit_file"/"audit_reads": "all", "audit_file"/' "$CONFIG"
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  fetch a; has --event key_read --key a
  expect "each" "$(show --event key_read --key a | grep -c .)" 1
  sed -i 's/"audit_reads": "all", "audit_file": "[^"]*",//' "$CONFIG"
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  in_state off
  generate c
  stop_server
  verify 0
  expect "c" "$(show --key c | wc -l)" 0
}

more_acked() { [ "$(wc -l < /tmp/kw-acked)" -gt "$n" ]; }
# kill -9 under load: each change that a client heard "ok" of is in the log once, and the log is good.
t_kill_9_under_load() {
  with_log
  : > /tmp/kw-acked; : > /tmp/kw-removed
  local life client n=0
  for life in $(seq 1 "$(many 20 200)"); do
    for client in 1 2 3; do
      # One statement a connection: what is written behind it was acknowledged.
      (i=0; while :; do i=$((i + 1)); k=l${life}c${client}n$i
        [ "$(sql -e "SELECT keyring_key_generate('$k','AES',16)" 2>/dev/null)" = 1 ] || exit
        echo "$k" >> /tmp/kw-acked
        if [ $((i % 3)) = 0 ]; then
          [ "$(sql -e "SELECT keyring_key_remove('$k')" 2>/dev/null)" = 1 ] || exit
          echo "$k" >> /tmp/kw-removed
        fi
      done) & 
    done
    wait_for 60 more_acked || fail "no key is made"
    sleep "0.$((RANDOM % 9 + 1))"
    n=$(wc -l < /tmp/kw-acked)
    kill_server
    wait
    # Now and then the file is written anew before the log has it all.
    if [ $((life % 5)) = 0 ]; then as_mysql keyring-ward compact --config "$CONFIG" --datadir "$DATA" >/dev/null || fail "compact"; fi
    start_server
  done
  generate last; has --event key_added --key last
  stop_server
  verify 8 --with-keyring --config "$CONFIG"
  show --event key_added | sed 's/.*"key":"\([^"]*\)".*/\1/' | sort > /tmp/kw-told
  expect "told twice" "$(uniq -d /tmp/kw-told | wc -l)" 0
  expect "never told" "$(sort -u /tmp/kw-acked | comm -23 - /tmp/kw-told | wc -l)" 0
  show --event key_removed | sed 's/.*"key":"\([^"]*\)".*/\1/' | sort > /tmp/kw-gone
  expect "removals told twice" "$(uniq -d /tmp/kw-gone | wc -l)" 0
  expect "removals never told" "$(sort -u /tmp/kw-removed | comm -23 - /tmp/kw-gone | wc -l)" 0
  echo "    $(wc -l < /tmp/kw-acked) keys made and $(wc -l < /tmp/kw-removed) removed in $life lives: each told once, $(grep -c '^Gap' /tmp/kw-verify) gaps"
}

# A damaged log keeps nobody from starting.
t_a_server_starts_with_every_log() {
  with_log
  generate a; encrypted_table
  stop_server
  local kind
  cp -a "$AUDIT" /tmp/kw-good
  for kind in empty garbage cut older another readonly; do
    rm -f "$AUDIT"*; cp -a /tmp/kw-good "$AUDIT"
    case $kind in
      empty) : > "$AUDIT" ;;
      garbage) head -c 100000 /dev/urandom > "$AUDIT" ;;
      cut) truncate -s -50 "$AUDIT" ;;
      older) sed -i 3q "$AUDIT" ;;
      another) sed -i 's/"keyring":"[0-9a-f]*"/"keyring":"00"/' "$AUDIT" ;;
      readonly) chmod 400 "$AUDIT"; chown root:root "$AUDIT" ;;
    esac
    start_server || fail "$kind: it does not start"
    expect "$kind: row" "$(row)" one
    generate "$kind"
    case $kind in readonly) in_state failing ;; *) in_state writing; has --event key_added --key "$kind" ;; esac
    stop_server
    echo "    $kind: it starts and serves$(show --event chain_restarted | sed 's/.*"detail":"\([^"]*\)".*/; \1/' | tail -1)"
  done
}

# What it costs: nanoseconds of a fetch and microseconds of a generate, without a log and with each kind. One server, in turns, the least
# of each: what else the machine does meets all of them.
t_costs() {
  with_log
  generate k; fetch k
  cp "$CONFIG" /tmp/kw-config
  declare -A fetch generate
  local round kind took
  for round in 1 2 3 4 5 6 7 8; do
    for kind in off none summary all; do
      if [ $kind = off ]; then sed 's/"audit_file": "[^"]*",//' /tmp/kw-config > "$CONFIG"
      else sed "s/\"audit_file\"/\"audit_reads\": \"$kind\", \"audit_file\"/" /tmp/kw-config > "$CONFIG"; fi
      sql -e "ALTER INSTANCE RELOAD KEYRING"
      took=$(sql -e "SET @t = NOW(6); DO BENCHMARK(20000, keyring_key_fetch('k')); SELECT TIMESTAMPDIFF(MICROSECOND, @t, NOW(6))" | tail -1)
      [ "$took" -ge "${fetch[$kind]:-999999999}" ] || fetch[$kind]=$took
      took=$(sql -e "SET @t = NOW(6), @n = 0; DO BENCHMARK(50, keyring_key_generate(CONCAT('$kind$round-', @n := @n + 1), 'AES', 32)); SELECT TIMESTAMPDIFF(MICROSECOND, @t, NOW(6))" | tail -1)
      [ "$took" -ge "${generate[$kind]:-999999999}" ] || generate[$kind]=$took
    done
  done
  for kind in off none summary all; do echo "    $kind: a fetch $((fetch[$kind] / 20)) ns, a generate $((generate[$kind] / 50)) us"; done
}

run_tests "$@"
