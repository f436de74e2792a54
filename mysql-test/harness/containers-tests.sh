#!/bin/bash
# Secrets and volumes as Docker and Kubernetes hand them over, imitated exactly (modes, owners, links, mounts, groups), on a
# real server; and what stands in a start's way and passes. Runs inside the box, as root.
#   containers-tests.sh [NAME…]
. "$(dirname "$0")/tests-lib.sh"
SECRETS=/run/kw-secrets FS_GROUP=2000

# A secret volume as the kubelet makes it: tmpfs 1777, a folder of root's, two links. With an fsGroup everything is its
# group's and the folders are setgid.
secret_volume() { # secret_volume MODE GROUP [TEXT]
  unmount_all
  mkdir -p $SECRETS; mount -t tmpfs -o size=64k,mode=1777 kw-secret $SECRETS
  put_secret ..2026_01_01 "$@"
  ln -s ..data/passphrase $SECRETS/passphrase
}
# The kubelet changes a secret by a new folder and one rename of the link.
put_secret() { # put_secret FOLDER MODE GROUP [TEXT]
  mkdir $SECRETS/"$1"; chmod 755 $SECRETS/"$1"
  printf '%s' "${4:-correct horse battery staple}" > $SECRETS/"$1"/passphrase
  chgrp "$3" $SECRETS/"$1"/passphrase; chmod "$2" $SECRETS/"$1"/passphrase
  if [ "$3" = $FS_GROUP ]; then
    chgrp $FS_GROUP $SECRETS $SECRETS/"$1"; chmod 3777 $SECRETS; chmod 2755 $SECRETS/"$1"
  fi
  ln -s "$1" $SECRETS/..data_tmp; mv -T $SECRETS/..data_tmp $SECRETS/..data
}
unmount_all() {
  local at
  for at in $SECRETS/passphrase $SECRETS /mnt/kw-volume; do
    while mountpoint -q "$at"; do umount "$at" || umount -l "$at"; done
  done
  rm -rf $SECRETS /mnt/kw-volume
}
begin() { trap 'stop_server; unmount_all' EXIT; reset_all; unmount_all; fresh_data; component_manifest; config; }
config() { # config [START_TIMEOUT [PATH]]
  echo "{ \"backend\": \"file\", \"path\": \"${2:-$KEYS/keyring.ward}\", \"start_timeout\": ${1:-5},
    \"file\": { \"passphrase_file\": \"$SECRETS/passphrase\" } }" > "$CONFIG"
}
serves() { # the keyring is Active and takes a key
  expect status "$(status_row Component_status)" Active
  sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY"
}
disabled() { # disabled SENTENCE
  expect status "$(status_row Component_status)" Disabled
  case "$(status_row Last_error)" in *"$1"*) ;; *) fail "Last_error lacks '$1': $(status_row Last_error)" ;; esac
}
# A server in the background, as the account mysql with these groups besides its own.
launch() { # launch GROUPS OPTION…
  local groups=--init-groups; [ -z "$1" ] || groups="--groups $1"; shift
  : > "$LOG"; chown mysql:mysql "$LOG"
  # shellcheck disable=SC2086
  setpriv --reuid mysql --regid mysql $groups mysqld --no-defaults --datadir=$DATA --socket=$SOCKET \
    --pid-file=/run/mysqld/mysqld.pid --skip-networking --mysqlx=OFF $SMALL --log-error=$LOG "$@" &
  SERVER=$!
}
answers() { wait_for "${1:-60}" mysqladmin -uroot -S $SOCKET ping || fail "the server does not answer"; }
# A thread of the server sleeps in the kernel: before it serves, only the keyring's waiting does.
waits() {
  local call; case "$(uname -m)" in x86_64) call=230 ;; *) call=115 ;; esac
  wait_for 30 sh -c "cat /proc/$SERVER/task/*/syscall | grep -q '^$call '" || fail "the server does not wait"
}

