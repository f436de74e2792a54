# The role matrix: each role, each call, own and foreign keys, in and out of hours, with a real server. Sourced by roles-tests.sh.
# role-matrix-calls.tsv has what is called, role-matrix.tsv what is expected: a line for a call, a kind of key and a part of the day; "any" is
# each. Words: yes; no (a privilege is missing, before any policy is asked); policy (the policy denies it). Keys: own (the account's); of
# app@%: prod, test (by environment), shared (prod, with the name that the policy shares).
ROLES="dba_admin key_admin app_admin key_operator key_auditor key_user developer tester"
COLUMNS_OF_MATRIX="$ROLES backup"
MATRIX=/kw/mysql-test/harness/role-matrix.tsv
CALLS=/kw/mysql-test/harness/role-matrix-calls.tsv
CELLS=/tmp/kw-cells

# The example with its hours open or shut at this moment.
policy_at() { # policy_at in|out
  local from=-1 to=4
  [ "$1" = in ] || from=2 to=3
  sed -E "s/\"days\": \[[^]]*\], //; s/\"hours\": \[[^]]*\], \"time_zone\": \"[^\"]*\"/\"hours\": [\"$(date -u -d "$from hours" +%H):00-$(date -u -d "$to hours" +%H):00\"], \"time_zone\": \"UTC\"/" \
    /kw/share/policy-example.json > $POLICY
  chown root:root $POLICY; chmod 644 $POLICY
  [ "$(grep -c '"time_zone": "UTC"' $POLICY)" = "$(grep -c '"hours"' /kw/share/policy-example.json)" ] || fail "the hours of the example are written otherwise"
}
user_of() { if [ "$1" = backup ]; then echo backup; else echo "u_$1"; fi; }

# A call's statement as it is sent. What answers with JSON says ok or its error; other values say that they are there.
# Lines: #CELL, what came of it.
statements() { # statements ROLE PASS WITH_EXECUTE
  awk -F'\t' -v role="$1" -v user="$(user_of "$1")" -v pass="$2" -v with="$3" '
    /^#/ || $1 == "call" || ($1 ~ / with EXECUTE$/) != (with == "yes") { next }
    { split($2, kinds, " ")
      for (i = 1; i in kinds; i++) {
        kind = kinds[i]; statement = $4
        owner = kind == "own" ? user "@localhost" : "app@%"
        key = kind == "own" ? "own-" pass : kind "-" pass
        gsub(/\{q\}/, kind == "own" ? key : owner "/" key, statement); gsub(/\{k\}/, key, statement); gsub(/\{o\}/, owner, statement)
        gsub(/\{e\}/, kind == "own" ? "" : kind == "test" ? "test" : "prod", statement); gsub(/\{role\}/, role, statement); gsub(/\{pass\}/, pass, statement)
        print "SELECT \x27#" $1 "|" kind "\x27;"
        if (statement ~ /^(SELECT|CALL|ALTER) /) print statement ";"
        else {
          print "SET @a = NULL; SET @a = " statement ";"
          print "SELECT CASE WHEN @a IS NULL THEN \x27NULL\x27 WHEN LEFT(@a, 1) <> \x27{\x27 OR JSON_EXTRACT(@a, \x27$.ok\x27) = TRUE THEN \x27ok\x27" \
            " ELSE CONCAT(\x27KW-\x27, LPAD(JSON_EXTRACT(@a, \x27$.error.number\x27), 4, \x270\x27), \x27: \x27, JSON_UNQUOTE(JSON_EXTRACT(@a, \x27$.error.message\x27))) END;"
        }
      } }' $CALLS
}
# What a session said, as lines: call, key, hours, role, word, what was seen.
words() { # words ROLE PASS
  awk -v role="$1" -v hours="$2" '
    function tell() {
      if (cell == "") return
      split(cell, part, "|")
      if (seen == "") seen = "ok"
      word = "yes"
      if (seen ~ /^ERROR (1370|1142|1227|1044|1143) / || seen ~ /Access denied|is not privileged to execute/) word = "no"
      else if (seen ~ /of the policy/ || (seen == "NULL" && part[1] ~ /^keyring_key_|^performance_schema/)) word = "policy"
      print part[1] "\t" part[2] "\t" hours "\t" role "\t" word "\t" seen
    }
    /^#/ { tell(); cell = substr($0, 2); seen = ""; next }
    seen == "" { seen = $0 }
    END { tell() }' "$3"
}

