#!/bin/bash
# The measurements of scripts/bench.sh, inside the box. Prints lines "RESULT <measure> <keyring>
# <keys> <p50> <p99> <samples>", times in microseconds, memory in bytes for each key.
#   bench.sh [--quick] [writes] [fetches] [starts] [million] [logical] [sealed] [access] [reencrypt] [component] [prove] [against]
# Times are taken inside the server by SYSDATE(6), the median of an empty call is subtracted.
set -uo pipefail
. /kw/mysql-test/harness/torture-lib.sh
QUICK=no; [ "${1:-}" = --quick ] && { QUICK=yes; shift; }
MEASURES=${*:-writes fetches starts million logical sealed access reencrypt component prove}
wanted() { case " $MEASURES " in *" $1 "*) ;; *) return 1 ;; esac; }
result() { echo "RESULT $*"; }
many() { if [ $QUICK = yes ]; then echo "$1"; else echo "$2"; fi; }
LEVELS=$(many "0 1000" "0 100 1000 10000 50000 100000")

# p50 and p99 of numbers on standard input, and how many there are.
percentiles() { sort -n | awk '{ v[NR] = $1 } END { if (NR) printf "%.2f %.2f %d", v[int((NR + 1) / 2)], v[int(NR * 0.99 + 0.99)], NR; else print "- - 0" }'; }

procedures() {
  sql -e "CREATE FUNCTION kw_floor RETURNS INTEGER SONAME 'libfloor_udf.so'"
  sql --delimiter=// -e "CREATE DATABASE IF NOT EXISTS kw// CREATE TABLE kw.t (what CHAR(8), us DOUBLE) ENGINE=MEMORY//
    SET SESSION max_heap_table_size=1<<28//
    CREATE PROCEDURE kw.fill(n INT, p TEXT) BEGIN DECLARE i INT DEFAULT 0;
      WHILE i < n DO DO keyring_key_generate(CONCAT(p,i),'AES',32); SET i=i+1; END WHILE; END//
    CREATE PROCEDURE kw.writes(n INT) BEGIN DECLARE i INT DEFAULT 0; DECLARE t DATETIME(6); DECLARE k CHAR(20); DECLARE d DOUBLE;
      WHILE i < n DO
        SET k=CONCAT('w',i);
        SET t=SYSDATE(6); DO LENGTH(k); SET d=TIMESTAMPDIFF(MICROSECOND,t,SYSDATE(6)); INSERT INTO kw.t VALUES ('empty',d);
        SET t=SYSDATE(6); DO kw_floor(); SET d=TIMESTAMPDIFF(MICROSECOND,t,SYSDATE(6)); INSERT INTO kw.t VALUES ('floor',d);
        SET t=SYSDATE(6); DO keyring_key_generate(k,'AES',32); SET d=TIMESTAMPDIFF(MICROSECOND,t,SYSDATE(6)); INSERT INTO kw.t VALUES ('generate',d);
        DO keyring_key_remove(k);
        SET t=SYSDATE(6); DO keyring_key_store(k,'AES','0123456789abcdef0123456789abcdef'); SET d=TIMESTAMPDIFF(MICROSECOND,t,SYSDATE(6)); INSERT INTO kw.t VALUES ('store',d);
        SET t=SYSDATE(6); DO keyring_key_remove(k); SET d=TIMESTAMPDIFF(MICROSECOND,t,SYSDATE(6)); INSERT INTO kw.t VALUES ('remove',d);
        SET i=i+1; END WHILE; END//
    CREATE PROCEDURE kw.fetches(n INT) BEGIN DECLARE i INT DEFAULT 0; DECLARE t DATETIME(6); DECLARE d DOUBLE;
      WHILE i < n DO
        SET t=SYSDATE(6); DO keyring_key_fetch('hot'); SET d=TIMESTAMPDIFF(MICROSECOND,t,SYSDATE(6)); INSERT INTO kw.t VALUES ('fetch',d);
        SET i=i+1; END WHILE; END//
    CREATE PROCEDURE kw.scans(n INT) BEGIN DECLARE i INT DEFAULT 0; DECLARE t DATETIME(6); DECLARE d DOUBLE; DECLARE c INT;
      WHILE i < n DO
        SET t=SYSDATE(6); SELECT COUNT(*) INTO c FROM performance_schema.keyring_keys; SET d=TIMESTAMPDIFF(MICROSECOND,t,SYSDATE(6)); INSERT INTO kw.t VALUES ('scan',d);
        SET i=i+1; END WHILE; END//
    CREATE PROCEDURE kw.write_until_stopped() BEGIN DECLARE i INT DEFAULT 0;
      CREATE TABLE IF NOT EXISTS kw.stop (a INT); 
      WHILE NOT EXISTS (SELECT * FROM kw.stop) DO
        DO keyring_key_generate(CONCAT('bg',i),'AES',32); DO keyring_key_remove(CONCAT('bg',i)); SET i=i+1; END WHILE; END//"
}
samples() { sql -e "SELECT us FROM kw.t WHERE what='$1'"; }
empty_call() { samples empty | percentiles | cut -d' ' -f1; }
# Reports a measure with the empty call's median subtracted.
report() { # report WHAT KEYRING KEYS: of WHAT_million the samples are those of WHAT
  local empty; empty=$(empty_call)
  # shellcheck disable=SC2046
  result "$1" "$2" "$3" $(samples "${1%_million}" | awk -v e="${empty:-0}" '{ print $1 - e }' | percentiles)
}
# Seconds since 1970 when the server's log says that it answers.
ready_at() { date -d "$(grep -o '^[^ ]*Z.*ready for connections' "$LOG" | head -1 | cut -d' ' -f1)" +%s.%N; }
# Start-up in microseconds, from exec to "ready for connections".
start_timed() { local before; before=$(date +%s.%N); start_server --log-error-verbosity=3 || return 1; echo "$(ready_at) $before" | awk '{ printf "%d\n", ($1 - $2) * 1e6 }'; }
rss() { awk '/^VmRSS/ { print $2 * 1024 }' "/proc/$SERVER/status"; }

