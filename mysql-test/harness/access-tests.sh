#!/bin/bash
# The access policy with a real server: who may do what with which keys, by socket and network, in routines, events and triggers, as
# component and as plugin; what is bad about a policy takes nothing away but access; nothing waits for GRANT.
#   access-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
. /kw/mysql-test/harness/policy-lib.sh

ways_of_a_call() {
  policy owner '{ "name": "not-by-tcp", "effect": "deny", "operations": ["fetch", "remove"], "networks": ["127.0.0.0/8"], "keys": [{ "owner": "app@%" }] }' \
    '{ "name": "not-bob", "effect": "deny", "operations": ["*"], "logins": ["bob@*"], "accounts": ["keeper@localhost"] }'
  # shellcheck disable=SC2086
  with_role "$1" $NETWORK
  users app keeper@localhost bob
  is 1 as app "SELECT keyring_key_generate('k', 'AES', 16)"
  is 16 as app "$LENGTH"
  is NULL over app "$LENGTH"
  log_has "'not-by-tcp'"
  # Denied is not absent: nothing takes the key's place, and nothing is gone.
  is NULL over app "SELECT keyring_key_generate('k', 'AES', 16)"
  is NULL over app "SELECT keyring_key_remove('k')"
  is 16 as app "$LENGTH"
  is 1 over app "SELECT keyring_key_generate('other', 'AES', 16)"
  # A definer's routine acts for the definer; who has logged in is known all the same.
  is 1 as keeper "SELECT keyring_key_generate('k', 'AES', 24)"
  sql -e "CREATE DATABASE d; GRANT ALL ON d.* TO app, bob, keeper@localhost;
    CREATE DEFINER=keeper@localhost FUNCTION d.f() RETURNS INT READS SQL DATA RETURN LENGTH(keyring_key_fetch('k'))"
  is 24 as app "SELECT d.f()"
  is NULL as bob "SELECT d.f()"
  log_has "'not-bob'"
  # A trigger acts for its definer, too; and an event, in which nobody has logged in.
  sql --delimiter=// -e "CREATE TABLE d.t (a INT)//
    CREATE DEFINER=keeper@localhost TRIGGER d.i BEFORE INSERT ON d.t FOR EACH ROW SET NEW.a = LENGTH(keyring_key_fetch('k'))//
    SET GLOBAL event_scheduler = ON//
    CREATE TABLE d.e (a INT)//
    CREATE DEFINER=keeper@localhost EVENT d.e ON SCHEDULE AT NOW() DO INSERT INTO d.e VALUES (LENGTH(keyring_key_fetch('k')))"
  as app "INSERT INTO d.t VALUES (0)"
  as bob "INSERT INTO d.t VALUES (0)"
  is "24
NULL" sql -e "SELECT a FROM d.t ORDER BY a DESC"
  wait_for 30 sh -c "[ -n \"\$(mysql -uroot -S $SOCKET -Nse 'SELECT a FROM d.e')\" ]" || fail "the event"
  is 24 sql -e "SELECT a FROM d.e"
  # What a change's record says of who it was.
  admin "key_check('k', 'keeper@localhost')"
  case "$SAID" in *'"changed_by":"keeper@localhost from socket #'*) ;; *) fail "the actor: $SAID" ;; esac
  admin "key_check('other', 'app@%')"
  case "$SAID" in *'"changed_by":"app@'*' as app@% from 127.0.0.1 #'*) ;; *) fail "the actor: $SAID" ;; esac
  # The server's own keys are nobody's business.
  encrypted_table_of_d
}
encrypted_table_of_d() {
  sql -e "CREATE TABLE d.secret (a INT PRIMARY KEY, b TEXT) ENCRYPTION='Y'; INSERT INTO d.secret VALUES (1, 'one'); ALTER INSTANCE ROTATE INNODB MASTER KEY"
  is one sql -e "SELECT b FROM d.secret"
  local key; key=$(sql -e "SELECT KEY_ID FROM performance_schema.keyring_keys WHERE KEY_ID LIKE 'INNODBKey%' LIMIT 1")
  admin "key_check('$key', '')"
  case "$SAID" in *'"changed_by":"server for root@localhost from socket #'*) ;; *) fail "who made the server's key: $SAID" ;; esac
}
t_ways_of_a_call_of_a_component() { ways_of_a_call component; }
t_ways_of_a_call_of_a_plugin() { ways_of_a_call plugin; }