# A server with the example policy, and the roles with all that they have: the privileges that the policy names come with the component.
roles_server() {
  ROLE=component
  reset_all; component_manifest
  # A key and no passphrase: each load would compute for it.
  (umask 077; head -c 32 /dev/urandom > "$KEYS/kek"); chown mysql:mysql "$KEYS/kek"
  component_config "\"key_file\": \"$KEYS/kek\""; fresh_data
  policy_at in
  start_server --event-scheduler=OFF "$@"
  install_udf
  sql -e "INSTALL COMPONENT 'file://component_keyring_ward_sql'"
  sql < /kw/share/keyring_ward.sql > /tmp/kw-lacks
  expect "what the roles lack" "$(cat /tmp/kw-lacks)" ""
}

# Keys of each kind for both passes, each with a pair and a value; the accounts have nothing but their role.
matrix_server() {
  local role user pass each
  roles_server
  policy owner; sql -e "ALTER INSTANCE RELOAD KEYRING"
  { echo "CREATE USER app; CREATE DATABASE matrix; CREATE TABLE matrix.sealed (owner VARCHAR(100), name VARCHAR(100), sealed VARBINARY(200)); GRANT SELECT, INSERT ON matrix.* TO app;"
    echo "CALL keyring_ward.create_key('schema-key');"
    for role in $COLUMNS_OF_MATRIX; do
      user=$(user_of "$role")@localhost
      echo "CREATE USER $user; GRANT SELECT, INSERT ON matrix.* TO $user;"
      [ "$role" = backup ] || echo "GRANT $role TO $user; SET DEFAULT ROLE ALL TO $user;"
      for pass in in out; do keys_of "$user" own-$pass ""; done
    done
    for pass in in out; do keys_of app@% prod-$pass prod; keys_of app@% shared-$pass prod; keys_of app@% test-$pass test; done
  } > /tmp/kw-made.sql
  sql < /tmp/kw-made.sql > /tmp/kw-made || fail "the accounts and keys"
  ! grep -v '"ok":true' /tmp/kw-made || fail "the keys"
  for pass in in out; do
    for each in prod shared test; do values_of app 'app@%' $each-$pass "app@%/$each-$pass"; done
    for role in $COLUMNS_OF_MATRIX; do values_of "$(user_of "$role")" "$(user_of "$role")@localhost" own-$pass own-$pass; done
  done
}
keys_of() { # keys_of OWNER KEY ENVIRONMENT
  local each
  for each in "$2" "$2-life"; do echo "SELECT keyring_ward_key_create('$each', '$1', 'AES', 32, '{\"environment\": \"$3\", \"follow\": true}');"; done
  echo "SELECT keyring_ward_key_rotate('$2-life', '$1');"
}
values_of() { # values_of USER OWNER KEY NAME
  sql -e "GRANT KEYRING_WARD_USE ON *.* TO '$1'@'${2#*@}'"
  mysql -u"$1" -S $SOCKET -e "INSERT INTO matrix.sealed VALUES ('$2', '$4', keyring_ward_encrypt('$3', 'text')); DO keyring_ward_keypair_generate('$3-pair', 'ED25519')" || fail "the values of $3 of $2"
  sql -e "REVOKE KEYRING_WARD_USE ON *.* FROM '$1'@'${2#*@}'"
  case $3 in own*) ;; *) sql -e "DO keyring_ward_key_set('$3-pair', '$2', '{\"environment\": \"$( [[ $3 = test* ]] && echo test || echo prod )\"}')" ;; esac
}

# EXECUTE for all accounts. MySQL's own functions say NULL for whatever fails: without the policy each of them works for each account, so what
# is NULL with it is the policy's doing.
everybody_executes() {
  local role user
  policy owner; sql -e "ALTER INSTANCE RELOAD KEYRING"
  for role in $COLUMNS_OF_MATRIX; do
    user=$(user_of "$role")
    sql -e "GRANT EXECUTE ON *.* TO $user@localhost"
    statements "$role" in yes > /tmp/kw-statements
    mysql -u"$user" -S $SOCKET --force --unbuffered --batch --skip-column-names < /tmp/kw-statements > /tmp/kw-said 2>&1 || true
    words "$role" in /tmp/kw-said > /tmp/kw-free
    [ "$(cut -f5,6 /tmp/kw-free | sort | uniq -c)" = "      6 yes	ok" ] || fail "without the policy: $(cat /tmp/kw-free)"
  done
}