# The keyring file with N keys, without asking the stock component to write each of them.
populate() { # populate KEYRING N: the server is stopped
  case $1 in
    none) ;;
    ward) start_server || fail start; install_udf; sql -e "CREATE DATABASE kw" ; sql --delimiter=// -e "CREATE PROCEDURE kw.fill(n INT, p TEXT) BEGIN DECLARE i INT DEFAULT 0; WHILE i < n DO DO keyring_key_generate(CONCAT(p,i),'AES',32); SET i=i+1; END WHILE; END//"
      sql -e "CALL kw.fill($2,'base')"; stop_server; rm -f $DATA/keyring_ward.marker ;;
    file) perl -e 'my ($n) = @ARGV; my @h = map { sprintf "%02X", $_ } 0..255;
        print "{\"version\":\"1.0\",\"elements\":[";
        for my $i (0..$n-1) { print "," if $i; print "{\"user\":\"root\@localhost\",\"data_id\":\"base$i\",\"data_type\":\"AES\",\"data\":\"", join("", map { $h[rand 256] } 1..32), "\",\"extension\":[]}" }
        print "]}"' "$2" > $KEYS/stock; [ "$2" = 0 ] && : > $KEYS/stock ;;
  esac
}

# The stock component's file with N keys of the server itself: 32 bytes, names of 12 characters.
stock_file() { # stock_file N FILE
  perl -e 'my ($n) = @ARGV; my @h = map { sprintf "%02X", $_ } 0..255;
    print "{\"version\":\"1.0\",\"elements\":[";
    for my $i (0..$n-1) { print "," if $i; printf "{\"user\":\"\",\"data_id\":\"key-%08d\",\"data_type\":\"AES\",\"data\":\"%s\",\"extension\":[]}", $i, join("", map { $h[rand 256] } 1..32) }
    print "]}"' "$1" > "$2"
  chown mysql:mysql "$2"; chmod 600 "$2"
}

