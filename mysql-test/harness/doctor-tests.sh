#!/bin/bash
# What doctor says of a set-up, beside what a real server does with it, and again after the remedy that doctor names.
# A failure of doctor is a keyring that is disabled, another one or none, or a server that does not start; anything else
# is a server that serves: an encrypted table of before is read, and a new one is made. Prints the table of docs/reference/tool.md.
#   doctor-tests.sh [WORDS]    only set-ups whose title has these words
# shellcheck disable=SC2016  # preparations and remedies are evaluated later
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
. /kw/mysql-test/harness/hsm.sh
ONLY=${1:-} ROWS=0
BASE=/var/cache/kw-doctor
CNF=/etc/kw/my.cnf
LIBRARY=$PLUGINS/component_keyring_ward.so
SERVER_ARGS=() DOCTOR_ARGS=()

# ---- a server -----------------------------------------------------------------------------------

# Starts it as Debian's unit does: as the account mysql, with an option file.
start() {
  : > "$LOG"; chown mysql:mysql "$LOG"
  setpriv --reuid mysql --regid mysql --init-groups env ${SOFTHSM2_CONF:+SOFTHSM2_CONF=$SOFTHSM2_CONF} \
    mysqld --defaults-file=$CNF "${SERVER_ARGS[@]}" --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid \
    --skip-networking --mysqlx=OFF --skip-log-bin $SMALL --log-error=$LOG >> "$LOG" 2>&1 &
  SERVER=$!
  local end=$((SECONDS + 60))
  # The socket is there a little before the server answers: no client is started in vain.
  until [ -S $SOCKET ] && mysqladmin -uroot -S $SOCKET ping >/dev/null 2>&1; do
    kill -0 $SERVER 2>/dev/null || { wait $SERVER; SERVER=; return 1; }
    [ $SECONDS -lt $end ] || { kill_server; return 1; }
    sleep 0.05
  done
}

# One word or two about what the server does: "serves" or why not.
server_does() {
  local said component active does
  rm -f "$SOCKET" "$SOCKET.lock"
  start || { echo "does not start"; return; }
  said=$(sql --force 2>/dev/null <<'SQL'
SELECT CONCAT('component=', GROUP_CONCAT(STATUS_VALUE ORDER BY STATUS_KEY)) FROM performance_schema.keyring_component_status WHERE STATUS_KEY IN ('Component_name', 'Component_status');
SELECT CONCAT('active=', VARIABLE_VALUE) FROM performance_schema.global_status WHERE VARIABLE_NAME='Keyring_ward_active';
SELECT CONCAT('old=', b) FROM d.t WHERE a=1;
SQL
)
  component=$(sed -n 's/^component=//p' <<< "$said"); active=$(sed -n 's/^active=//p' <<< "$said")
  case "$component,$active" in
    component_keyring_ward,Active,1 | NULL,1 | ,1) does=serves ;;
    component_keyring_ward,* | NULL,0 | ,0) does="keyring disabled" ;;
    NULL, | ,) does="no keyring" ;;
    *) does="uses ${component%%,*}" ;;
  esac
  if [ "$does" = serves ]; then
    [ -n "${NO_OLD_TABLE:-}" ] || grep -qx old=one <<< "$said" || does="a table can't be read"
    # Only here: a table under another keyring would need that one for ever.
    sql -e "CREATE DATABASE IF NOT EXISTS d; DROP TABLE IF EXISTS d.n; CREATE TABLE d.n (a INT) ENCRYPTION='Y'; INSERT INTO d.n VALUES (1)" 2>/dev/null \
      || does="no new encrypted table"
  fi
  kill_server
  echo "$does"
}

doctor() { keyring-ward doctor --defaults-file $CNF --datadir $DATA "${DOCTOR_ARGS[@]}" "$@"; }

# ---- what all set-ups start from --------------------------------------------------------------------

# A key file: a passphrase's Argon2id would take most of the time.
KEK="\"key_file\": \"$KEYS/kek\""
json() { # json MEMBERS [OPTIONS]: the component's configuration
  echo "{ \"backend\": \"file\", \"path\": \"$KEYS/keyring.ward\", \"start_timeout\": 2, \"timeout\": 2${2:-}, \"file\": { $1 } }" > "$CONFIG"
  chmod 644 "$CONFIG"
}
cnf() { printf '%s\n' '[mysqld]' "$@" > $CNF; chmod 644 $CNF; }
GROUP="backend=file
path=$KEYS/keyring.ward
file_key_file=$KEYS/kek
start_timeout=2"
VARIABLES=$(sed 's/^/loose_keyring_ward_/' <<< "$GROUP")
as_plugin() { rm -f "$MANIFEST" "$CONFIG"; cnf early-plugin-load=keyring_ward.so "$VARIABLES"; }
secret() { (umask 077; printf "${2-secret\n}" > "$1"); chown mysql:mysql "$1"; } # secret FILE [FORMAT]
MANIFEST_JSON='{ "components": "file://component_keyring_ward" }'
REMEDY_MANIFEST="echo '$MANIFEST_JSON' > $MANIFEST"