matrix_seen() {
  local role pass with
  : > $CELLS
  for with in no yes; do
    [ $with = no ] || everybody_executes
    for pass in in out; do
      policy_at $pass; sql -e "ALTER INSTANCE RELOAD KEYRING"
      for role in $COLUMNS_OF_MATRIX; do
        statements "$role" $pass $with > /tmp/kw-statements
        mysql -u"$(user_of "$role")" -S $SOCKET --force --unbuffered --batch --skip-column-names < /tmp/kw-statements > /tmp/kw-said 2>&1 || true
        words "$role" $pass /tmp/kw-said >> $CELLS
      done
    done
  done
}

# Expected and seen, cell by cell: lines of what is not as it should be, then the number of cells.
matrix_judged() {
  awk -F'\t' '
    FNR == 1 { file++ }
    /^#/ || $1 == "call" { if (file == 2 && $1 == "call") for (i = 4; i <= NF; i++) column[i] = $i; next }
    file == 1 { shows[$1] = $3; split($2, kinds, " "); for (i = 1; i in kinds; i++) cells[$1 "\t" kinds[i]] = 1; next }
    file == 2 {
      found = 0
      for (cell in cells) { split(cell, part, "\t")
        if (part[1] != $1 || ($2 != "any" && $2 != part[2])) continue
        found = 1
        for (i = 4; i <= NF; i++) for (h = 1; h <= 2; h++) { hours = h == 1 ? "in" : "out"
          if ($3 != "any" && $3 != hours) continue
          at = cell "\t" hours "\t" column[i]
          if (at in expected) print "two lines are about " at
          expected[at] = $i } }
      if (!found) print "a line about no call: " $1 " " $2
      next
    }
    { at = $1 "\t" $2 "\t" $3 "\t" $4; seen[at] = $5; count++
      if (!(at in expected)) { print "no line is about " at ": " $5 " (" $6 ")"; next }
      if (expected[at] != $5) { print at ": expected " expected[at] ", seen " $5 " (" $6 ")"; next }
      if ($5 == "yes") { good = 0; split(shows[$1], forms, " ")
        for (i = 1; i in forms; i++) {
          if (forms[i] == "ok" && $6 !~ /^(ERROR|KW-|NULL)/) good = 1
          if (forms[i] != "ok" && ($6 ~ "^" forms[i] ":" || $6 ~ "^ERROR " forms[i] " ")) good = 1 }
        if (!good) print at ": may, but gives " $6 " instead of " shows[$1] } }
    END { for (at in expected) if (!(at in seen)) print "not tried: " at
      print count " cells" }' $CALLS $MATRIX $CELLS
}

# What is seen as lines of role-matrix.tsv, for who changes the matrix: to be read, not to be believed.
matrix_lines() {
  awk -F'\t' -v columns="$COLUMNS_OF_MATRIX" '
    FNR == NR { if (!/^#/ && $1 != "call") { order[++n] = $1; kinds[$1] = $2 } next }
    { word[$1, $2, $3, $4] = $5 }
    function line(call, kind, hours,   i, out) { out = ""; for (i = 1; i <= c; i++) out = out "\t" word[call, kind, hours, column[i]]; return out }
    END { c = split(columns, column, " ")
      for (o = 1; o <= n; o++) { call = order[o]; k = split(kinds[call], kind, " "); same = 1
        for (i = 1; i <= k; i++) { if (line(call, kind[i], "in") line(call, kind[i], "out") != line(call, kind[1], "in") line(call, kind[1], "out")) same = 0 }
        for (i = 1; i <= (same ? 1 : k); i++) { name = same && k > 1 ? "any" : kind[i]
          if (line(call, kind[i], "in") == line(call, kind[i], "out")) print call "\t" name "\tany" line(call, kind[i], "in")
          else { print call "\t" name "\tin" line(call, kind[i], "in"); print call "\t" name "\tout" line(call, kind[i], "out") } } } }' $CALLS $CELLS
}

# Every function that the server has by us or by keyring_udf.so, and every procedure for people, is in the matrix, and nothing else.
matrix_is_whole() {
  sql -e "SELECT UDF_NAME FROM performance_schema.user_defined_functions WHERE UDF_NAME LIKE 'keyring%';
    SELECT CONCAT('CALL keyring_ward.', ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'keyring_ward' AND ROUTINE_NAME NOT LIKE 'own\\_%'" | sort -u > /tmp/kw-there
  cut -f1 $CALLS | sed -nE 's/ (with|of) .*//; /^(CALL |keyring_)/p' | sort -u > /tmp/kw-tried
  diff /tmp/kw-there /tmp/kw-tried || fail "calls that are not in role-matrix-calls.tsv (<), or that there are not (>)"
}