t_kubernetes_secret_volume() {
  begin; secret_volume 440 mysql
  start_server; serves
  log_lacks "could be exchanged"
  # The kubelet gives the volume's folder a new one and swaps the link.
  put_secret ..2026_02_02 440 mysql; rm -r $SECRETS/..2026_01_01
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  serves
  # A changed secret is refused, and the old keyring goes on.
  put_secret ..2026_03_03 440 mysql "another passphrase"
  sql -e "ALTER INSTANCE RELOAD KEYRING" 2>/dev/null && fail "a reload takes another passphrase"
  log_has "KW-0008 WrongKek"
  serves
}

t_kubernetes_fs_group() {
  begin; secret_volume 440 $FS_GROUP
  # A persistent volume: its root is the fsGroup's.
  mkdir -p /mnt/kw-volume; chown root:$FS_GROUP /mnt/kw-volume; chmod 2775 /mnt/kw-volume
  config 5 /mnt/kw-volume/keyring.ward
  launch $FS_GROUP; answers; serves
  log_has "fsGroup"
  stop_server
  # At the next mount the kubelet gives every file to the group, and rights with it.
  chgrp $FS_GROUP /mnt/kw-volume/*; chmod g+rw /mnt/kw-volume/*
  launch $FS_GROUP; answers; serves
  # Root looks with the groups of the server that runs; without one it says that it does not know them.
  keyring-ward doctor --plugin-dir $PLUGINS --datadir $DATA > /tmp/kw-doctor || fail "doctor: $(cat /tmp/kw-doctor)"
  stop_server
  keyring-ward doctor --plugin-dir $PLUGINS --datadir $DATA > /tmp/kw-doctor && fail "doctor has the group by itself"
  grep -q "are not known while no server runs" /tmp/kw-doctor || fail "doctor: $(cat /tmp/kw-doctor)"
  # Without the group neither secret nor keyring is for this server.
  launch ""; answers; disabled "group $FS_GROUP"
}

t_docker_secrets() {
  begin; mkdir -p $SECRETS; chmod 755 $SECRETS
  printf 'correct horse battery staple' > /run/kw-source; touch $SECRETS/passphrase
  # Swarm's default, and a file of the host's as Compose mounts it.
  chown root:root /run/kw-source; chmod 444 /run/kw-source
  mount --bind /run/kw-source $SECRETS/passphrase
  start_server; disabled "everybody can get at it"
  case "$(status_row Last_error)" in *"docs/guide/containers.md"*) ;; *) fail "no word of the page: $(status_row Last_error)" ;; esac
  # With uid, gid and mode.
  chown mysql:mysql /run/kw-source; chmod 400 /run/kw-source
  sql -e "ALTER INSTANCE RELOAD KEYRING"; serves
  chown root:mysql /run/kw-source; chmod 440 /run/kw-source
  sql -e "ALTER INSTANCE RELOAD KEYRING"; serves
  rm /run/kw-source
}

t_kubernetes_sub_path() {
  begin; secret_volume 440 mysql
  # subPath: one file of the volume, mounted by itself; no links are left.
  local file=$SECRETS/..2026_01_01/passphrase
  mkdir -p /mnt/kw-volume; touch /mnt/kw-volume/passphrase; mount --bind "$file" /mnt/kw-volume/passphrase
  sed -i "s|$SECRETS/passphrase|/mnt/kw-volume/passphrase|" "$CONFIG"
  start_server; serves
  stop_server; umount /mnt/kw-volume/passphrase
}

t_what_others_could_exchange_is_refused() {
  begin; secret_volume 440 mysql
  start_server; serves; stop_server
  local n=0
  refused() { # refused SENTENCE COMMAND…
    secret_volume 440 mysql; n=$((n + 1)); local sentence=$1; shift; eval "$*"
    start_server; disabled "$sentence"; stop_server
  }
  refused "not sticky" "chmod 777 $SECRETS"
  refused "symbolic link" "chown -h nobody $SECRETS/passphrase"
  refused "symbolic link" "chown -h nobody $SECRETS/..data"
  refused "belongs to user" "chown nobody $SECRETS/..2026_01_01"
  refused "belongs to user" "chown nobody:mysql $SECRETS/..2026_01_01/passphrase"
  refused "group" "chgrp daemon $SECRETS/..2026_01_01/passphrase"
  refused "everybody can get at it" "chmod 444 $SECRETS/..2026_01_01/passphrase"
  refused "may not read it" "chmod 400 $SECRETS/..2026_01_01/passphrase"
  refused "not a regular file" "rm $SECRETS/..2026_01_01/passphrase; mkfifo -m 600 $SECRETS/..2026_01_01/passphrase; chown mysql $SECRETS/..2026_01_01/passphrase"
  refused "more than one line" "printf 'a passphrase\n\n' > $SECRETS/..2026_01_01/passphrase"
  expect set-ups $n 10
}

t_a_secret_that_comes_later() { late_secret as_account; }
t_a_secret_that_comes_later_for_root() { late_secret as_root; }
as_account() { launch ""; }
as_root() {
  : > "$LOG"; chown mysql:mysql "$LOG"
  mysqld --no-defaults --user=mysql --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid \
    --skip-networking --mysqlx=OFF $SMALL --log-error=$LOG &
  SERVER=$!
}
late_secret() {
  begin; secret_volume 440 mysql; start_server; serves; stop_server
  unmount_all; config 60
  "$1"; waits
  secret_volume 440 mysql
  answers; serves
  log_has "The keyring waits for the secret '$SECRETS/passphrase'"
  log_has "The keyring waits no more."
  expect "sentences of waiting" "$(grep -c 'The keyring waits for' "$LOG")" 1
}

t_a_volume_that_is_mounted_later() { late_volume mysql:mysql 755; }
t_a_volume_over_a_folder_of_roots() { late_volume root:root 755; }
t_a_volume_over_a_closed_folder_of_roots() { late_volume root:root 700; }
late_volume() { # late_volume OWNER MODE: what the bare mount point is
  begin; secret_volume 440 mysql
  mkdir -p /mnt/kw-volume; mount -t tmpfs -o size=8m kw-volume /mnt/kw-volume; chown mysql:mysql /mnt/kw-volume
  config 60 /mnt/kw-volume/keyring.ward
  start_server; encrypted_table; stop_server
  # Mounted elsewhere for a while; the mount point is there, and empty.
  mkdir -p /mnt/kw-aside; mount --move /mnt/kw-volume /mnt/kw-aside 2>/dev/null \
    || { mount --bind /mnt/kw-volume /mnt/kw-aside && umount /mnt/kw-volume; }
  chown "$1" /mnt/kw-volume; chmod "$2" /mnt/kw-volume
  if [ "$1" = root:root ]; then
    local said; said=$(keyring-ward doctor --plugin-dir $PLUGINS --datadir $DATA 2>&1) && fail "doctor finds nothing"
    grep -qi 'mount the volume\|a volume belongs there' <<< "$said" || fail "doctor does not speak of the volume: $said"
    ! grep 'Run: chown' <<< "$said" | grep -v 'a volume belongs there' || fail "doctor gives the mount point away"
  fi
  launch ""; waits
  mount --bind /mnt/kw-aside /mnt/kw-volume
  answers; serves
  expect row "$(row)" one
  log_has "The keyring waits for the keyring file"
  stop_server; umount /mnt/kw-volume; umount /mnt/kw-aside; rmdir /mnt/kw-aside
}

t_a_lock_that_is_released_later() {
  begin; secret_volume 440 mysql; start_server; encrypted_table; stop_server
  config 60
  # The old server is still stopping.
  mkfifo /run/kw-release
  flock "$KEYS/keyring.ward.lock" cat /run/kw-release & local holder=$!
  wait_for 30 sh -c "! flock --nonblock $KEYS/keyring.ward.lock true"
  launch ""; waits
  echo go > /run/kw-release; wait $holder; rm /run/kw-release
  answers; expect row "$(row)" one
  log_has "The keyring waits for the lock of '$KEYS/keyring.ward'"
}

t_the_waiting_ends_and_a_reload_does_not_wait() {
  begin; secret_volume 440 mysql; start_server; serves; stop_server
  config 2; unmount_all
  local before=$SECONDS
  start_server; disabled "waited 2 s (start_timeout)"
  [ $((SECONDS - before)) -le 20 ] || fail "the start took $((SECONDS - before)) s"
  config 600
  before=$SECONDS
  sql -e "ALTER INSTANCE RELOAD KEYRING" 2>/dev/null && fail "a reload without the secret succeeds"
  [ $((SECONDS - before)) -le 10 ] || fail "the reload waited $((SECONDS - before)) s"
  secret_volume 440 mysql
  sql -e "ALTER INSTANCE RELOAD KEYRING"; serves
}

t_a_local_file_takes_nothing_back() {
  begin; secret_volume 440 mysql; start_server; serves
  local fingerprint; fingerprint=$(keyring-ward status --config "$CONFIG" --json | sed -n 's/.*"[Ff]ingerprint": "\([0-9a-f]*\)".*/\1/p')
  stop_server
  echo "{ \"read_local_config\": true, \"backend\": \"file\", \"fingerprint\": [\"$fingerprint\"],
    \"file\": { \"passphrase_file\": \"$SECRETS/passphrase\" } }" > "$CONFIG"
  local local_file=$DATA/component_keyring_ward.cnf
  echo "{ \"path\": \"$KEYS/keyring.ward\", \"start_timeout\": 5 }" > $local_file; chown mysql:mysql $local_file
  start_server; serves
  echo "{ \"path\": \"$KEYS/keyring.ward\", \"fingerprint\": \"\" }" > $local_file
  sql -e "ALTER INSTANCE RELOAD KEYRING" 2>/dev/null && fail "a local file takes the fingerprint back"
  log_has "'$local_file' names fingerprint, which '$CONFIG' has named already"
  serves
}