# A data directory with an encrypted table, and its keyring.
make_base() {
  rm -rf $BASE; mkdir -p $BASE /etc/kw; cp -a $LIBRARY $BASE/library.so
  reset_all
  find $DATA -mindepth 1 -delete; rm -f $MANIFEST
  mysqld --no-defaults --initialize-insecure --user=mysql --datadir=$DATA --innodb-redo-log-capacity=8M > "$LOG" 2>&1 || fail "mysqld --initialize"
  rm -f $DATA/*.pem
  cp -a $DATA $BASE/empty
  echo "$MANIFEST_JSON" > $MANIFEST; secret $KEYS/kek; head -c 32 /dev/urandom > $KEYS/kek; json "$KEK"; cnf
  start || fail "the first server"
  encrypted_table
  cp -a $KEYS/keyring.ward $BASE/yesterday.ward
  mysqladmin -uroot -S $SOCKET shutdown; wait $SERVER; SERVER=
  cp -a $DATA $BASE/data; cp -a $KEYS $BASE/keys
}

base() {
  own_servers | xargs -r kill -9; SERVER=
  umount /mnt/kw 2>/dev/null; hsm_off 2>/dev/null
  unset SOFTHSM2_CONF NO_OLD_TABLE; SERVER_ARGS=() DOCTOR_ARGS=()
  rm -rf $MANIFEST $CONFIG $PLUGINS/keyring_ward.so /etc/kw/absent /opt/closed /opt/secrets /opt/plugins /etc/mysql-keyring /root/kw-kek $PLUGINS/component_keyring_file.cnf
  [ "$(stat -c %s%Y%a%u $LIBRARY 2>/dev/null)" = "$(stat -c %s%Y%a%u $BASE/library.so)" ] || { rm -rf $LIBRARY; cp -a $BASE/library.so $LIBRARY; }
  ln -s component_keyring_ward.so $PLUGINS/keyring_ward.so
  find $DATA $KEYS -mindepth 1 -delete
  cp -a $BASE/data/. $DATA/; cp -a $BASE/keys/. $KEYS/
  chown mysql:mysql $DATA $KEYS; chmod 750 $DATA $KEYS
  echo "$MANIFEST_JSON" > $MANIFEST; chmod 644 $MANIFEST; json "$KEK"; cnf
}

# What doctor's JSON says of all steps together, and the remedy of the first step with this verdict.
verdict_of() { sed -n 's/^  "verdict": "\(.*\)"$/\1/p' <<< "$1"; }
remedy_of() {
  awk -v verdict="\"verdict\": \"$2\"" '/"remedy":/ { r = $0 } index($0, verdict) && !/^  "verdict"/ { print r; exit }' <<< "$1" \
    | sed 's/^ *"remedy": "//; s/",*$//; s/\\"/"/g; s/|/\\|/g' | cut -c1-220
}

# row TITLE VERDICT WORDS PREPARATION [COMMANDS]: COMMANDS are what doctor's sentence tells to do.
row() {
  local title=$1 verdict=$2 words=$3 prepare=$4 commands=${5:-} said again does after='' problem='' is rc=0
  [[ "$title" == *"$ONLY"* ]] || return 0
  base
  eval "$prepare" > /tmp/kw-prepare 2>&1 || problem="the preparation failed: $(tail -1 /tmp/kw-prepare); "
  said=$(doctor --json 2>/tmp/kw-doctor-error) || rc=$?
  is=$(verdict_of "$said")
  does=$(server_does)
  [ "$is" = "$verdict" ] || problem+="doctor says $is instead of $verdict; "
  grep -qF -- "$words" <<< "$said" || problem+="doctor does not say '$words'; "
  if [ "$is" = failure ]; then [ "$does" != serves ]; else [ "$does" = serves ]; fi || problem+="doctor and server differ: $does; "
  [ "$is" != failure ] || [ -n "$commands" ] || problem+="no remedy is tried; "
  if [ -n "$commands" ]; then
    eval "$commands" > /tmp/kw-remedy 2>&1 || problem+="the remedy failed: $(tail -1 /tmp/kw-remedy); "
    again=$(doctor --json 2>/dev/null)
    [ "$(verdict_of "$again")" != failure ] || problem+="doctor after the remedy: $(remedy_of "$again" failure); "
    after=$(server_does)
    [ "$after" = serves ] || problem+="the server after the remedy: $after; "
  fi
  ROWS=$((ROWS + 1))
  echo "    | $title | $is | $does | $([ "$is" = ok ] || remedy_of "$said" "$is") | $after |"
  if [ -z "$problem" ]; then PASSED=$((PASSED + 1)); else
    FAILED=$((FAILED + 1)); echo "FAILED  $title: $problem"
    [ -n "$is" ] || { echo "        doctor ended with $rc:"; tail -5 /tmp/kw-doctor-error; echo "$said" | tail -5; } | cut -c1-300
    grep -B3 '"verdict": "failure"' <<< "$said" | grep '"detail"' | cut -c1-300
    grep -E 'ERROR|KW-' "$LOG" | head -4 | cut -c1-300 | sed 's/^/        log: /'
  fi
}

wait_for 30 no_servers
make_base
echo "    | set-up | doctor | server | remedy | after |"
echo "    |---|---|---|---|---|"

# ---- the three ways of configuring, and what is only worth a word --------------------------------------
row "JSON in the plugin directory" ok "component_keyring_ward.cnf" true
row "JSON in the data directory" ok "$DATA/component_keyring_ward.cnf" \
  'mv $CONFIG $DATA/component_keyring_ward.cnf; echo "{ \"read_local_config\": true }" > $CONFIG'
row "the group [keyring_ward]" ok "the group [keyring_ward]" 'rm $CONFIG; cnf "[keyring_ward]" "$GROUP"'
row "a group with a suffix" ok "[keyring_ward@one]" \
  'rm $CONFIG; cnf "[keyring_ward]" "$GROUP" "path=/wrong" "[keyring_ward@one]" "path=$KEYS/keyring.ward"
   SERVER_ARGS=(--defaults-group-suffix=@one) DOCTOR_ARGS=(--defaults-group-suffix @one)'
row "the plugin and its variables" ok "loads the plugin" as_plugin
row "the plugin, NAME=library" ok "loads the plugin" 'as_plugin; cnf early-plugin-load=keyring_ward=component_keyring_ward.so "$VARIABLES"'
row "a manifest in the data directory" ok "$DATA/mysqld.my" 'mv $MANIFEST $DATA/; echo "{ \"read_local_manifest\": true }" > $MANIFEST'
row "an option that stands twice in my.cnf" ok "the group" 'rm $CONFIG; cnf "[keyring_ward]" "path=/wrong" "$GROUP"'
row "a passphrase" ok '"opens"' 'secret $KEYS/p "correct horse battery staple\n"; keyring-ward rekey --config $CONFIG --new-passphrase-file $KEYS/p && json "\"passphrase_file\": \"$KEYS/p\""'
row "read_only" ok "read-only" 'json "$KEK" ", \"read_only\": true"'
row "no keyring yet" warning "the first key makes it" \
  'rm -f $KEYS/keyring.ward*; find $DATA -mindepth 1 -delete; cp -a $BASE/empty/. $DATA/; NO_OLD_TABLE=1'
row "a data directory made with the keyring (--initialize)" ok "fits" \
  'rm -f $KEYS/keyring.ward*; find $DATA -mindepth 1 -delete; NO_OLD_TABLE=1
   mysqld --defaults-file=$CNF --initialize-insecure --user=mysql --datadir=$DATA > $LOG 2>&1 && start && sql -e "CREATE TABLE mysql.x (a INT)" >/dev/null 2>&1
   sql -e "CREATE DATABASE d; CREATE TABLE d.t (a INT) ENCRYPTION=\"Y\""; kill_server'
row "the plugin after InnoDB" warning "after InnoDB" 'as_plugin; cnf plugin-load-add=keyring_ward.so "$VARIABLES"'
row "component and plugin" warning "stays passive" 'cnf early-plugin-load=keyring_ward.so "$VARIABLES"'
row "the plugin's name is a copy" warning "ln -sfn" 'rm $PLUGINS/keyring_ward.so; cp $LIBRARY $PLUGINS/keyring_ward.so'
row "a binary log of statements" warning "binlog_format is STATEMENT" 'cnf binlog_format=STATEMENT'
row "a manifest that everybody can write" warning "chmod 644" 'chmod 666 $MANIFEST'
row "a library that everybody can write" warning "chmod 755" 'chmod 777 $LIBRARY'
row "a folder that everybody can write" warning "chmod o-w" 'chmod 777 $KEYS'
row "a keyring that mysqld's account may only read" warning "none can be made or removed" 'chmod 400 $KEYS/keyring.ward'
row "a keyring that mysqld's group can read" warning "chmod 600" 'chmod 640 $KEYS/keyring.ward'
row "the keyring inside the data directory" warning "inside the data directory" \
  'mkdir $DATA/keys; cp -a $KEYS/keyring.ward $DATA/keys/; chown mysql $DATA/keys; sed -i "s|$KEYS/keyring.ward|$DATA/keys/keyring.ward|" $CONFIG'
row "an unknown loose_ variable" warning "passes over" 'as_plugin; echo loose_keyring_ward_pth=/x >> $CNF'

# ---- who loads the keyring --------------------------------------------------------------------------
row "no manifest" failure "nothing loads Keyring Ward" 'rm $MANIFEST' "$REMEDY_MANIFEST"
row "an empty manifest" failure "is empty" ': > $MANIFEST' "$REMEDY_MANIFEST"
row "a manifest of another component" failure "component_keyring_file" \
  'echo "{ \"components\": \"file://component_keyring_file\" }" > $MANIFEST; echo "{ \"path\": \"$KEYS/stock\", \"read_only\": false }" > $PLUGINS/component_keyring_file.cnf' \
  "$REMEDY_MANIFEST"
row "two keyrings in the manifest" failure "component_keyring_file" \
  'echo "{ \"components\": \"file://component_keyring_ward,file://component_keyring_file\" }" > $MANIFEST' "$REMEDY_MANIFEST"
row "a typo in the manifest's member" failure "no member components" 'sed -i s/components/componets/ $MANIFEST' "$REMEDY_MANIFEST"
row "a typo in the component's name" failure "component_keyring_wrad" 'sed -i s/_ward/_wrad/ $MANIFEST' "$REMEDY_MANIFEST"
row "a manifest without file://" failure "is not file://NAME" 'sed -i s,file://,, $MANIFEST' "$REMEDY_MANIFEST"
row "a manifest that is not JSON" failure "not valid JSON" 'echo "components=file://component_keyring_ward" > $MANIFEST' "$REMEDY_MANIFEST"
row "a manifest that only root can read" failure "can't be read" 'chmod 600 $MANIFEST' "chmod 644 $MANIFEST"
row "a local manifest that is missing" failure "says read_local_manifest" 'echo "{ \"read_local_manifest\": true }" > $MANIFEST' "$REMEDY_MANIFEST"
row "another component of the manifest is missing" failure "component_x" \
  'echo "{ \"components\": \"file://component_keyring_ward,file://component_x\" }" > $MANIFEST' "$REMEDY_MANIFEST"
row "two early-plugin-load lines" failure "none is keyring_ward.so" 'as_plugin; echo early-plugin-load=auth_socket.so >> $CNF' \
  "sed -i /auth_socket/d $CNF"
row "another plugin's name before the library" failure "none is keyring_ward.so" 'as_plugin; sed -i s/=keyring_ward.so/=ward=keyring_ward.so/ $CNF' \
  "sed -i s/=ward=/=/ $CNF"
row "early-plugin-load without .so" failure "none is keyring_ward.so" 'as_plugin; sed -i s/=keyring_ward.so/=keyring_ward/ $CNF' "$REMEDY_MANIFEST; json '$KEK'"
row "the plugin is switched off" failure "switches the plugin off" 'as_plugin; echo skip-keyring-ward >> $CNF' "sed -i /skip-keyring-ward/d $CNF"
row "variables without loose_, and no plugin" failure "loose_" 'cnf "keyring_ward_path=$KEYS/keyring.ward"' "sed -i s/^keyring_ward/loose_keyring_ward/ $CNF"

# ---- the library -------------------------------------------------------------------------------------
row "no library" failure "install" 'rm $LIBRARY' "install -m 755 $BASE/library.so $LIBRARY"
row "junk instead of the library" failure "can't be loaded" 'rm $LIBRARY; echo junk > $LIBRARY; chmod 755 $LIBRARY' "install -m 755 $BASE/library.so $LIBRARY"
row "half of the library" failure "can't be loaded" 'rm $LIBRARY; head -c 1000000 $BASE/library.so > $LIBRARY; chmod 755 $LIBRARY' "install -m 755 $BASE/library.so $LIBRARY"
row "a library that only root can read" failure "can't be loaded" 'chmod 700 $LIBRARY' "chmod 755 $LIBRARY"
row "another library under its name" failure "another library" 'rm $LIBRARY; cp $PLUGINS/auth_socket.so $LIBRARY' "install -m 755 $BASE/library.so $LIBRARY"
row "the plugin's link leads nowhere" failure "No such file" 'as_plugin; rm $PLUGINS/keyring_ward.so; ln -s nowhere.so $PLUGINS/keyring_ward.so' \
  "ln -sfn component_keyring_ward.so $PLUGINS/keyring_ward.so"
row "a wrong plugin_dir" failure "No such file" 'mkdir -p /opt/plugins; cp $CONFIG /opt/plugins; cnf plugin_dir=/opt/plugins' "sed -i /plugin_dir/d $CNF"

# ---- option files and configuration ------------------------------------------------------------------
row "an option before any group" failure "before any group" 'sed -i 1ix=1 $CNF' "sed -i 1d $CNF"
row "an !includedir that is not there" failure "can't be read" 'echo "!includedir /etc/kw/absent" >> $CNF' "mkdir -p /etc/kw/absent"
row "an option file that only root can read" failure "Permission denied" 'chmod 600 $CNF' "chmod 644 $CNF"
row "a group in a my.cnf that everybody can write" failure "world-writable" 'rm $CONFIG; cnf "[keyring_ward]" "$GROUP"; chmod 666 $CNF' "chmod o-w $CNF"
row "a data directory of another account" failure "chown -R mysql" 'cnf user=mysql; chown -R daemon $DATA' "chown -R mysql $DATA"
row "no configuration" failure "nothing is configured" 'rm $CONFIG' 'json "$KEK"'
row "a configuration that is not JSON" failure "not valid JSON" 'echo path=/x > $CONFIG' 'json "$KEK"'
row "a configuration with a typo" failure "Did you mean 'path'?" 'sed -i s/\"path\"/\"pth\"/ $CONFIG' "sed -i 's/\"pth\"/\"path\"/' $CONFIG"
row "a configuration that only root can read" failure "component_keyring_ward.cnf" 'chmod 600 $CONFIG' "chmod 644 $CONFIG"
row "a configuration that everybody can write" failure "chmod o-w" 'chmod 666 $CONFIG' "chmod o-w $CONFIG"
row "the plugin's variables without the plugin" failure "the component needs the group" 'rm $CONFIG; cnf "$VARIABLES"' 'json "$KEK"'
row "a group with a hyphen" failure "did you mean [keyring_ward]" 'rm $CONFIG; cnf "[keyring-ward]" "$GROUP"' "sed -i s/keyring-ward/keyring_ward/ $CNF"
row "a group beside JSON" warning "counts for nothing" 'cnf "[keyring_ward]" path=/wrong'
row "no path" failure "no path is given" 'echo "{ \"backend\": \"file\", \"file\": { $KEK } }" > $CONFIG' 'json "$KEK"'
row "a path from here" failure "not an absolute path" 'sed -i "s|$KEYS/keyring.ward|keyring.ward|" $CONFIG' 'json "$KEK"'
row "an unknown backend" failure "is not a backend" 'sed -i "s|\"file\",|\"files\",|" $CONFIG' 'json "$KEK"'
row "passphrase and key file" failure "both a passphrase file and a key file" 'json "$KEK, \"passphrase_file\": \"$KEYS/p\""' 'json "$KEK"'
row "a plugin variable without a value" failure "has no value" 'as_plugin; echo loose_keyring_ward_timeout >> $CNF' "sed -i /ward_timeout/d $CNF"
row "the plugin without a path" failure "no path is given" 'as_plugin; sed -i /ward_path/d $CNF' "echo loose_keyring_ward_path=$KEYS/keyring.ward >> $CNF"

# ---- folder, keyring, lock, marker -------------------------------------------------------------------
# The keyring's folder itself is a volume in a container and can't be removed there.
row "the folder is missing" failure "install -d" 'sed -i "s|$KEYS/keyring|$KEYS/sub/keyring|" $CONFIG' "install -d -o mysql -g mysql -m 0750 $KEYS/sub; cp -a $BASE/keys/keyring.ward $KEYS/sub/"
row "a folder of root's, made before" warning "can't make files" 'chown root:root $KEYS; chmod 755 $KEYS' "chown --reference=$DATA $KEYS"
row "a folder of root's" failure "can't make files" 'rm $KEYS/keyring.ward.lock; chown root:root $KEYS; chmod 755 $KEYS' "chown --reference=$DATA $KEYS"
row "a folder that the account can't pass" failure "can't pass" 'mkdir -p /opt/closed; cp -a $KEYS/. /opt/closed; chown root:root /opt/closed; chmod 700 /opt/closed; sed -i "s|$KEYS/keyring|/opt/closed/keyring|" $CONFIG' \
  "chown -R --reference=$DATA /opt/closed"
row "a file system that is mounted read-only" failure "read-only" 'mkdir -p /mnt/kw; mount -t tmpfs -o size=1m kw /mnt/kw; cp -a $KEYS/. /mnt/kw; chown mysql /mnt/kw; mount -o remount,ro /mnt/kw; sed -i "s|$KEYS/keyring|/mnt/kw/keyring|" $CONFIG' \
  "mount -o remount,rw /mnt/kw"
row "a full disk, and no keyring yet" failure "Make room" 'rm -f $KEYS/keyring.ward* $DATA/keyring_ward.marker; mkdir -p /mnt/kw; mount -t tmpfs -o size=64k kw /mnt/kw; chown mysql /mnt/kw; head -c 1m /dev/zero > /mnt/kw/junk 2>/dev/null; sed -i "s|$KEYS/keyring|/mnt/kw/keyring|" $CONFIG
   find $DATA -mindepth 1 -delete; cp -a $BASE/empty/. $DATA/; NO_OLD_TABLE=1' "rm /mnt/kw/junk"
row "the keyring is gone (a volume that is not mounted)" failure "had a keyring" 'rm $KEYS/keyring.ward' "cp -a $BASE/keys/keyring.ward $KEYS/"
row "a volume that is not mounted, over a folder of root's" failure "The keyring is not in it" 'mkdir -p /mnt/kw; sed -i "s|$KEYS/keyring|/mnt/kw/keyring|" $CONFIG' \
  "mount -t tmpfs -o size=1m kw /mnt/kw; cp -a $BASE/keys/. /mnt/kw; chown mysql /mnt/kw"
row "another server's keyring" failure "another keyring" 'rm $KEYS/keyring.ward; keyring-ward init --config $CONFIG' "cp -a $BASE/keys/keyring.ward $KEYS/"
row "yesterday's keyring, a key was made since" failure "older copy" \
  'start; sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY"; mysqladmin -uroot -S $SOCKET shutdown; wait $SERVER; cp -a $KEYS/keyring.ward /tmp/kw-newest; cp -a $BASE/yesterday.ward $KEYS/keyring.ward' \
  "cp -a /tmp/kw-newest $KEYS/keyring.ward"
row "the same after a kill" failure "older copy" \
  'start; sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY"; kill_server; cp -a $KEYS/keyring.ward /tmp/kw-newest; cp -a $BASE/yesterday.ward $KEYS/keyring.ward' \
  "cp -a /tmp/kw-newest $KEYS/keyring.ward"
row "damaged in the middle" failure "KW-0009" 'printf "\xa5\xa5" | dd of=$KEYS/keyring.ward bs=1 seek=$(($(stat -c %s $KEYS/keyring.ward) / 2)) conv=notrunc status=none' \
  "cp -a $BASE/keys/keyring.ward $KEYS/"
row "cut within the header" failure "KW-0009" 'truncate -s 100 $KEYS/keyring.ward' "cp -a $BASE/keys/keyring.ward $KEYS/"
row "a file of a newer version" failure "KW-0010" 'cp /kw/tests/vectors/version-newer.ward $KEYS/keyring.ward; chown mysql $KEYS/keyring.ward' "cp -a $BASE/keys/keyring.ward $KEYS/"
row "the stock component's file as the keyring" failure "keyring-ward import" 'echo "{\"version\":\"1.0\",\"elements\":[]}" > $KEYS/keyring.ward' "cp -a $BASE/keys/keyring.ward $KEYS/"
row "a keyring of root's" failure "chown" 'chown root:root $KEYS/keyring.ward' "chown --reference=$DATA $KEYS/keyring.ward"
row "a keyring that everybody can read" failure "chmod 600" 'chmod 644 $KEYS/keyring.ward' "chmod 600 $KEYS/keyring.ward"
row "a FIFO as the keyring" failure "regular file" 'rm $KEYS/keyring.ward; mkfifo $KEYS/keyring.ward; chown mysql $KEYS/keyring.ward' "rm $KEYS/keyring.ward; cp -a $BASE/keys/keyring.ward $KEYS/"
row "a link as the keyring" failure "symbolic link" 'mv $KEYS/keyring.ward $KEYS/real; ln -s real $KEYS/keyring.ward' "mv $KEYS/real $KEYS/keyring.ward"
row "a folder as the keyring" failure "folder" 'rm $KEYS/keyring.ward; mkdir $KEYS/keyring.ward; chown mysql $KEYS/keyring.ward' "rmdir $KEYS/keyring.ward; cp -a $BASE/keys/keyring.ward $KEYS/"
row "a keyring with two names" failure "hard links" 'ln $KEYS/keyring.ward $KEYS/second' "rm $KEYS/second"
row "read_only, and no file" failure "does not exist" 'rm $KEYS/keyring.ward; json "$KEK" ", \"read_only\": true"' "cp -a $BASE/keys/keyring.ward $KEYS/"
row "a lock file of root's" failure "lock file" 'chown root:root $KEYS/keyring.ward.lock; chmod 600 $KEYS/keyring.ward.lock' "rm $KEYS/keyring.ward.lock"
row "a folder as the lock file" failure "lock file" 'rm $KEYS/keyring.ward.lock; mkdir $KEYS/keyring.ward.lock' "rmdir $KEYS/keyring.ward.lock"
row "another process holds the keyring" failure "held by" 'flock $KEYS/keyring.ward.lock sleep 600 > /dev/null 2>&1 & HOLDER=$!; wait_for 5 grep -q FLOCK /proc/locks' 'kill $(pgrep -P $HOLDER) $HOLDER; wait $HOLDER || true'
row "a marker of root's" failure "marker" 'chown root:root $DATA/keyring_ward.marker; chmod 600 $DATA/keyring_ward.marker' "chown --reference=$DATA $DATA/keyring_ward.marker"
row "a folder as the marker" failure "marker" 'rm $DATA/keyring_ward.marker; mkdir $DATA/keyring_ward.marker' "rmdir $DATA/keyring_ward.marker"

# ---- secrets ----------------------------------------------------------------------------------------
row "no secret" failure "KW-0001" 'mv $KEYS/kek /tmp/kw-secret' "mv /tmp/kw-secret $KEYS/kek"
row "an empty secret" failure "kek" 'secret $KEYS/kek ""' "cp -a $BASE/keys/kek $KEYS/"
row "another secret" failure "KW-0008" 'secret $KEYS/kek "another secret of more than 32 bytes"' "cp -a $BASE/keys/kek $KEYS/"
row "a secret that everybody can read" failure "chmod 600" 'chmod 644 $KEYS/kek' "chmod 600 $KEYS/kek"
row "a secret that only root can read" failure "belongs to user 0" 'chown root:root $KEYS/kek; chmod 600 $KEYS/kek' "chown --reference=$DATA $KEYS/kek"
row "a secret in a folder that the account can't pass" failure "can't pass" 'mkdir -p -m 700 /opt/secrets; cp -a $KEYS/kek /opt/secrets/; sed -i "s|$KEYS/kek|/opt/secrets/kek|" $CONFIG' \
  "chgrp --reference=$DATA /opt/secrets && chmod g+x /opt/secrets"
row "a secret in root's home" failure "Put '/root/kw-kek' where" 'cp -a $KEYS/kek /root/kw-kek; chmod 700 /root; sed -i "s|$KEYS/kek|/root/kw-kek|" $CONFIG' \
  'install -d -o root -g mysql -m 0750 /etc/mysql-keyring; cp -a /root/kw-kek /etc/mysql-keyring/kek; rm /root/kw-kek; sed -i "s|/root/kw-kek|/etc/mysql-keyring/kek|" $CONFIG'
row "all of the keyring copied by root" failure "chown -R --reference" 'cp -r $KEYS /opt/closed; chmod 700 /opt/closed; sed -i "s|$KEYS/|/opt/closed/|g" $CONFIG' \
  "chown -R --reference=$DATA /opt/closed"
row "a folder as the secret" failure "kek" 'rm $KEYS/kek; mkdir $KEYS/kek' "rmdir $KEYS/kek; cp -a $BASE/keys/kek $KEYS/"
row "a short key file" failure "31 bytes" 'secret $KEYS/kek 0123456789012345678901234567890' "cp -a $BASE/keys/kek $KEYS/"

# ---- an HSM -------------------------------------------------------------------------------------------
hsm_base() { # the keyring under a key of a software token
  hsm_reset; use_softhsm; pin_file
  pkcs11_config; sed -i 's/"start_timeout": [0-9]*/"start_timeout": 2/' $CONFIG
  cp -a $CONFIG $BASE/pkcs11.cnf
  json "$KEK"
  keyring-ward rekey --config $CONFIG --new-config $BASE/pkcs11.cnf --generate >/dev/null || return 1
  cp -a $BASE/pkcs11.cnf $CONFIG
}
token_base() { # a keyring on the token itself, of a data directory that has none yet
  hsm_reset; use_softhsm; pin_file; NO_OLD_TABLE=1
  START_TIMEOUT=2 pkcs11_config '"storage": "token"'
  rm -f $KEYS/keyring.ward*; find $DATA -mindepth 1 -delete; cp -a $BASE/empty/. $DATA/
  keyring-ward init --config $CONFIG --generate
}
row "an HSM" ok '"opens"' hsm_base
row "no PKCS#11 module" failure "KW-0001" 'hsm_base; sed -i s,$MODULE,/usr/lib/absent.so, $CONFIG' "cp -a $BASE/pkcs11.cnf $CONFIG"
row "a PKCS#11 module that is not root's" failure "belongs to user" 'hsm_base; cp $MODULE /usr/lib/kw-module.so; chown daemon /usr/lib/kw-module.so; sed -i s,$MODULE,/usr/lib/kw-module.so, $CONFIG' \
  "chown root /usr/lib/kw-module.so"