# A million keys: what an import of them takes, what they add to a start and to memory, what a write costs beside them.
# Each figure is compared with the stock component's with the same keys, or with ours at none.
bench_million() {
  local keys rounds round keyring before took none=
  keys=$(many 20000 1000000); rounds=$(many 2 5)
  for keyring in none empty ward file; do
    reset_all
    case $keyring in
      empty | ward) use_keyring ward ;;
      file) use_keyring file; stock_file "$keys" $KEYS/stock ;;
    esac
    if [ $keyring = ward ]; then
      stock_file "$keys" /var/cache/kw-stock
      before=$(date +%s%N)
      keyring-ward import --config "$CONFIG" --from /var/cache/kw-stock > /dev/null || fail "the import of $keys keys"
      result import ward "$keys" $((($(date +%s%N) - before) / 1000)) - 1
      result file_bytes ward "$keys" "$(stat -c %s $KEYS/keyring.ward)" - 1
      rm /var/cache/kw-stock
    fi
    fresh_data
    rm -rf "/var/cache/kw-start-$keyring"; mkdir "/var/cache/kw-start-$keyring"
    cp -a $KEYS "/var/cache/kw-start-$keyring/keys"; cp -a $DATA "/var/cache/kw-start-$keyring/data"
    : > "/tmp/kw-start-$keyring"; : > "/tmp/kw-peak-$keyring"
  done
  sync
  for ((round = 0; round <= rounds; round++)); do
    for keyring in none empty ward file; do
      rm -f "$MANIFEST" "$CONFIG" "$STOCK"
      case $keyring in
        empty | ward) use_keyring ward "/var/cache/kw-start-$keyring/keys"; sed -i "s|$KEYS/kek|/var/cache/kw-start-$keyring/keys/kek|" "$CONFIG" ;;
        file) use_keyring file "/var/cache/kw-start-$keyring/keys" ;;
      esac
      DATA=/var/cache/kw-start-$keyring/data start_timed > /tmp/kw-took || fail "start of $keyring with $keys keys"
      peak >> "/tmp/kw-peak-$keyring"
      if [ "$round" = "$rounds" ] && { [ $keyring = empty ] || [ $keyring = ward ]; }; then
        install_udf; procedures
        sql -e "SET sql_log_bin=0; CALL kw.writes($(many 20 200))"
        report generate_million $keyring "$keys"
        report floor_million $keyring "$keys"
      fi
      stop_server
      took=$(cat /tmp/kw-took)
      [ "$keyring" != none ] || none=$took
      [ $round = 0 ] || echo "$took $none" >> "/tmp/kw-start-$keyring"
    done
  done
  for keyring in empty ward file; do
    # shellcheck disable=SC2046
    result million_start $keyring "$keys" $(awk '{ print $1 - $2 }' "/tmp/kw-start-$keyring" | percentiles)
    # shellcheck disable=SC2046
    result million_peak $keyring "$keys" $(percentiles < "/tmp/kw-peak-$keyring")
  done
  rm -rf /var/cache/kw-start-*
}
peak() { awk '/^VmHWM/ { print $2 * 1024 }' "/proc/$SERVER/status"; }

bench_keyring() { # bench_keyring KEYRING KEYS
  local keyring=$1 keys=$2
  reset_all; [ "$keyring" = none ] || use_keyring "$keyring"
  fresh_data; populate "$keyring" "$keys"; fresh_data
  start_server || fail start
  result memory "$keyring" "$keys" "$(rss)" - 1
  install_udf; procedures
  [ "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys")" = "$keys" ] || fail "$keyring has not $keys keys"
  sql -e "DO keyring_key_generate('hot','AES',32)"
  if wanted writes; then bench_writes "$keyring" "$keys"; fi
  if wanted fetches && [ "$keys" = "$(many 1000 10000)" ]; then bench_fetches "$keyring" "$keys"; fi
  stop_server
}

bench_writes() { # bench_writes KEYRING KEYS
  local keyring=$1 keys=$2 n i what before
  # Before the writes: afterwards our journal has some hundred records of keys that are gone.
  for ((i = 0; i < $(many 5 15); i++)); do sql -e "SELECT SYSDATE(6); ALTER INSTANCE RELOAD KEYRING; SELECT SYSDATE(6)" | while read -r before; do date -d "$before" +%s.%N; done | paste - - | awk '{ printf "%d\n", ($2 - $1) * 1e6 }'; done > /tmp/kw-reloads
  # shellcheck disable=SC2046
  result reload "$keyring" "$keys" $(percentiles < /tmp/kw-reloads)
  n=$(many 20 200); [ "$keyring" = file ] && [ "$keys" -ge 10000 ] && n=$(many 5 40) && [ "$keys" -ge 50000 ] && n=10
  # The floor is what the disk takes for the same append, in turn with the writes and in the same thread. The
  # samples' own INSERTs must not sync a binary log between two measured calls.
  sql -e "SET sql_log_bin=0; CALL kw.writes($n)"
  for what in generate store remove; do report $what "$keyring" "$keys"; done
  [ "$keyring" != ward ] || report floor disk "$keys"
  sql -e "SET sql_log_bin=0; CALL kw.scans($(many 3 15))"; report scan "$keyring" "$keys"
}

