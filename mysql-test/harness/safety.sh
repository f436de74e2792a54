#!/bin/bash
# Leak hunt and injected panics with a real server, inside the box: scripts/safety.sh explains it.
#   safety.sh leaks|panics
set -uo pipefail
. /kw/mysql-test/harness/torture-lib.sh
PASSED=0 FAILED=0
verdict() { if [ "$2" = 0 ]; then PASSED=$((PASSED + 1)); echo "ok      $1"; else FAILED=$((FAILED + 1)); echo "FAILED  $1"; fi; }
trap stop_server EXIT

# Reloads until the server takes it; a wrong passphrase before it.
wrong_passphrase_and_reload() {
  cp -p $KEYS/passphrase /tmp/kw-right
  make_passphrase "a wrong passphrase that is tried once"
  sql -e "ALTER INSTANCE RELOAD KEYRING" 2>&1
  mv /tmp/kw-right $KEYS/passphrase
  sql -e "ALTER INSTANCE RELOAD KEYRING"
}

leaks() {
  sh /kw/mysql-test/container/install-ward.sh /kw/target/inject/release
  reset_all; component_manifest; make_passphrase "a passphrase that is looked for in memory"
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""; fresh_data
  start_server --log-error-verbosity=3 || exit 1
  install_udf
  sql -e "SELECT keyring_key_generate('live','AES',32), keyring_key_generate('removed','AES',32), keyring_key_generate('fetched','AES',32)" >/dev/null
  sql -e "CREATE DATABASE d; CREATE TABLE d.t (a INT) ENCRYPTION='Y'; INSERT INTO d.t VALUES (1)"
  # The secrets are computed outside of the server, from its file; the server never tells them.
  $T secrets $KEYS/keyring.ward $KEYS/passphrase live removed fetched > /tmp/kw-secrets || exit 1
  chmod 600 /tmp/kw-secrets
  sql -e "SELECT HEX(keyring_key_fetch('fetched'))" >/dev/null
  sql -e "SELECT keyring_key_store('stored','SECRET','stored-material-0123456789abcdef')" >/dev/null
  printf 'stored %s\n' "$(printf stored-material-0123456789abcdef | od -An -tx1 | tr -d ' \n')" >> /tmp/kw-secrets
  sql -e "SELECT keyring_key_remove('removed')" >/dev/null
  # A failed write, a wrong passphrase, a panic in the middle of a write, reloads.
  sql -e "SELECT keyring_key_generate('live','AES',32), keyring_key_fetch('absent'), keyring_key_generate('x','AES',99999)" >/dev/null 2>&1
  wrong_passphrase_and_reload > /tmp/kw-said 2>&1
  echo publish > /tmp/kw-panic; sql -e "SELECT keyring_key_generate('panicked','AES',32)" >/dev/null 2>&1; rm /tmp/kw-panic
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  # Compaction derives new keys: what the first generation used must be gone as well.
  keyring-ward list --config $CONFIG > /tmp/kw-tool 2>&1; keyring-ward status --config $CONFIG >> /tmp/kw-tool 2>&1; keyring-ward verify --config $CONFIG >> /tmp/kw-tool 2>&1
  sql -e "SELECT * FROM performance_schema.keyring_component_status; SELECT * FROM performance_schema.keyring_keys; SELECT * FROM performance_schema.error_log" > /tmp/kw-rows
  $T hunt $SERVER /tmp/kw-secrets > /tmp/kw-hunt
  grep '^#' /tmp/kw-hunt
  # What a core dump holds: gdb leaves out what the kernel leaves out.
  gcore -o /tmp/kw-core $SERVER >/dev/null 2>&1 || echo "gcore failed"
  echo "label in_guarded_memory elsewhere_in_memory in_core_image in_log_rows_tool"
  local label hex guarded elsewhere core told
  while read -r label hex; do
    read -r guarded elsewhere < <(awk -v l="$label" '$1 == l { print $2, $3 }' /tmp/kw-hunt)
    core=$($JUDGE count "$hex" /tmp/kw-core.$SERVER)
    told=$($JUDGE told "$hex" "$LOG" /tmp/kw-rows /tmp/kw-tool /tmp/kw-said)
    echo "LEAK $label $guarded $elsewhere $core ${told:-0}"
    case $label in
      DEK | record_key | nonce_key | header_key | live) verdict "$label is in guarded memory only" $((guarded == 0 || elsewhere + core + ${told:-0})) ;;
      passphrase | wrapping_key | removed) verdict "$label is nowhere" $((guarded + elsewhere + core + ${told:-0})) ;;
      # MySQL itself keeps copies of what SQL statements carried: only what we tell counts.
      fetched | stored) verdict "$label is not told" $((${told:-0})) ;;
    esac
  done < /tmp/kw-secrets
  # The hunter must be able to find: the fetched key was in a client's answer.
  verdict "the hunter finds what MySQL keeps of a fetched or stored key" "$(awk '($1 == "fetched" || $1 == "stored") && $3 > 0 { n++ } END { print n == 0 }' /tmp/kw-hunt)"
  sql -e "SELECT * FROM d.t" >/dev/null || verdict "the table opens" 1
  stop_server
  rm -f /tmp/kw-core.* /tmp/kw-secrets
  sh /kw/mysql-test/container/install-ward.sh /kw/target/release
}