# Names of accounts that are hard to write.
t_names() {
  policy deny '{ "name": "own", "effect": "allow", "operations": ["*"], "keys": [{ "own": true }], "accounts": ["o'"'"'n\"e`il@localhost", "a@b@localhost", "x\\*y@localhost", "@localhost", "%@%"] }' \
    "{ \"name\": \"long\", \"effect\": \"allow\", \"operations\": [\"*\"], \"accounts\": [\"$(printf 'é%.0s' {1..32})@$(printf 'h%.0s' {1..255})\", \"u@l?calhost\"] }" \
    '{ "name": "root", "effect": "allow", "operations": ["list"], "accounts": ["root@localhost"] }'
  with_role component
  local user
  for user in "o'n\"e\`il" 'a@b' 'x*y' u '%'; do
    local name=${user//\'/\'\'} host=localhost
    [ "$user" != % ] || host=%
    users "'$name'@'$host'"
    is 1 as "$user" "SELECT keyring_key_generate('k', 'AES', 16)"
    is 16 as "$user" "$LENGTH"
  done
  # What only looks like one of them.
  users "'xzy'@'localhost'" "'U'@'localhost'"
  is NULL as xzy "SELECT keyring_key_generate('k', 'AES', 16)"
  is NULL as U "SELECT keyring_key_generate('k', 'AES', 16)"
  # An anonymous account has an empty name, whoever logs in.
  sql -e "CREATE USER ''@'localhost' IDENTIFIED BY 'pw'; GRANT EXECUTE ON *.* TO ''@'localhost'"
  is 1 as whoever "SELECT keyring_key_generate('k', 'AES', 16)"
  is 16 as another "$LENGTH"
  admin "key_check('k', '@localhost')"
  case "$SAID" in *'"changed_by":"whoever@localhost as @localhost from socket #'*) ;; *) fail "the actor: $SAID" ;; esac
}

# A proxy user has the rights of another account, and its own login.
t_proxy_user() {
  policy owner '{ "name": "not-the-proxy", "effect": "deny", "operations": ["fetch"], "logins": ["front@*"] }'
  with_role component --check-proxy-users=ON --sha256-password-proxy-users=ON
  users app@localhost
  sql -e "CREATE USER front@localhost IDENTIFIED WITH sha256_password BY 'pw'; GRANT PROXY ON app@localhost TO front@localhost" || fail "the proxy"
  is 1 as app "SELECT keyring_key_generate('k', 'AES', 16)"
  is "front@localhost	app@localhost" as front "SELECT USER(), CURRENT_USER()"
  is NULL as front "$LENGTH"
  log_has "'not-the-proxy'"
  is 16 as app "$LENGTH"
}

# Hours, and a maintenance that begins and ends, by the server's own clock.
t_windows() {
  local before after
  before=$(date -u -d '-1 hour' +%FT%TZ) after=$(date -u -d '+1 hour' +%FT%TZ)
  policy deny "{ \"name\": \"now\", \"effect\": \"allow\", \"operations\": [\"*\"], \"from\": \"$before\", \"until\": \"$after\" }"
  with_role component
  users app
  is 1 as app "SELECT keyring_key_generate('k', 'AES', 16)"
  policy deny "{ \"name\": \"over\", \"effect\": \"allow\", \"operations\": [\"*\"], \"until\": \"$before\" }"
  reload
  is NULL as app "$LENGTH"
  log_has "no rule of the policy allows it"
  policy deny "{ \"name\": \"hours\", \"effect\": \"allow\", \"operations\": [\"fetch\"], \"hours\": [\"$(date -u +%H):00-$(date -u -d '+2 hours' +%H):00\"] }"
  reload
  is 16 as app "$LENGTH"
  policy deny "{ \"name\": \"hours\", \"effect\": \"allow\", \"operations\": [\"fetch\"], \"hours\": [\"$(date -u -d '+2 hours' +%H):00-$(date -u -d '+3 hours' +%H):00\"] }"
  reload
  is NULL as app "$LENGTH"
}