# What a fetch takes, three times, where so many clients share so many fetches.
fetches_timed() { # fetches_timed CLIENTS FETCHES
  local i client pids before
  for i in 1 2 3; do
    pids=
    before=$(date +%s%N)
    for ((client = 0; client < $1; client++)); do sql -e "DO BENCHMARK($(($2 / $1)), keyring_key_fetch('hot'))" & pids="$pids $!"; done
    # shellcheck disable=SC2086
    wait $pids
    echo $((($(date +%s%N) - before) * 1000 / $2)) | awk '{ print $1 / 1e6 }'
  done
}

bench_fetches() { # bench_fetches KEYRING KEYS
  local keyring=$1 keys=$2 n before i client clients pids
  for clients in 1 2 4 8; do
    # shellcheck disable=SC2046
    result "fetch_${clients}_clients" "$keyring" "$keys" $(fetches_timed "$clients" "$(many 100000 1000000)" | percentiles)
  done
  sql -e "SET sql_log_bin=0; DELETE FROM kw.t WHERE what='fetch'; CALL kw.fetches($(many 500 2000))"; report fetch "$keyring" "$keys"
  sql -e "CREATE TABLE IF NOT EXISTS kw.stop (a INT); DELETE FROM kw.t WHERE what='fetch'"
  sql -e "CALL kw.write_until_stopped()" & client=$!
  wait_for 10 sh -c "mysql -uroot -S $SOCKET -BN -e \"SELECT COUNT(*) FROM performance_schema.keyring_keys WHERE KEY_ID LIKE 'bg%'\" | grep -q 1"
  sql -e "SET sql_log_bin=0; CALL kw.fetches($(many 500 2000))"
  # shellcheck disable=SC2046
  result fetch_beside_writer "$keyring" "$keys" $(samples fetch | percentiles)
  for clients in 1 4; do
    pids=; before=$(date +%s%N); n=$(many 200 2000)
    for ((i = 0; i < clients; i++)); do sql -e "DO BENCHMARK($((n / clients)), keyring_key_fetch('hot'))" & pids="$pids $!"; done
    # shellcheck disable=SC2086
    wait $pids
    result "fetch_${clients}_clients_beside_writer" "$keyring" "$keys" "$(echo $(($(date +%s%N) - before)) $n | awk '{ printf "%.2f", $1 / 1000 / $2 }')" - $n
  done
  sql -e "INSERT INTO kw.stop VALUES (1)"; wait $client
}

# Start-up at one size, without a keyring, with ours and with the stock component in turn: starts of
# one and the same configuration scatter, and in turn they scatter alike. What is compared is the median of the
# differences to the start without a keyring just before.
bench_starts() { # bench_starts KEYS
  local keys=$1 keyring round rounds took none=
  rounds=$(many 3 15)
  for keyring in none ward file; do
    reset_all; [ "$keyring" = none ] || use_keyring "$keyring"
    fresh_data; populate "$keyring" "$keys"; fresh_data
    rm -rf "/var/cache/kw-start-$keyring"; mkdir "/var/cache/kw-start-$keyring"
    cp -a $KEYS "/var/cache/kw-start-$keyring/keys"; cp -a $DATA "/var/cache/kw-start-$keyring/data"
    : > "/tmp/kw-start-$keyring"
  done
  sync
  # The first round warms the caches.
  for ((round = 0; round <= rounds; round++)); do
    for keyring in none ward file; do
      rm -f "$MANIFEST" "$CONFIG" "$STOCK"; [ "$keyring" = none ] || use_keyring "$keyring" "/var/cache/kw-start-$keyring/keys"
      [ "$keyring" != ward ] || sed -i "s|$KEYS/kek|/var/cache/kw-start-ward/keys/kek|" "$CONFIG"
      # Not in a command substitution: that would wait for the server's end.
      DATA=/var/cache/kw-start-$keyring/data start_timed > /tmp/kw-took || fail "start of $keyring with $keys keys"
      stop_server
      took=$(cat /tmp/kw-took)
      [ "$keyring" != none ] || none=$took
      [ $round = 0 ] || echo "$took $none" >> "/tmp/kw-start-$keyring"
    done
  done
  # shellcheck disable=SC2046
  result start none "$keys" $(awk '{ print $1 }' /tmp/kw-start-none | percentiles)
  for keyring in ward file; do
    # shellcheck disable=SC2046
    result start_difference "$keyring" "$keys" $(awk '{ print $1 - $2 }' "/tmp/kw-start-$keyring" | percentiles)
    rm -rf "/var/cache/kw-start-$keyring"
  done
}