t_a_new_dek_is_named_before_it_counts() {
  begin; secret_volume 440 mysql; start_server; encrypted_table; stop_server
  local pinned new out
  pinned=$(keyring-ward status --config "$CONFIG" --json | sed -n 's/.*"[Ff]ingerprint": "\([0-9a-f]*\)".*/\1/p')
  pin() { sed -i "s|\"start_timeout\"|\"fingerprint\": \"$1\", \"start_timeout\"|" "$CONFIG"; }
  pin "$pinned"
  out=$(keyring-ward reseal --config "$CONFIG" 2>&1) && fail "the DEK was changed under a pinned fingerprint"
  case "$out" in *"KW-0005 Config"*"--wait"*) ;; *) fail "$out" ;; esac
  start_server; expect row "$(row)" one; stop_server
  # The tool tells the new one and waits until the configuration names it.
  keyring-ward reseal --config "$CONFIG" --wait 60 > /tmp/kw-reseal 2>&1 & local tool=$!
  wait_for 30 grep -q "Add [0-9a-f]\{32\} to fingerprint" /tmp/kw-reseal
  new=$(sed -n 's/.*Add \([0-9a-f]\{32\}\) to.*/\1/p' /tmp/kw-reseal)
  sed -i "s|$pinned|$pinned,$new|" "$CONFIG"
  wait $tool || fail "$(cat /tmp/kw-reseal)"
  start_server; expect row "$(row)" one
  # By SQL: the first call tells, the second one does it.
  sql < /usr/share/keyring-ward/install.sql 2>/dev/null || sql < /kw/share/install.sql
  out=$(sql -e "SELECT keyring_ward_reseal()" 2>&1) || true
  new=$(printf '%s' "$out$(cat "$LOG")" | grep -o "that of the new one, [0-9a-f]\{32\}" | tail -1 | grep -o '[0-9a-f]*$')
  [ ${#new} = 32 ] || fail "no fingerprint is told: $out"
  sed -i "s|$pinned|$pinned,$new|" "$CONFIG"
  sql -e "SELECT keyring_ward_reseal()" | grep -q "$new" || fail "the second call does not do it"
  stop_server; start_server; expect row "$(row)" one
}

t_a_keyring_in_the_data_directory() {
  begin; unmount_all
  local out folder=$DATA/keys
  install -d -o mysql -g mysql -m 750 "$folder"
  out=$(keyring-ward init --path "$folder/k.ward" --passphrase-file "$folder/p" --generate --user mysql 2>&1)
  case "$out" in *"The keyring '$folder/k.ward' lies in the data directory"*"The secret '$folder/p' lies in"*) ;; *) fail "init: $out" ;; esac
  out=$(keyring-ward init --path "$KEYS/k.ward" --passphrase-file "$KEYS/p" --generate --user mysql 2>&1)
  case "$out" in *"lies in the data directory"*) fail "init: $out" ;; esac
  echo "{ \"backend\": \"file\", \"path\": \"$folder/k.ward\", \"file\": { \"passphrase_file\": \"$folder/p\" } }" > "$CONFIG"
  start_server; serves
  log_has "The keyring '$folder/k.ward' lies in the data directory"
  log_has "The secret '$folder/p' lies in the data directory"
}