row "a wrong PIN" failure "PIN" 'hsm_base; pin_file 99999999' "pin_file $PIN; rm -f $KEYS/keyring.ward.refused-pin"
row "no such token" failure "token" 'hsm_base; sed -i "s/\"token_label\": \"ward\"/\"token_label\": \"wrd\"/" $CONFIG' "cp -a $BASE/pkcs11.cnf $CONFIG"
row "no such key" failure "key" 'hsm_base; sed -i "s/\"key_label\": \"kek\"/\"key_label\": \"kk\"/" $CONFIG' "cp -a $BASE/pkcs11.cnf $CONFIG"

row "keys on the token" warning '"opens"' token_base
row "keys on the token, and none yet" warning "the first key makes it" 'token_base; hsm_reset; use_softhsm; pin_file; keyring-ward init --config $CONFIG --path $KEYS/other.ward --option pkcs11_storage=file --generate'

# ---- keys of before ------------------------------------------------------------------------------------
stock_keys() { # the data directory's keys are in the stock component's file, and the manifest names ours already
  (umask 077; keyring-ward export --config $CONFIG --to $KEYS/stock --plaintext)
  echo "{ \"path\": \"$KEYS/stock\", \"read_only\": false }" > $PLUGINS/component_keyring_file.cnf
  rm -f $DATA/keyring_ward.marker $KEYS/keyring.ward*
}
# "Before the server starts": the one that was looked at has made a key of its own meanwhile.
bring_them() {
  find $DATA -mindepth 1 -delete; cp -a $BASE/data/. $DATA/; rm -f $DATA/keyring_ward.marker $KEYS/keyring.ward*
  keyring-ward import --config $CONFIG --from $KEYS/stock
}
row "tables under another keyring" failure "import --from '$KEYS/stock'" stock_keys bring_them
row "tables under another keyring, and ours has other keys" failure "import --from '$KEYS/stock'" 'stock_keys; keyring-ward init --config $CONFIG' bring_them