# Logical keys against plain ones: a fetch by a name that follows and a rotation, each in turn with its like in one session,
# and what load() takes of a start with many keys.
bench_logical() {
  local keys n kind round
  keys=$(many 1000 100000); n=$(many 20 200)
  reset_all; use_keyring ward; fresh_data; start_server || fail start
  install_udf; procedures; sql < /kw/share/install.sql
  sql --delimiter=// kw -e "CREATE PROCEDURE fetch_pairs(rounds INT, n INT) BEGIN DECLARE i INT DEFAULT 0; DECLARE t DATETIME(6); DECLARE d DOUBLE;
      WHILE i < rounds DO
        SET t=SYSDATE(6); DO BENCHMARK(n, keyring_key_fetch('plain')); SET d=TIMESTAMPDIFF(MICROSECOND,t,SYSDATE(6)); INSERT INTO kw.t VALUES ('plain',d/n);
        SET t=SYSDATE(6); DO BENCHMARK(n, keyring_key_fetch('follow')); SET d=TIMESTAMPDIFF(MICROSECOND,t,SYSDATE(6)); INSERT INTO kw.t VALUES ('follow',d/n);
        SET i=i+1; END WHILE; END//
    CREATE PROCEDURE rotations(n INT) BEGIN DECLARE i INT DEFAULT 0; DECLARE t DATETIME(6); DECLARE d DOUBLE;
      WHILE i < n DO
        DO keyring_ward_key_create(CONCAT('r',i),CURRENT_USER(),'AES',32);
        SET t=SYSDATE(6); DO keyring_ward_key_rotate(CONCAT('r',i),CURRENT_USER()); SET d=TIMESTAMPDIFF(MICROSECOND,t,SYSDATE(6)); INSERT INTO kw.t VALUES ('rotate',d);
        SET t=SYSDATE(6); DO keyring_key_generate(CONCAT('g',i),'AES',32); SET d=TIMESTAMPDIFF(MICROSECOND,t,SYSDATE(6)); INSERT INTO kw.t VALUES ('generate',d);
        SET i=i+1; END WHILE; END//"
  sql -e "DO keyring_key_generate('plain','AES',32), keyring_ward_key_create('follow',CURRENT_USER(),'AES',32,'{\"follow\":true}')"
  [ "$(sql -e "SELECT LENGTH(keyring_key_fetch('follow')), keyring_key_fetch('follow') = keyring_key_fetch('follow@1')")" = "32	1" ] || fail "the name does not follow"
  sql -e "SET sql_log_bin=0; CALL kw.fetch_pairs($(many 3 15), $(many 100000 1000000)); CALL kw.rotations($n)"
  # shellcheck disable=SC2046
  for kind in plain follow; do result "fetch_$kind" ward 2 $(samples $kind | percentiles); done
  # shellcheck disable=SC2046
  for kind in rotate generate; do result "rotation_$kind" ward "$n" $(samples $kind | percentiles); done
  stop_server
  for kind in plain logical; do
    reset_all; use_keyring ward "/var/cache/kw-$kind"; rm -f "/var/cache/kw-$kind"/keyring.ward*; : > "/tmp/kw-load-$kind"
    setpriv --reuid mysql --regid mysql --clear-groups /kw/target/debug/examples/many_keys "/var/cache/kw-$kind/keyring.ward" $KEYS/kek "$keys" $kind || fail "$keys keys, $kind"
    cp $KEYS/kek "/var/cache/kw-$kind/kek"; chown mysql:mysql "/var/cache/kw-$kind/kek"
  done
  for ((round = 0; round < $(many 2 9); round++)); do
    for kind in plain logical; do
      reset_all; cp -p "/var/cache/kw-$kind/kek" $KEYS/kek; use_keyring ward "/var/cache/kw-$kind"; fresh_data; start_server || fail "start with $keys keys, $kind"
      [ "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys")" = "$keys" ] || fail "not $keys keys, $kind"
      sql -e "CREATE FUNCTION keyring_ward_status RETURNS STRING SONAME 'component_keyring_ward.so'; SELECT JSON_EXTRACT(keyring_ward_status(), '$.loads.microseconds')" >> "/tmp/kw-load-$kind"
      stop_server
    done
  done
  # shellcheck disable=SC2046
  for kind in plain logical; do result "load_$kind" ward "$keys" $(percentiles < "/tmp/kw-load-$kind"); rm -rf "/var/cache/kw-$kind"; done
}