# A key of another account, by our functions, with a privilege that a role has.
shares_keys() {
  policy owner '{ "name": "share", "effect": "allow", "operations": ["use"], "keys": [{ "owner": "keeper@localhost", "name": "ssn" }], "privileges": ["KEYRING_WARD_USE_HR"] }' \
    '{ "name": "share-plain", "effect": "allow", "operations": ["fetch"], "keys": [{ "owner": "keeper@localhost", "name": "plain" }], "accounts": ["app@%"] }' \
    '{ "name": "never", "effect": "deny", "operations": ["use"], "keys": [{ "name": "never" }] }'
  with_role "$1"
  if [ "$1" = component ]; then
    sql < /kw/share/uninstall.sql
    sql -e "INSTALL COMPONENT 'file://component_keyring_ward_sql'"
  fi
  users app keeper@localhost
  sql -e "CREATE ROLE hr"
  admin "key_create('ssn', 'keeper@localhost', 'AES', 32)"
  admin "key_create('never', 'app@%', 'AES', 32)"
  is 1 as keeper "SELECT keyring_key_generate('plain', 'AES', 24)"
  if [ "$1" = component ]; then
    # The policy's own privileges are there as soon as the component is.
    sql -e "GRANT KEYRING_WARD_USE_HR ON *.* TO hr; GRANT hr TO app" || fail "the privilege of the policy"
    case "$(as app "SELECT keyring_ward_encrypt('keeper@localhost/ssn', 'x')")" in *KW-0013*"no rule"*) ;; *) fail "the role is not active" ;; esac
    is "secret" as app "SET ROLE hr; SELECT CAST(keyring_ward_decrypt('keeper@localhost/ssn', keyring_ward_encrypt('keeper@localhost/ssn', 'secret')) AS CHAR)"
    is "1" as app "SET ROLE hr; SELECT keyring_ward_hmac('keeper@localhost/ssn', 'x') = keyring_ward_hmac('keeper@localhost/ssn', 'x')"
    # What one account seals, the other opens: it is one key.
    local sealed; sealed=$(as app "SET ROLE hr; SELECT HEX(keyring_ward_encrypt('keeper@localhost/ssn', 'shared'))")
    is "shared" as keeper "SELECT CAST(keyring_ward_decrypt('ssn', UNHEX('$sealed')) AS CHAR)"
    case "$(as app "SET ROLE hr; SELECT keyring_ward_key_fetch('keeper@localhost/ssn')")" in *KW-0013*) ;; *) fail "fetched with a rule for use" ;; esac
    # The role is gone in the next statement, not in a minute.
    sql -e "REVOKE hr FROM app"
    case "$(as app "SELECT keyring_ward_encrypt('keeper@localhost/ssn', 'x')")" in *KW-0013*) ;; *) fail "the role is revoked" ;; esac
  fi
  is 24 as app "SELECT LENGTH(keyring_ward_key_fetch('keeper@localhost/plain'))"
  # Who may use a key by our functions holds none: one's own takes a rule as well.
  case "$(as keeper "SELECT keyring_ward_key_fetch('plain')")" in *KW-0013*) ;; *) fail "fetched without a rule" ;; esac
  case "$(as app "SELECT keyring_ward_key_fetch('keeper@localhost/other')")" in *KW-0013*) ;; *) fail "another key" ;; esac
  case "$(as app "SELECT keyring_ward_key_fetch('keeper@localhost/plain2')")" in *KW-0013*) ;; *) fail "no rule" ;; esac
  is 1 as keeper "SELECT keyring_key_remove('plain')"
  case "$(as app "SELECT keyring_ward_key_fetch('keeper@localhost/plain')")" in *KW-0001*) ;; *) fail "no key" ;; esac
  denied never as app "SELECT keyring_ward_encrypt('never', 'x')"
  # The stock functions know no other account's keys, whatever a rule says.
  is NULL as app "SELECT keyring_key_fetch('plain')"
  printf '{ "version": 1, "default": "owner" }' > $POLICY; reload
  case "$(as app "SELECT keyring_ward_key_fetch('keeper@localhost/plain')")" in *KW-0013*) ;; *) fail "no rule, and yet" ;; esac
  # Without a policy a name with a / is a name, and our functions hand no key out.
  if [ "$1" = component ]; then
    sed -i 's|"policy_file": "[^"]*", ||' "$CONFIG"; reload
    log_has "There is no policy any more"
    case "$(as app "SELECT keyring_ward_encrypt('keeper@localhost/ssn', 'x')")" in *KW-0001*"app@%"*) ;; *) fail "a name with a /" ;; esac
    is 1 as app "SELECT LENGTH(keyring_ward_encrypt('never', 'x')) > 0"
    case "$(as app "SELECT keyring_ward_key_fetch('never@1')")" in *KW-0013*"no policy"*) ;; *) fail "handed out without a policy" ;; esac
  fi
}
t_shares_keys_of_a_component() { shares_keys component; }
t_shares_keys_of_a_plugin() { shares_keys plugin; }