# Every function of our tables that SQL reaches, and two places within a write.
panics() {
  local point before n=0 bad=0
  sh /kw/mysql-test/container/install-ward.sh /kw/target/inject/release
  reset_all; component_manifest; make_passphrase
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""; fresh_data
  start_server || exit 1
  install_udf; sql < /kw/share/install.sql
  sql -e "SELECT keyring_key_generate('k','AES',32)" >/dev/null
  before=$(sql -e "SELECT HEX(keyring_key_fetch('k'))")
  for point in init fetch_length fetch deinit store remove generate is_valid get_length get next is_initialized load append publish; do
    n=$((n + 1))
    echo $point > /tmp/kw-panic
    sql --force -e "SELECT keyring_key_fetch('k'); SELECT keyring_key_length_fetch('k'); SELECT keyring_key_store('s$n','AES','0123456789abcdef'); SELECT keyring_key_generate('g$n','AES',16);
      SELECT keyring_key_remove('s$n'); SELECT COUNT(*) FROM performance_schema.keyring_keys; SELECT COUNT(*) FROM performance_schema.keyring_component_status; ALTER INSTANCE RELOAD KEYRING" > /tmp/kw-out 2>&1
    rm /tmp/kw-panic
    if ! grep -qE "a panic at|ended unexpectedly" "$LOG" && ! grep -q NULL /tmp/kw-out; then echo "    $point: nothing panicked"; bad=$((bad + 1)); fi
    : > "$LOG"
    if ! kill -0 "$SERVER" 2>/dev/null || [ "$(sql -e 'SELECT 1')" != 1 ]; then echo "    $point: the server is gone"; bad=$((bad + 1)); start_server; continue; fi
    sql -e "ALTER INSTANCE RELOAD KEYRING" || { echo "    $point: no reload"; bad=$((bad + 1)); }
    if [ "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" != "$before" ]; then echo "    $point: the key is another one"; bad=$((bad + 1)); fi
    if [ "$(sql -e "SELECT keyring_key_generate('after$n','AES',16), keyring_key_length_fetch('after$n'), keyring_key_remove('after$n')")" != "1	16	1" ]; then echo "    $point: no writes after it"; bad=$((bad + 1)); fi
  done
  # A panic is told: by Last_error whether a keyring serves or not, and by a SQL function as its error.
  echo 'open the keyring' > /tmp/kw-panic; sql -e "ALTER INSTANCE RELOAD KEYRING" >/dev/null 2>&1; rm /tmp/kw-panic
  case "$(status_row Last_error)" in *"a panic at src/"*) ;; *) echo "    open: Last_error is $(status_row Last_error)"; bad=$((bad + 1)) ;; esac
  echo 'answer a SQL function' > /tmp/kw-panic; sql -e "SELECT keyring_ward_status()" > /tmp/kw-out 2>&1; rm /tmp/kw-panic
  grep -q '"kind":"Internal",.*a panic at src/.*"number":15' /tmp/kw-out || { echo "    sql_function: $(cat /tmp/kw-out)"; bad=$((bad + 1)); }
  echo 'run the command' > /tmp/kw-panic; keyring-ward status --config "$CONFIG" > /tmp/kw-out 2>&1; [ $? = 25 ] || bad=$((bad + 1)); rm /tmp/kw-panic
  grep -q "^KW-0015 Internal: Could not run the command.*a panic at src/" /tmp/kw-out || { echo "    tool: $(cat /tmp/kw-out)"; bad=$((bad + 1)); }
  kill_server; echo 'open the keyring' > /tmp/kw-panic; start_server; rm /tmp/kw-panic
  case "$(status_row Component_status) $(status_row Last_error)" in "Disabled KW-0015 "*"a panic at src/"*) ;; *) echo "    a start: $(status_row Last_error)"; bad=$((bad + 1)) ;; esac
  sql -e "ALTER INSTANCE RELOAD KEYRING" || bad=$((bad + 1))
  [ "$(status_row Last_error)" = None ] || bad=$((bad + 1))
  kill_server; start_server
  [ "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" = "$before" ] || bad=$((bad + 1))
  verdict "a panic in each of $n places leaves server and keys alone" $bad
  stop_server
  sh /kw/mysql-test/container/install-ward.sh /kw/target/release
}

for part; do "$part"; done
echo "$PASSED passed, $FAILED failed"
[ $FAILED = 0 ]