# Sealing and opening 64 bytes beside AES_ENCRYPT and AES_DECRYPT with a key that is fetched for it, in turn in one session.
bench_sealed() {
  local kind
  reset_all; use_keyring ward; fresh_data; start_server || fail start
  install_udf; procedures; sql < /kw/share/install.sql
  sql --delimiter=// kw -e "CREATE PROCEDURE seals(rounds INT, n INT) BEGIN DECLARE i INT DEFAULT 0; DECLARE t DATETIME(6); DECLARE d DOUBLE;
      SET SESSION block_encryption_mode = 'aes-256-cbc', @v = REPEAT('x', 64), @iv = RANDOM_BYTES(16), @s = keyring_ward_encrypt('s', @v), @a = AES_ENCRYPT(@v, keyring_key_fetch('p'), @iv);
      WHILE i < rounds DO
        SET t=SYSDATE(6); DO BENCHMARK(n, keyring_ward_encrypt('s', @v)); SET d=TIMESTAMPDIFF(MICROSECOND,t,SYSDATE(6)); INSERT INTO kw.t VALUES ('seal',d/n);
        SET t=SYSDATE(6); DO BENCHMARK(n, AES_ENCRYPT(@v, keyring_key_fetch('p'), @iv)); SET d=TIMESTAMPDIFF(MICROSECOND,t,SYSDATE(6)); INSERT INTO kw.t VALUES ('aes_enc',d/n);
        SET t=SYSDATE(6); DO BENCHMARK(n, keyring_ward_decrypt('s', @s)); SET d=TIMESTAMPDIFF(MICROSECOND,t,SYSDATE(6)); INSERT INTO kw.t VALUES ('open',d/n);
        SET t=SYSDATE(6); DO BENCHMARK(n, AES_DECRYPT(@a, keyring_key_fetch('p'), @iv)); SET d=TIMESTAMPDIFF(MICROSECOND,t,SYSDATE(6)); INSERT INTO kw.t VALUES ('aes_dec',d/n);
        SET i=i+1; END WHILE; END//"
  sql -e "DO keyring_key_generate('p','AES',32), keyring_ward_key_create('s',CURRENT_USER(),'AES',32)"
  sql -e "SET sql_log_bin=0; CALL kw.seals($(many 3 15), $(many 100000 500000))"
  # shellcheck disable=SC2046
  for kind in seal aes_enc open aes_dec; do result "sealed_$kind" ward 2 $(samples $kind | percentiles); done
  stop_server
}

# Re-encrypting a registered column beside an UPDATE of another table with values as long and as many commits, in turn; each
# table is as it was, but for its bytes. Seconds of the whole call: counting, sealing anew, opening every value.
bench_reencrypt() {
  local definer=keyring_ward_definer@localhost rows rounds round
  reset_all; use_keyring ward; fresh_data; start_server || fail start
  install_udf; procedures; sql < /kw/share/install.sql; sql < /kw/share/keyring_ward.sql > /dev/null
  sql -e "CALL keyring_ward.create_key('s')"
  for rows in $(many 2000 "100000 1000000"); do
    rounds=$(many 1 3); [ "$rows" = 1000000 ] && rounds=1
    : > /tmp/kw-reencrypt; : > /tmp/kw-update
    sql --delimiter=// -e "DROP DATABASE IF EXISTS kw_c// CREATE DATABASE kw_c//
      CREATE TABLE kw_c.sealed (id INT PRIMARY KEY, v VARBINARY(200))// CREATE TABLE kw_c.plain LIKE kw_c.sealed//
      GRANT SELECT, UPDATE, TRIGGER ON kw_c.sealed TO $definer//
      CREATE DEFINER = $definer FUNCTION kw_c.seal(t VARCHAR(64)) RETURNS VARBINARY(200) NO SQL RETURN keyring_ward_encrypt('s', t, 'kw')//
      CREATE PROCEDURE kw_c.updates(batch INT, top INT) BEGIN DECLARE done INT DEFAULT 0;
        WHILE done < top DO START TRANSACTION; UPDATE kw_c.plain SET v = REVERSE(v) WHERE id > done AND id <= done + batch; COMMIT; SET done = done + batch; END WHILE; END//"
    sql -e "GRANT EXECUTE ON kw_c.* TO $definer; SET SESSION cte_max_recursion_depth = 2000000;
      INSERT INTO kw_c.sealed WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < $rows) SELECT a, kw_c.seal(LPAD(a, 64, 'x')) FROM n;
      INSERT INTO kw_c.plain SELECT * FROM kw_c.sealed;
      CALL keyring_ward.register_column('kw_c', 'sealed', 'v', 's', 'kw', NULL)"
    for ((round = 0; round < rounds; round++)); do
      sql -e "DO keyring_ward_key_rotate('s', '$definer')"
      timed "CALL keyring_ward.reencrypt_column('kw_c', 'sealed', 'v')" >> /tmp/kw-reencrypt
      timed "CALL kw_c.updates((SELECT batch_rows FROM keyring_ward.settings), $rows)" >> /tmp/kw-update
    done
    [ "$(sql -e "SELECT CONCAT_WS(' ', state, rows_checked, rows_done) FROM keyring_ward.encrypted_columns")" = "checked $rows $rows" ] || fail "the column is not as it should be"
    # shellcheck disable=SC2046
    result reencrypt_column ward "$rows" $(percentiles < /tmp/kw-reencrypt)
    # shellcheck disable=SC2046
    result reencrypt_update ward "$rows" $(percentiles < /tmp/kw-update)
    sql -e "CALL keyring_ward.unregister_column('kw_c', 'sealed', 'v')"
  done
  stop_server
}
# Microseconds that a statement takes in a session of its own.
timed() { local before; before=$(date +%s%N); sql -e "$1" > /dev/null || fail "$1"; echo $((($(date +%s%N) - before) / 1000)); }