# Functions of administration keep to it, and lists show what may be listed.
t_administration() {
  policy owner '{ "name": "hands-off", "effect": "deny", "operations": ["rotate", "remove", "generate", "admin"], "environments": ["prod*"], "accounts": ["dev@*"] }' \
    '{ "name": "unseen", "effect": "deny", "operations": ["list"], "keys": [{ "owner": "app@%" }], "accounts": ["dev@*"] }' \
    '{ "name": "test-only", "effect": "deny", "operations": ["generate"], "environments": ["prod*", ""], "accounts": ["tester@*"] }' \
    '{ "name": "no-reseal", "effect": "deny", "operations": ["admin"], "accounts": ["dev@*"], "keys": [{ "owner": "none@x" }] }'
  with_role component
  users dev tester
  sql -e "GRANT ENCRYPTION_KEY_ADMIN ON *.* TO dev, tester; GRANT SELECT ON performance_schema.* TO dev"
  admin "key_create('p', 'x@%', 'AES', 32, '{\"environment\": \"prod\"}')"
  admin "key_create('t', 'x@%', 'AES', 32, '{\"environment\": \"test\"}')"
  admin "key_create('a', 'app@%', 'AES', 32)"
  local answer
  answer=$(as dev "SELECT keyring_ward_key_rotate('p', 'x@%')")
  case "$answer" in *"'hands-off'"*'"ok":false'*) ;; *) fail "rotate prod: $answer" ;; esac
  case "$(as dev "SELECT keyring_ward_key_rotate('t', 'x@%')")" in *'"ok":true'*) ;; *) fail "rotate test" ;; esac
  # A key does not change its place by whoever may not touch it there.
  case "$(as dev "SELECT keyring_ward_key_set('t', 'x@%', '{\"environment\": \"prod\"}')")" in *"'hands-off'"*) ;; *) fail "to prod" ;; esac
  case "$(as dev "SELECT keyring_ward_key_set('p', 'x@%', '{\"environment\": \"test\"}')")" in *"'hands-off'"*) ;; *) fail "from prod" ;; esac
  case "$(as dev "SELECT keyring_ward_key_create('q', 'x@%', 'AES', 32, '{\"environment\": \"prod2\"}')")" in *"'hands-off'"*) ;; *) fail "create in prod" ;; esac
  # What is to be made is in no environment yet, but in the one that it gets.
  case "$(as tester "SELECT keyring_ward_key_create('n', 'x@%', 'AES', 32, '{\"environment\": \"test\"}')")" in *'"ok":true'*) ;; *) fail "create in test" ;; esac
  case "$(as tester "SELECT keyring_ward_key_create('o', 'x@%', 'AES', 32)")" in *"'test-only'"*) ;; *) fail "create in none" ;; esac
  case "$(as dev "SELECT keyring_ward_keys()")" in *'"app@%"'*) fail "app's key is listed" ;; *'"x@%"'*) ;; *) fail "the list" ;; esac
  is 0 as dev "SELECT COUNT(*) FROM performance_schema.keyring_keys WHERE KEY_OWNER = 'app@%'"
  is 1 sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys WHERE KEY_OWNER = 'app@%'"
  # The policy is shown as it was loaded.
  case "$(sql -e "SELECT keyring_ward_policy()")" in *'"state":"in force"'*) ;; *) fail "the policy" ;; esac
  printf '{' > $POLICY
  case "$(sql -e "SELECT keyring_ward_policy()")" in *'"hands-off"'*) ;; *) fail "the policy that was loaded" ;; esac
  case "$(as dev "SELECT keyring_ward_reload()")" in *'"ok":true'*) ;; *) fail "a reload is always allowed" ;; esac
  case "$(sql -e "SELECT keyring_ward_policy()")" in *'"refused":"'*'not JSON'*) ;; *) fail "what was refused" ;; esac
}