# The manifest of docs/guide/containers.md: its own configuration, modes and groups, as the kubelet would carry them out.
t_the_manifest_of_the_page() {
  begin
  local page=/kw/docs/guide/containers.md manifest mode fs user mount path own
  manifest=$(awk '/^```yaml/ {n++} /^```$/ {inside=0} inside && n == 2 {print} /^```yaml/ {inside=1}' $page)
  value() { printf '%s\n' "$manifest" | sed -n "s/.*$1: *\([^,} ]*\).*/\1/p" | head -1; }
  mode=$(value defaultMode) fs=$(value fsGroup) user=$(value runAsUser) mount=$(value "name: passphrase, mountPath")
  path=$(value "name: keyring, mountPath")
  expect "what the page names" "$mode $fs $user $mount $path" "0440 999 999 /etc/keyring-ward /var/lib/mysql-keyring"
  # The account of this box instead of the image's.
  own=$(id -g mysql)
  printf '%s\n' "$manifest" | sed -n '/component_keyring_ward.cnf: |/,/^---/p' | sed '1d;$d' > "$CONFIG"
  expect keyring "$path" "$KEYS"
  chown root:"$own" "$KEYS"; chmod 2775 "$KEYS"
  mkdir -p "$mount"; mount -t tmpfs -o size=64k,mode=1777 kw-secret "$mount"
  mkdir -m 2755 "$mount/..2026"; printf 'correct horse battery staple' > "$mount/..2026/passphrase"
  ln -s ..2026 "$mount/..data"; ln -s ..data/passphrase "$mount/passphrase"
  chgrp "$own" "$mount" "$mount/..2026" "$mount/..2026/passphrase"; chmod 3777 "$mount"; chmod "$mode" "$mount/..2026/passphrase"
  mount -o remount,ro "$mount"
  launch "$own"; answers; serves
  log_lacks "[Warning] [MY-011071] [Server] Component component_keyring_ward"
  stop_server
  chgrp "$own" "$KEYS"/*; chmod g+rw "$KEYS"/*
  launch "$own"; answers; serves
  stop_server; umount "$mount"; rmdir "$mount"; chown mysql:mysql "$KEYS"; chmod 750 "$KEYS"
}

run_tests "$@"