# Starts with the SQL component and without it, in pairs: the median of the differences.
bench_component() {
  local round rounds kind
  rounds=$(many 3 21)
  for kind in alone sql; do
    reset_all; use_keyring ward; fresh_data; start_server || fail start
    sql -e "DO 1"; install_udf; sql -e "DO keyring_key_generate('k','AES',32)"
    [ $kind = alone ] || sql -e "INSTALL COMPONENT 'file://component_keyring_ward_sql'" || fail "INSTALL COMPONENT"
    stop_server
    rm -rf "/var/cache/kw-start-$kind"; mkdir "/var/cache/kw-start-$kind"
    cp -a $KEYS "/var/cache/kw-start-$kind/keys"; cp -a $DATA "/var/cache/kw-start-$kind/data"
  done
  : > /tmp/kw-component
  # The first round warms the caches; who begins changes.
  for ((round = 0; round <= rounds; round++)); do
    for kind in $([ $((round % 2)) = 0 ] && echo alone sql || echo sql alone); do
      rm -f "$MANIFEST" "$CONFIG"; use_keyring ward "/var/cache/kw-start-$kind/keys"
      sed -i "s|$KEYS/kek|/var/cache/kw-start-$kind/keys/kek|" "$CONFIG"
      DATA=/var/cache/kw-start-$kind/data start_timed > "/tmp/kw-took-$kind" || fail "start, $kind"
      stop_server
    done
    [ $round = 0 ] || echo $(($(cat /tmp/kw-took-sql) - $(cat /tmp/kw-took-alone))) >> /tmp/kw-component
  done
  # shellcheck disable=SC2046
  result sql_component_start ward 1 $(percentiles < /tmp/kw-component)
  rm -rf /var/cache/kw-start-alone /var/cache/kw-start-sql
}

# What a policy adds to a fetch: in turn without one and with 100 rules, of which most are about others, some about all.
bench_access() {
  local rules round i
  reset_all; use_keyring ward; fresh_data
  sed -i 's|{ "backend"|{ "policy_file": "/etc/kw-policy.json", "backend"|' "$CONFIG"; cp "$CONFIG" /tmp/kw-with; sed 's|"policy_file": "/etc/kw-policy.json", ||' /tmp/kw-with > /tmp/kw-without
  rules=$(for ((i = 0; i < 60; i++)); do echo "{ \"name\": \"o$i\", \"effect\": \"allow\", \"operations\": [\"fetch\"], \"keys\": [{ \"owner\": \"u$i@%\", \"name\": \"k*\" }] },"; done
    for ((i = 0; i < 20; i++)); do echo "{ \"name\": \"a$i\", \"effect\": \"deny\", \"operations\": [\"*\"], \"accounts\": [\"v$i@localhost\"], \"networks\": [\"10.$i.0.0/16\"] },"; done
    for ((i = 0; i < 19; i++)); do echo "{ \"name\": \"p$i\", \"effect\": \"deny\", \"operations\": [\"fetch\"], \"keys\": [{ \"name\": \"secret-$i-*\" }], \"logins\": [\"*@10.*\"] },"; done
    echo '{ "name": "night", "effect": "deny", "operations": ["fetch"], "networks": ["192.0.2.0/24"], "hours": ["22:00-06:00"] }')
  echo "{ \"version\": 1, \"default\": \"owner\", \"rules\": [$rules] }" > /etc/kw-policy.json
  start_server || fail start
  install_udf
  sql -e "DO keyring_key_generate('hot','AES',32)"
  rm -f /tmp/kw-policy-*
  for ((round = 0; round < $(many 3 9); round++)); do
    for i in 0 100; do
      if [ $i = 0 ]; then cat /tmp/kw-without; else cat /tmp/kw-with; fi > "$CONFIG"
      sql -e "ALTER INSTANCE RELOAD KEYRING"
      fetches_timed 1 "$(many 100000 1000000)" >> /tmp/kw-policy-$i
    done
  done
  # shellcheck disable=SC2046
  for i in 0 100; do result fetch_policy ward $i $(percentiles < /tmp/kw-policy-$i); done
  stop_server
}