# What is bad about a policy takes no table away.
bad_policies() {
  policy owner
  with_role "$1"
  users app
  is 1 as app "SELECT keyring_key_generate('k', 'AES', 16)"
  encrypted_table
  policy owner '{ "name": "deny", "effect": "deny", "operations": ["fetch"] }'; reload
  is NULL as app "$LENGTH"
  local bad
  for bad in '{' '' '[]' '{ "version": 2 }' '{ "version": 1, "default": "owner", "rules": [{ "name": "a" }] }' writable foreign absent folder link; do
    rm -rf $POLICY; policy owner
    case $bad in
      writable) chmod 666 $POLICY ;;
      foreign) chown nobody $POLICY ;;
      absent) rm $POLICY ;;
      folder) rm $POLICY; mkdir $POLICY ;;
      link) mv $POLICY /tmp/kw-policy.json; ln -s /tmp/kw-policy.json $POLICY; chown -h nobody $POLICY ;;
      *) printf '%s' "$bad" > $POLICY ;;
    esac
    # At a RELOAD what was in force stays.
    reload
    is NULL as app "$LENGTH"
    is one row
    case "$(sql -e "SELECT keyring_ward_policy()")" in *'"refused":"'*'"effect":"deny"'*) ;; *) fail "what is in force with '$bad'" ;; esac
  done
  log_has "The policy that was in force before stays in force."
  # A monitor hears of it.
  [ "$(sql -e "SHOW GLOBAL STATUS LIKE 'Keyring_ward_errors'" | cut -f2)" -gt 0 ] || fail "no error is counted"
  case "$(sql -e "SELECT keyring_ward_status()")" in *"access policy"*|*"policy_file"*|*"$POLICY"*) ;; *) fail "the status says nothing of the policy" ;; esac
  # At the start only the server's own keys are served.
  rm -rf $POLICY; printf '{' > $POLICY
  stop_server; start_server || fail "the server does not start"
  is one row
  sql -e "INSERT INTO d.t VALUES (2, 'two'); ALTER INSTANCE ROTATE INNODB MASTER KEY"
  is NULL as app "$LENGTH"
  is NULL as app "SELECT keyring_key_generate('new', 'AES', 16)"
  log_has "serves the server's own keys only"
  case "$(as app "SELECT keyring_ward_key_fetch('k')")" in *KW-0013*"not in order"*) ;; *) fail "our functions" ;; esac
  case "$(sql -e "SELECT keyring_ward_policy()")" in *'"state":"unreadable"'*) ;; *) fail "what is told" ;; esac
  rm -f $POLICY; policy owner; reload
  is 16 as app "$LENGTH"
  # One that mysqld's account can write is taken, and said.
  chown mysql:mysql $POLICY; reload
  log_has "It binds less than it seems"
  is 16 as app "$LENGTH"
}
t_bad_policies_of_a_component() { bad_policies component; }
t_bad_policies_of_a_plugin() { bad_policies plugin; }