# Beside the server that runs.
beside() {
  base; start || fail "the server"
  local said; said=$(doctor 2>&1) || { FAILED=$((FAILED + 1)); echo "FAILED  beside the running server: $said"; kill_server; return; }
  kill_server
  if grep -q 'lock: held by process [0-9]*, the server that runs' <<< "$said"; then PASSED=$((PASSED + 1)); else
    FAILED=$((FAILED + 1)); echo "FAILED  beside the running server: $(grep lock <<< "$said")"; fi
  echo "    | beside the server that runs | ok | serves |  |  |"
  ROWS=$((ROWS + 1))
}
[[ "beside the running server" == *"$ONLY"* ]] && beside

# A second data directory, whose server is to have the keyring that the first one's server holds.
second() {
  local title="another server holds the keyring" second=/var/cache/kw-second said is problem=''
  # Started by root, so that its working directory can't be seen.
  base; rm -rf $second; cp -a $BASE/data $second; FIRST=--defaults-file=$CNF start_server || fail "the server"
  keyring-ward doctor --defaults-file $CNF --datadir $DATA 2>&1 | grep -q 'lock: held by process [0-9]*, the server that runs' \
    || problem="its own server is not known; "
  said=$(keyring-ward doctor --json --defaults-file $CNF --datadir $second 2>/dev/null); is=$(verdict_of "$said")
  [ "$is" = failure ] && grep -q "no server runs on '$second'" <<< "$said" || problem+="doctor says $is: $(grep -A2 '"lock"\|held by' <<< "$said")"
  # What the second server does, the log of which says so.
  setpriv --reuid mysql --regid mysql --init-groups mysqld --defaults-file=$CNF --datadir=$second --socket=/run/mysqld/second.sock \
    --pid-file=/run/mysqld/second.pid --skip-networking --mysqlx=OFF --skip-log-bin --log-error=/run/mysqld/second.log >/dev/null 2>&1 & local pid=$!
  wait_for 30 grep -q 'KW-0007' /run/mysqld/second.log || problem+="; the second server gets the keyring"
  kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null; kill_server; rm -rf $second /run/mysqld/second.*
  echo "    | $title | $is | keyring disabled | $(remedy_of "$said" failure) |  |"
  ROWS=$((ROWS + 1))
  if [ -z "$problem" ]; then PASSED=$((PASSED + 1)); else FAILED=$((FAILED + 1)); echo "FAILED  $title: $problem"; fi
}
[[ "another server holds the keyring" == *"$ONLY"* ]] && second

# Somebody who is neither root nor the account is sent to them, and told to change nothing.
stranger() {
  local said command; base; useradd -M kw-bob 2>/dev/null
  for command in doctor status list verify; do
    said=$(setpriv --reuid kw-bob --regid kw-bob --clear-groups keyring-ward $command --defaults-file $CNF --datadir $DATA 2>&1) \
      && { FAILED=$((FAILED + 1)); echo "FAILED  $command by somebody else succeeds"; continue; }
    if grep -q "You are 'kw-bob' (user [0-9]*): run this as root or as 'mysql'" <<< "$said" && ! grep -q 'chown\|chmod' <<< "$said"; then
      PASSED=$((PASSED + 1)); else FAILED=$((FAILED + 1)); echo "FAILED  $command by somebody else: $said"; fi
  done
}
[[ "somebody else" == *"$ONLY"* ]] && stranger

base; rm -f "$MANIFEST" "$CONFIG" $CNF; rm -rf $BASE /opt/closed /opt/secrets /opt/plugins /etc/mysql-keyring /usr/lib/kw-module.so $PLUGINS/component_keyring_file.cnf
echo "    $ROWS set-ups"
echo "$PASSED passed, $FAILED failed"
[ $FAILED = 0 ]