# What prove takes of so many encrypted tablespaces with a warm page cache: each a copy of the header of one that the server made,
# whose key and iv are unwrapped for it.
bench_prove() {
  local n round before
  n=$(many 200 10000)
  reset_all; use_keyring ward; fresh_data; start_server || fail start
  sql -e "CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY) ENCRYPTION='Y'"
  stop_server
  rm -rf /var/cache/kw-many; mkdir -p /var/cache/kw-many/d
  cp $DATA/auto.cnf /var/cache/kw-many; head -c 16384 $DATA/d/t.ibd > /var/cache/kw-many/d/t.ibd
  perl -e 'my ($n, $folder) = @ARGV; local $/; open(my $in, "<", "$folder/t.ibd") or die; my $page = <$in>;
    for my $i (1..$n-1) { open(my $out, ">", "$folder/t$i.ibd") or die; print $out $page; close($out) }' "$n" /var/cache/kw-many/d
  chown -R mysql:mysql /var/cache/kw-many
  for ((round = 0; round < 6; round++)); do
    before=$(date +%s%N)
    keyring-ward prove --config "$CONFIG" --user mysql /var/cache/kw-many > /tmp/kw-proof || { cat /tmp/kw-proof; fail prove; }
    # The first one warms the cache.
    [ $round = 0 ] || echo $((($(date +%s%N) - before) / 1000))
  done > /tmp/kw-proofs
  grep -q "$n" /tmp/kw-proof || { cat /tmp/kw-proof; fail "prove did not see $n files"; }
  # shellcheck disable=SC2046
  result prove ward "$n" $(percentiles < /tmp/kw-proofs)
  rm -rf /var/cache/kw-many
}

# Another build of ours (/kw/other.so) instead of the stock component: in turn, so that both meet the same moods of the disk.
bench_against() {
  local keys=1000 round library
  cp -a $PLUGINS/component_keyring_ward.so /tmp/kw-ward.so
  rm -f /tmp/kw-against-*
  for ((round = 0; round < $(many 2 8); round++)); do
    for library in ward other; do
      case $library in ward) cat /tmp/kw-ward.so ;; other) cat /kw/other.so ;; esac > $PLUGINS/component_keyring_ward.so
      reset_all; use_keyring ward; fresh_data
      start_server || fail "start with the library '$library'"
      install_udf; procedures
      sql -e "CALL kw.fill($keys,'base'); DO keyring_key_generate('hot','AES',32); SET sql_log_bin=0; CALL kw.writes($(many 20 150))"
      samples generate >> /tmp/kw-against-generate-$library
      samples floor >> /tmp/kw-against-floor-$library
      fetches_timed 1 "$(many 100000 1000000)" >> /tmp/kw-against-fetch-$library
      stop_server
    done
  done
  cat /tmp/kw-ward.so > $PLUGINS/component_keyring_ward.so
  for library in ward other; do
    for round in fetch generate floor; do
      # shellcheck disable=SC2046
      result against_$round $library $keys $(percentiles < /tmp/kw-against-$round-$library)
    done
  done
}

trap stop_server EXIT
if wanted against; then bench_against; stop_server; fi
for keys in $LEVELS; do
  if wanted writes || wanted fetches; then
    bench_keyring ward "$keys"
    bench_keyring file "$keys"
  fi
  case "$keys" in 100 | 1000) [ $QUICK = yes ] || continue ;; esac
  if wanted starts; then bench_starts "$keys"; fi
done
if wanted million; then bench_million; fi
if wanted logical; then bench_logical; fi
if wanted sealed; then bench_sealed; fi
if wanted access; then bench_access; fi
if wanted reencrypt; then bench_reencrypt; fi
if wanted component; then bench_component; fi
if wanted prove; then bench_prove; fi
stop_server
echo "bench finished"