# A file that mysqld's account can write does not name the policy.
t_the_local_file_names_no_policy() {
  ROLE=component
  reset_all; make_passphrase
  echo '{ "read_local_config": true }' > "$CONFIG"; component_manifest; fresh_data
  policy owner
  echo "{ \"backend\": \"file\", \"path\": \"$KEYS/keyring.ward\", \"policy_file\": \"$POLICY\", \"file\": { \"passphrase_file\": \"$KEYS/passphrase\" } }" > "$DATA/component_keyring_ward.cnf"
  start_server
  log_has "names policy_file"
}

# Who is not known is refused: without performance_schema the server does not tell who has logged in.
t_without_performance_schema() {
  policy owner
  with_role component --performance-schema=OFF
  users app
  is NULL as app "SELECT keyring_key_generate('k', 'AES', 16)"
  log_has "performance_schema = ON"
  sql -e "CREATE DATABASE d; CREATE TABLE d.t (a INT) ENCRYPTION='Y'"
}

# GRANT and REVOKE beside writers, readers and a policy that names privileges: nobody waits for ever.
t_nothing_waits_for_grant() {
  policy owner '{ "name": "share", "effect": "allow", "operations": ["use"], "keys": [{ "owner": "keeper@localhost" }], "privileges": ["KEYRING_WARD_USE_HR", "KEYRING_WARD_USE"] }' \
    '{ "name": "fetch", "effect": "deny", "operations": ["fetch"], "privileges": ["KEYRING_WARD_USE_HR"] }'
  with_role component
  sql < /kw/share/uninstall.sql
  sql -e "INSTALL COMPONENT 'file://component_keyring_ward_sql'"
  users app keeper@localhost
  admin "key_create('ssn', 'keeper@localhost', 'AES', 32)"
  as app "SELECT keyring_key_generate('k', 'AES', 16)" > /dev/null
  sql -e "CREATE ROLE hr; GRANT hr TO app; GRANT KEYRING_WARD_USE_HR ON *.* TO hr"
  local end=$((SECONDS + $(many 10 120))) pids=()
  loop() { local i=0; while [ $SECONDS -lt $end ]; do i=$((i + 1)); "$@" $i > /dev/null 2>&1 || true; done; echo $i > "/tmp/kw-loop-$BASHPID"; }
  grants() { sql -e "GRANT KEYRING_WARD_USE ON *.* TO app; REVOKE KEYRING_WARD_USE ON *.* FROM app; GRANT hr TO keeper@localhost; REVOKE hr FROM keeper@localhost; FLUSH PRIVILEGES"; }
  writes() { as app "SELECT keyring_key_generate('w$BASHPID-$1', 'AES', 16), keyring_key_remove('w$BASHPID-$1')"; }
  reads() { as app "SELECT LENGTH(keyring_key_fetch('k')), LENGTH(keyring_key_fetch('k'))"; }
  uses() { as app "SET ROLE hr; SELECT LENGTH(keyring_ward_encrypt('keeper@localhost/ssn', 'x')), LENGTH(keyring_ward_hmac('keeper@localhost/ssn', 'y'))"; }
  lists() { sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys; SELECT COUNT(*) FROM performance_schema.keyring_ward_keys; DO keyring_ward_keys()"; }
  ddl() { sql -e "CREATE TABLE IF NOT EXISTS test_$1.t (a INT)" ; sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY; ALTER INSTANCE RELOAD KEYRING"; }
  rm -f /tmp/kw-loop-*
  local each
  for each in grants writes reads uses lists ddl; do loop $each & pids+=($!); done
  wait "${pids[@]}"
  expect "loops that ended" "$(cat /tmp/kw-loop-* | wc -l)" 6
  ! grep -qx 0 /tmp/kw-loop-* || fail "a loop did nothing"
  timeout 20 mysql -uroot -S $SOCKET -e "SELECT 1; GRANT KEYRING_WARD_USE ON *.* TO app" > /dev/null || fail "the server hangs"
  is 16 as app "$LENGTH"
  stop_server
  ! grep '\[ERROR\].*MY-010065' "$LOG" || fail "a service was not given back"
}

# An event that names its transactions looks like an applier: it is bound to whose it is. An administrator's function asks as well.
t_an_event_is_no_applier() {
  policy owner '{ "name": "replica", "effect": "allow", "operations": ["use", "rotate"], "accounts": ["@applier", "repl@%"], "keys": [{ "owner": "app@%", "name": "ssn" }] }'
  with_role component --log-bin=binlog --server-id=1 --event-scheduler=ON
  users app eve repl
  sql -e "CREATE DATABASE d; CREATE TABLE d.o (a INT PRIMARY KEY, b VARBINARY(999)); GRANT ALL ON d.* TO eve, repl; GRANT REPLICATION_APPLIER, SYSTEM_VARIABLES_ADMIN, ENCRYPTION_KEY_ADMIN ON *.* TO eve, repl"
  admin "key_create('ssn', 'app@%', 'AES', 32)"
  # event USER NUMBER VALUE: what an applier's statement would give; nothing where it fails.
  event() {
    as "$1" "DELIMITER //
      CREATE EVENT d.e$2 ON SCHEDULE AT NOW() DO BEGIN
        DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;
        SET gtid_next = 'aaaaaaaa-0000-0000-0000-000000000000:$2'; INSERT INTO d.o VALUES ($2, $3);
        SET gtid_next = 'AUTOMATIC'; INSERT IGNORE INTO d.o VALUES ($2, NULL);
      END//" || true
    wait_for 30 sh -c "[ -n \"\$(mysql -uroot -S $SOCKET -Nse 'SELECT a FROM d.o WHERE a = $2')\" ]" || fail "the event $2"
  }
  event eve 1 "keyring_ward_encrypt('app@%/ssn', 'x')"
  is "NULL" sql -e "SELECT LENGTH(b) FROM d.o WHERE a = 1"
  event repl 2 "keyring_ward_encrypt('app@%/ssn', 'x')"
  is "79" sql -e "SELECT LENGTH(b) FROM d.o WHERE a = 2"
  # With no rule for appliers no function of administration is one's either.
  event repl 3 "keyring_ward_key_rotate('ssn', 'app@%')"
  is "2" sql -e "SELECT JSON_EXTRACT(keyring_ward_keys(), '$.keys[0].current')"
  policy owner; reload
  event repl 4 "keyring_ward_key_rotate('ssn', 'app@%')"
  is "2" sql -e "SELECT JSON_EXTRACT(keyring_ward_keys(), '$.keys[0].current')"
}

# A version is material of somebody's key, by whatever way it comes.
t_versions_of_keys_that_are_denied() {
  policy owner '{ "name": "not-ssn", "effect": "deny", "operations": ["*"], "keys": [{ "owner": "app@%", "name": "ssn" }], "accounts": ["op@%"] }' \
    '{ "name": "no-fetch", "effect": "deny", "operations": ["fetch"], "keys": [{ "name": "ssn" }] }'
  with_role component
  users app op
  sql -e "GRANT KEYRING_WARD_OPERATE, ENCRYPTION_KEY_ADMIN ON *.* TO op" 2> /dev/null || sql -e "GRANT ENCRYPTION_KEY_ADMIN ON *.* TO op"
  admin "key_create('ssn', 'app@%', 'AES', 32)"
  is NULL as app "SELECT keyring_key_fetch('ssn@1')"
  denied no-fetch as app "SELECT keyring_ward_key_fetch('ssn@1')"
  is 79 as app "SELECT LENGTH(keyring_ward_encrypt('ssn', 'x'))"
  # Another keyring has got version 1, and makes a version 2 of its own, whose material is known there.
  local other=(--path "$KEYS/other.ward" --key-file "$KEYS/other-key") public handed message
  (umask 077; head -c 32 /dev/urandom > "$KEYS/other-key"); chown mysql:mysql "$KEYS/other-key"
  member() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
  keyring-ward init "${other[@]}" > /dev/null || fail "the other keyring"
  public=$(keyring-ward transport request "${other[@]}" --name t --json | member public)
  admin "transport_new('t', '$public')"; handed=$SAID
  keyring-ward transport accept "${other[@]}" --message "$(member message <<< "$handed")" --fingerprint "$(sed 's/.*"fingerprint":"\([^"]*\)".*/\1/' <<< "$handed")" > /dev/null || fail "the transport key: $handed"
  admin "transport_seal('t', 'ssn', 'app@%', 1)"
  keyring-ward transport accept "${other[@]}" --message "$(member message <<< "$SAID")" --server-uuid 01234567-89ab-cdef-0123-456789abcdef > /dev/null || fail "version 1: $SAID"
  keyring-ward key rotate "${other[@]}" --name ssn --owner app@% > /dev/null || fail "version 2"
  message=$(keyring-ward transport seal "${other[@]}" --transport t --name ssn --owner app@% --version 2)
  case "$(as op "SELECT keyring_ward_transport_accept('$message')")" in *"'not-ssn'"*'"ok":false'*) ;; *) fail "a version of a key that is denied" ;; esac
  is "1" sql -e "SELECT JSON_EXTRACT(keyring_ward_keys(), '$.keys[0].current')"
  admin "transport_accept('$message')"
  is "2" sql -e "SELECT JSON_EXTRACT(keyring_ward_keys(), '$.keys[0].current')"
}

# The tool says what a server would do.
t_tool() {
  ROLE=none; reset_all
  policy owner '{ "name": "night", "effect": "deny", "operations": ["fetch"], "hours": ["22:00-06:00"], "time_zone": "UTC" }' \
    '{ "name": "shared", "effect": "allow", "operations": ["use"], "privileges": ["P"], "keys": [{ "owner": "a@%" }] }'
  keyring-ward policy check $POLICY | grep -q "2 rules, default owner" || fail "check"
  keyring-ward policy explain $POLICY --account a@% --key a@%/k --operation fetch --at 2026-01-01T23:00:00Z > /tmp/kw-out || fail "explain"
  grep -q "^deny: the rule 'night' says so" /tmp/kw-out || fail "$(cat /tmp/kw-out)"
  keyring-ward policy explain $POLICY --account b@% --key a@%/k --operation use --privilege P --json | grep -q '"answer": "allow"' || fail "by a privilege"
  keyring-ward policy explain $POLICY --account b@% --key a@%/k --operation use --server-function --json | grep -q '"answer": "deny"' || fail "no privilege by the server's functions"
  echo '[{ "account": "a@%", "key": "a@%/k", "operation": "fetch", "at": "2026-01-01T23:00:00Z", "expect": "deny night" }]' > /tmp/kw-table
  keyring-ward policy test $POLICY --expect /tmp/kw-table | grep -q "All 1 expectations are met" || fail "test"
  echo '[{ "account": "a@%", "key": "a@%/k", "operation": "fetch", "at": "2026-01-01T12:00:00Z", "expect": "deny" }]' > /tmp/kw-table
  local rc=0; keyring-ward policy test $POLICY --expect /tmp/kw-table > /dev/null || rc=$?
  expect "unmet" $rc 8
  printf '{' > $POLICY
  rc=0; keyring-ward policy check $POLICY > /tmp/kw-out 2>&1 || rc=$?
  [ $rc != 0 ] && grep -q "not JSON" /tmp/kw-out || fail "a bad one: $rc $(cat /tmp/kw-out)"
}

run_tests "$@"
