#!/bin/bash
# mysqld and the tool started by root: everything is done with the rights of the account, nothing stays behind.
#   root-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
. /kw/mysql-test/harness/hsm.sh

M=$(id -u mysql)
TRACED=execve,clone,clone3,fork,vfork,setresuid,setreuid,setuid,open,openat,openat2,connect,unlink,unlinkat,rename,renameat,renameat2,chown,fchown,lchown,fchownat,mkdir,mkdirat,rmdir,link,linkat,symlink,symlinkat,chmod,fchmod,fchmodat,truncate

with_passphrase() { # a configured component, a keyring, a fresh data directory
  reset_all; component_manifest; make_passphrase
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  keyring-ward init --config "$CONFIG" --user mysql | head -2
  fresh_data
}
with_shim() { # a token behind the shim, made as the account
  reset_all; component_manifest; hsm_reset; pin_file
  use_softhsm; use_shim; pkcs11_config
  as_mysql keyring-ward init --config "$CONFIG" --generate | head -2
  fresh_data
}
# The server that runs has no thread of this name, and no child.
nothing_left() { # nothing_left THREAD
  ! grep -qsx "$1" /proc/"$SERVER"/task/*/comm || fail "a thread '$1' is left in the server"
  [ -z "$(pgrep -P "$SERVER")" ] || fail "a child is left: $(ps -o pid,args --ppid "$SERVER")"
}
start_as() { # start_as USER OPTION…: --user=USER, like start_server
  local user=$1; shift
  : > "$LOG"; chown mysql:mysql "$LOG"
  mysqld --no-defaults --user="$user" --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid \
    --skip-networking --mysqlx=OFF $SMALL --log-error=$LOG "$@" &
  SERVER=$!
  wait_for 60 mysqladmin -uroot -S $SOCKET ping
}

# ---- nothing outlives load() ---------------------------------------------------------------------

t_a_module_that_leaves_a_thread() {
  with_shim
  faults "Initialize thread"
  start_server || fail "the server does not start"
  expect status "$(status_row Component_status)" Active
  nothing_left p11-shim
  log_lacks "still there"
  install_udf; encrypted_table
  sql -e "ALTER INSTANCE RELOAD KEYRING; ALTER INSTANCE ROTATE INNODB MASTER KEY"
  expect row "$(row)" one
}

t_keys_on_a_token_and_a_module_that_leaves_a_thread() {
  with_shim
  rm -f "$KEYS"/keyring.ward*
  pkcs11_config '"storage": "token"'
  start_server || fail "the server does not start"
  install_udf; encrypted_table
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
  kill_server
  faults "Initialize thread"
  start_server || fail "the server does not start"
  nothing_left p11-shim
  expect length "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
  expect row "$(row)" one
}

t_a_module_that_hangs() {
  START_TIMEOUT=4 with_shim
  faults "Initialize hang 600"
  local before=$SECONDS
  start_server || fail "the server does not start"
  [ $((SECONDS - before)) -le 40 ] || fail "the start took $((SECONDS - before)) s"
  expect status "$(status_row Component_status)" Disabled
  log_has "KW-0014 Timeout"
  nothing_left kw-pkcs11
  # It answers again: RELOAD brings the keyring.
  faults
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect status "$(status_row Component_status)" Active
}

t_a_module_that_crashes() {
  with_shim
  faults "Initialize crash"
  start_server || fail "the server does not start"
  expect status "$(status_row Component_status)" Disabled
  log_has "was ended by signal 11"
  nothing_left kw-pkcs11
}

t_daemonize_with_a_module_that_leaves_a_thread() {
  with_shim
  faults "Initialize thread"
  mysqld --no-defaults --user=mysql --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid \
    --skip-networking --mysqlx=OFF $SMALL --log-error=$LOG --daemonize
  wait_for 60 mysqladmin -uroot -S $SOCKET ping
  SERVER=$(cat /run/mysqld/mysqld.pid)
  nothing_left p11-shim
  expect status "$(status_row Component_status)" Active
  mysqladmin -uroot -S $SOCKET shutdown
  wait_for 30 sh -c "! kill -0 $SERVER"
}

# A long journal is read by two threads: the second one is the account's, has no capability, and has ended when the server goes on,
# which changes its user then, or forks.
t_many_keys_leave_no_thread() {
  with_passphrase
  perl -e 'print "{\"version\":\"1.0\",\"elements\":[", join(",", map { sprintf("{\"user\":\"a\@b\",\"data_id\":\"k%d\",\"data_type\":\"AES\",\"data\":\"%032X\",\"extension\":[]}", $_, $_) } 1..5000), "]}"' > /root/kw-many
  chmod 600 /root/kw-many
  keyring-ward import --config "$CONFIG" --user mysql --from /root/kw-many | grep -q "5000 keys were imported" || fail import
  rm /root/kw-many
  : > "$LOG"; chown mysql:mysql "$LOG"
  strace -f -qq -e trace=prctl,setresuid,exit -o /tmp/kw-trace mysqld --no-defaults --user=mysql --datadir=$DATA --socket=$SOCKET \
    --pid-file=/run/mysqld/mysqld.pid --skip-networking --mysqlx=OFF $SMALL --log-error=$LOG &
  SERVER=$!
  wait_for 120 mysqladmin -uroot -S $SOCKET ping || fail "the server does not start"
  expect keys "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys")" 5000
  mysqladmin -uroot -S $SOCKET shutdown; wait $SERVER
  local reader; reader=$(sed -n 's/^\([0-9]*\) *prctl(PR_SET_NAME, "kw-reader".*/\1/p' /tmp/kw-trace)
  [ -n "$reader" ] || fail "no second thread has read"
  grep -q "^$reader *exit(0)" /tmp/kw-trace || fail "it has not ended"
  # After the acting thread became the account, so that it was born as that.
  awk -v reader="$reader" '$1 == reader { exit !became } /setresuid\(/ { became = 1 }' /tmp/kw-trace || fail "it was begun by root"
  log_lacks "still there"
  mysqld --no-defaults --user=mysql --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid \
    --skip-networking --mysqlx=OFF $SMALL --log-error=$LOG --daemonize
  wait_for 60 mysqladmin -uroot -S $SOCKET ping
  SERVER=$(cat /run/mysqld/mysqld.pid)
  nothing_left kw-reader
  expect keys "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys")" 5000
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  nothing_left kw-reader
  log_lacks "still there"
  mysqladmin -uroot -S $SOCKET shutdown
  wait_for 30 sh -c "! kill -0 $SERVER"
}

# A name server that takes every question and answers none, as the only one.

t_a_name_server_that_never_answers() {
  reset_all; component_manifest; fresh_data
  (umask 077; printf '[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = x\n' > "$KEYS/aws"); chown mysql:mysql "$KEYS/aws"
  echo "{ \"backend\": \"aws_kms\", \"path\": \"$KEYS/keyring.ward\", \"start_timeout\": 4, \"timeout\": 2, \"aws_kms\": {
    \"key_id\": \"arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab\",
    \"endpoint_url\": \"https://kms.keyring-ward.test:8443\", \"credentials_file\": \"$KEYS/aws\" } }" > "$CONFIG"
  cp /etc/resolv.conf /tmp/kw-resolv 2>/dev/null || : > /tmp/kw-resolv
  perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => "127.9.9.9", LocalPort => 53, Proto => "udp") or die $!;
    $| = 1; print "ready\n"; while (1) { recv $s, $b, 4096, 0; print "asked\n" }' > /tmp/kw-dns 2>&1 &
  local dns=$!
  wait_for 10 grep -q ready /tmp/kw-dns || fail "no name server: $(cat /tmp/kw-dns)"
  printf 'nameserver 127.9.9.9\noptions timeout:30 attempts:5\n' > /etc/resolv.conf
  local before=$SECONDS rc=0
  start_server || rc=$?
  cat /tmp/kw-resolv > /etc/resolv.conf; kill $dns
  [ $rc = 0 ] || fail "the server does not start"
  grep -q asked /tmp/kw-dns || fail "the name server was not asked"
  [ $((SECONDS - before)) -le 40 ] || fail "the start took $((SECONDS - before)) s"
  expect status "$(status_row Component_status)" Disabled
  log_has "KW-0012 Unreachable"
  nothing_left kw-lookup
}

# ---- with whose rights ---------------------------------------------------------------------------

# A KMS that refuses whatever it is asked, at once: what is tested is who asks, and a time that is too short for a busy machine
# would test the machine. Sets REFUSING (its URL) and REFUSER (its process).
refusing_kms() {
  rm -f /tmp/kw-refusing
  perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 0, Listen => 8) or die $!;
    $| = 1; print $s->sockport, "\n"; my $no = q({"__type":"AccessDeniedException","message":"refused"});
    while (my $c = $s->accept) { my $n = 0; while (<$c>) { $n = $1 if /^content-length: *(\d+)/i; last if /^\r?$/ } read $c, my $body, $n;
      print $c "HTTP/1.1 400 Bad Request\r\nContent-Type: application/x-amz-json-1.1\r\nConnection: close\r\nContent-Length: ", length $no, "\r\n\r\n$no" }' \
    > /tmp/kw-refusing 2>&1 &
  REFUSER=$!
  wait_for 30 grep -qx '[0-9]*' /tmp/kw-refusing || fail "no KMS: $(cat /tmp/kw-refusing)"
  REFUSING=http://127.0.0.1:$(cat /tmp/kw-refusing)
}
refused_config() {
  echo "{ \"backend\": \"aws_kms\", \"path\": \"$KEYS/keyring.ward\", \"start_timeout\": 60, \"timeout\": 60, \"aws_kms\": {
    \"key_id\": \"arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab\",
    \"endpoint_url\": \"$REFUSING\" } }" > "$CONFIG"
}

# What credential_process is: user, groups and capabilities, written by itself.
t_credential_process_is_the_account() {
  reset_all; component_manifest; fresh_data
  groupadd -f kw-extra; usermod -aG kw-extra mysql
  local dir=/var/lib/kw-aws; rm -rf $dir; mkdir $dir; chown mysql:mysql $dir
  printf '[default]\nregion = eu-central-1\ncredential_process = %s/who\n' $dir > $dir/config
  cat > $dir/who <<'END'
#!/bin/sh
{ id -u; id -g; id -G | tr ' ' '\n' | sort -n | tr '\n' ' '; echo; grep -E '^Cap(Prm|Eff|Amb)' /proc/self/status | tr -d '\n'; echo; } > /tmp/kw-who
printf '{"Version":1,"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"x"}'
END
  chmod 755 $dir/who; chmod 600 $dir/config; chown mysql:mysql $dir/*
  refusing_kms; refused_config
  export AWS_CONFIG_FILE=$dir/config AWS_EC2_METADATA_DISABLED=true
  local groups zero="CapPrm:	0000000000000000CapEff:	0000000000000000CapAmb:	0000000000000000"
  groups=$(id -G mysql | tr ' ' '\n' | sort -n | tr '\n' ' ')
  is_the_account() {
    [ -s /tmp/kw-who ] || fail "$1: credential_process was not run"
    expect "$1" "$(cat /tmp/kw-who)" "$(printf '%s\n%s\n%s\n%s' "$M" "$(id -g mysql)" "$groups" "$zero")"
    rm -f /tmp/kw-who
  }
  rm -f /tmp/kw-who
  start_server; is_the_account "mysqld"
  stop_server
  for command in "init --config $CONFIG --user mysql" "doctor --plugin-dir $PLUGINS --datadir $DATA" "doctor --config $CONFIG --user mysql"; do
    # shellcheck disable=SC2086
    keyring-ward $command >/dev/null 2>&1 || true
    is_the_account "keyring-ward $command"
  done
  kill $REFUSER; gpasswd -d mysql kw-extra >/dev/null
}

# A folder of the account's with a credential_process that says in /tmp/kw-spy what it got of root: its terminal (and types into
# it, as far as it is let), and its environment. The configuration of the component names it.
SPY=/var/lib/kw-aws
spying_process() {
  rm -rf $SPY /tmp/kw-spy; mkdir $SPY
  printf '[default]\nregion = eu-central-1\ncredential_process = %s/spy\n' $SPY > $SPY/config
  cat > $SPY/spy <<'END'
#!/usr/bin/perl
sub type { my ($how, $c) = (shift, "x"); open(my $t, $how) or return 0; return ioctl($t, 0x5412, $c) }
my @typed = grep { type($_) } "+<&0", ">&1", ">&2", "+</dev/tty";
open(my $tty, "+<", "/dev/tty") and push @typed, "open";
open(my $out, ">", "/tmp/kw-spy") or die;
print $out "terminal: @typed\n", map { "env: $_=$ENV{$_}\n" } sort keys %ENV;
print '{"Version":1,"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"x"}';
END
  chmod 755 $SPY/spy; chmod 600 $SPY/config; chown -R mysql:mysql $SPY
  refusing_kms; refused_config
  export AWS_CONFIG_FILE=$SPY/config AWS_EC2_METADATA_DISABLED=true
}
# What the spy saw of a command that root starts on a terminal of its own.
on_a_terminal() { # on_a_terminal COMMAND…
  rm -f /tmp/kw-spy
  printf '%q ' "$@" > /tmp/kw-command
  script -qec "bash /tmp/kw-command" /dev/null < /dev/null > /tmp/kw-script 2>&1 || true
  [ -s /tmp/kw-spy ] || { cat /tmp/kw-script; fail "the account's program was not run by: $*"; }
  sed -n 's/^terminal: //p' /tmp/kw-spy
}

# The account's program could type into the shell of root that started us (TIOCSTI).
t_nobody_types_into_roots_terminal() {
  reset_all; component_manifest; fresh_data
  spying_process
  # The spy is worth something: what shares root's session has its terminal.
  case $(on_a_terminal setpriv --reuid mysql --regid mysql --clear-groups $SPY/spy) in *open*) ;; *) fail "the spy sees no terminal: $(cat /tmp/kw-spy)" ;; esac
  expect "init" "$(on_a_terminal keyring-ward init --config "$CONFIG" --user mysql)" ""
  expect "doctor" "$(on_a_terminal keyring-ward doctor --plugin-dir $PLUGINS --datadir $DATA)" ""
  # A server ends when the spy has written.
  # shellcheck disable=SC2016
  expect "mysqld" "$(on_a_terminal bash -c '"$@" & for _ in $(seq 600); do [ -s /tmp/kw-spy ] && break; sleep 0.1; done; kill $!; wait' bash \
    mysqld --no-defaults --user=mysql --datadir=$DATA --socket=$SOCKET --skip-networking --mysqlx=OFF $SMALL --log-error=$LOG)" ""
  kill $REFUSER
  wait_for 60 no_servers || fail "the server is still there"
}

# The module runs in the process that was root, or in its child: it is root's, not the account's.
t_a_module_of_the_accounts_is_not_loaded() {
  reset_all; component_manifest; hsm_reset; pin_file
  use_softhsm
  mkdir -p /srv/kw-module; cp "$SOFTHSM" /srv/kw-module/m.so; chown -R mysql:mysql /srv/kw-module
  MODULE=/srv/kw-module/m.so
  pkcs11_config; fresh_data
  keyring-ward init --config "$CONFIG" --generate --user mysql > /tmp/kw-init 2>&1 && fail "root's tool loads it"
  grep -q "belongs to user $M, not to root" /tmp/kw-init || { cat /tmp/kw-init; fail "init does not say why"; }
  # The account itself may, as ever.
  as_mysql keyring-ward init --config "$CONFIG" --generate > /tmp/kw-init 2>&1 || { cat /tmp/kw-init; fail "the account may not load its own"; }
  start_server || fail "the server does not start"
  expect status "$(status_row Component_status)" Disabled
  log_has "belongs to user $M, not to root"
  stop_server
  chown -R root:root /srv/kw-module
  start_server || fail "the server does not start"
  expect status "$(status_row Component_status)" Active
  stop_server
  rm -rf /srv/kw-module
}

t_roots_environment_is_not_for_the_accounts_program() {
  reset_all; component_manifest; fresh_data
  spying_process
  export VAULT_TOKEN=hidden SSH_AUTH_SOCK=/hidden AWS_SESSION_TOKEN=hidden LC_TIME=C HTTPS_PROXY=http://127.0.0.1:9
  only_what_it_needs() {
    [ -s /tmp/kw-spy ] || fail "$1: it was not run"
    ! grep -q hidden /tmp/kw-spy || { cat /tmp/kw-spy; fail "$1: a secret of root's shell is handed on"; }
    expect "$1: HOME" "$(sed -n 's/^env: HOME=//p' /tmp/kw-spy)" "$(getent passwd mysql | cut -d: -f6)"
    expect "$1: names" "$(sed -n 's/^env: \([A-Za-z_0-9]*\)=.*/\1/p' /tmp/kw-spy | grep -vxE 'LANG|TZ' | tr '\n' ' ')" \
      "AWS_CONFIG_FILE AWS_EC2_METADATA_DISABLED HOME HTTPS_PROXY LC_TIME PATH "
    rm -f /tmp/kw-spy
  }
  keyring-ward init --config "$CONFIG" --user mysql >/dev/null 2>&1 || true
  only_what_it_needs init
  start_server; only_what_it_needs "mysqld's start"
  # The server is the account by now, but its environment is still that of root's shell.
  sql -e "ALTER INSTANCE RELOAD KEYRING" 2>/dev/null || true
  only_what_it_needs "mysqld's reload"
  stop_server
  as_mysql keyring-ward init --config "$CONFIG" >/dev/null 2>&1 || true
  grep -q "VAULT_TOKEN=hidden" /tmp/kw-spy || fail "the account's own environment is its own"
  kill $REFUSER
}

# Without /proc it can't be seen what this process is, nor which threads it has.
t_without_proc() {
  with_passphrase
  local before; before=$(find "$KEYS" -printf '%p %i %T@\n' | sort)
  : > "$LOG"; chown mysql:mysql "$LOG"
  # No function: it would be a shell that waits for the server, and end in its place.
  local without_proc=(unshare -m sh -c 'mount -t tmpfs none /proc && exec "$@"' sh)
  "${without_proc[@]}" mysqld --no-defaults --user=mysql --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid \
    --skip-networking --mysqlx=OFF $SMALL --log-error=$LOG &
  SERVER=$!
  wait_for 60 mysqladmin -uroot -S $SOCKET ping || fail "the server does not start"
  expect status "$(status_row Component_status)" Disabled
  log_has "/proc is not mounted"
  expect "the keyring's folder" "$(find "$KEYS" -printf '%p %i %T@\n' | sort)" "$before"
  stop_server
  "${without_proc[@]}" keyring-ward status --config "$CONFIG" > /tmp/kw-tool 2>&1 && fail "the tool goes on"
  grep -q "/proc is not mounted" /tmp/kw-tool || { cat /tmp/kw-tool; fail "the tool does not say why"; }
  # As the account it is a server like any other: with the marker, and no look beside the lock of another.
  : > "$LOG"; chown mysql:mysql "$LOG"
  "${without_proc[@]}" setpriv --reuid mysql --regid mysql --init-groups mysqld --no-defaults --datadir=$DATA --socket=$SOCKET \
    --pid-file=/run/mysqld/mysqld.pid --skip-networking --mysqlx=OFF $SMALL --log-error=$LOG &
  SERVER=$!
  wait_for 60 mysqladmin -uroot -S $SOCKET ping || fail "the server does not start"
  expect status "$(status_row Component_status)" Active
  [ -e $DATA/keyring_ward.marker ] || fail "no marker was written"
  log_lacks snapshot
  stop_server
}

# The account can't pass a folder of root's: that folder is named, not the secret, which is as it should be.
t_a_folder_in_the_way_is_named() {
  with_passphrase
  rm -rf /etc/kwsec /etc/kwlink; mkdir -m 700 /etc/kwsec; ln -s kwsec /etc/kwlink
  install -o mysql -g mysql -m 400 "$KEYS/passphrase" /etc/kwsec/key
  local way
  for way in kwsec kwlink; do
    component_config "\"passphrase_file\": \"/etc/$way/key\""
    keyring-ward status --config "$CONFIG" > /tmp/kw-tool 2>&1 && fail "it can be read"
    grep -qF "'/etc/$way/key': '/etc/kwsec' belongs to user 0, mode 0700" /tmp/kw-tool || { cat /tmp/kw-tool; fail "$way: the folder is not named"; }
    grep -qF "chmod g+x '/etc/kwsec'" /tmp/kw-tool || { cat /tmp/kw-tool; fail "$way: no remedy"; }
  done
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  sed -i "s#$KEYS/keyring.ward#/etc/kwsec/keyring.ward#" "$CONFIG"
  mv "$KEYS/keyring.ward" /etc/kwsec/
  start_server || fail "the server does not start"
  expect status "$(status_row Component_status)" Disabled
  log_has "'/etc/kwsec' belongs to user 0, mode 0700"
  rm -rf /etc/kwsec /etc/kwlink
}

# Reading it would wait for somebody who writes into it.
t_a_fifo_among_the_option_files() {
  with_passphrase
  local rc=0
  rm -rf /etc/kw.d; mkdir /etc/kw.d; mkfifo -m 644 /etc/kw.d/a.cnf
  printf '!includedir /etc/kw.d\n[mysqld]\ndatadir=%s\n' $DATA > /etc/my.cnf
  timeout 60 keyring-ward doctor --plugin-dir $PLUGINS --datadir $DATA --defaults-file /etc/my.cnf > /tmp/kw-doctor 2>&1 || rc=$?
  expect "doctor's exit code" $rc 15
  grep -q "failure *option files: .*'/etc/kw.d/a.cnf'.*it is a FIFO" /tmp/kw-doctor || { cat /tmp/kw-doctor; fail "doctor does not say it"; }
  rm -rf /etc/kw.d
}

# A file that the group root may read was read with root's group while only user and group had been changed.
t_what_only_root_can_read() {
  with_passphrase
  chown root:root "$KEYS/passphrase"; chmod 440 "$KEYS/passphrase"
  start_server
  expect status "$(status_row Component_status)" Disabled
  log_has "'$KEYS/passphrase'"
  log_has "KW-0006 Permission"
  stop_server
  # Doctor finds it before.
  keyring-ward doctor --plugin-dir $PLUGINS --datadir $DATA > /tmp/kw-doctor 2>&1 && fail "doctor is content"
  grep -q "failure.*'$KEYS/passphrase' belongs to user 0" /tmp/kw-doctor || { cat /tmp/kw-doctor; fail "doctor does not find it"; }
  grep -q "^ok  *account: .*user $M" /tmp/kw-doctor || { cat /tmp/kw-doctor; fail "doctor does not say as whom it looks"; }
  chown mysql:mysql "$KEYS/passphrase"; chmod 400 "$KEYS/passphrase"
  chmod 600 "$CONFIG"
  start_server
  expect status "$(status_row Component_status)" Disabled
  log_has "'$CONFIG' belongs to user 0, mode 0600"
  chmod 644 "$CONFIG"
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect status "$(status_row Component_status)" Active
  stop_server
  rm "$CONFIG"
  printf '[keyring_ward]\nbackend=file\npath=%s/keyring.ward\nfile_passphrase_file=%s/passphrase\n' $KEYS $KEYS > /etc/my.cnf
  chmod 600 /etc/my.cnf
  FIRST=--defaults-file=/etc/my.cnf start_server
  expect status "$(status_row Component_status)" Disabled
  log_has "'/etc/my.cnf' belongs to user 0, mode 0600"
}

t_initialize_as_root_takes_the_named_account() {
  with_passphrase
  find $DATA -mindepth 1 -delete; chown root:root $DATA
  rm -f "$KEYS"/keyring.ward.lock
  initialize || true
  expect "the lock's owner" "$(stat -c %U "$KEYS/keyring.ward.lock")" mysql
  chown mysql:mysql $DATA
}

# Ways of naming the account that mysqld takes, too.
t_initialize_with_other_words_for_the_account() {
  with_passphrase
  local words
  for words in "--initialize-insecure --loose-user=mysql" "-Iumysql" "--loose_initialize_insecure -su mysql"; do
    find $DATA -mindepth 1 -delete; chown root:root $DATA; chmod 777 $DATA
    rm -f "$KEYS"/keyring.ward.lock
    # shellcheck disable=SC2086
    mysqld --no-defaults --datadir=$DATA $words > "$LOG" 2>&1 || { tail -3 "$LOG"; fail "mysqld refuses: $words"; }
    log_lacks "no user is named"
    expect "$words: the lock's owner" "$(stat -c %U "$KEYS/keyring.ward.lock")" mysql
    [ ! -e $DATA/keyring_ward.marker ] || fail "$words: a marker was written while the directory was made"
  done
  chown mysql:mysql $DATA; chmod 750 $DATA
}

t_a_server_that_stays_root() {
  with_passphrase
  start_as root || fail "the server does not start"
  expect status "$(status_row Component_status)" Disabled
  log_has "stays root"
  stop_server
  chown -R root:root $DATA "$KEYS"
  start_as root || fail "the server does not start"
  expect status "$(status_row Component_status)" Active
  log_has "mysqld runs as root"
  stop_server
  chown mysql:mysql $DATA "$KEYS"
}

t_migration_tool_as_root() {
  with_passphrase
  rm -f "$KEYS"/keyring.ward*
  stop_server
  echo "{ \"path\": \"$KEYS/stock\", \"read_only\": false }" > $PLUGINS/component_keyring_file.cnf
  echo '{ "components": "file://component_keyring_file" }' > $MANIFEST
  # The stock component, started by root, would make its file root's.
  start_as_mysql env -- || fail "the server does not start"
  install_udf
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
  local key; key=$(sql -e "SELECT HEX(keyring_key_fetch('k'))")
  mysqladmin -uroot -S $SOCKET shutdown; wait "$SERVER" || true
  mysql_migrate_keyring --component-dir=$PLUGINS --source-keyring=component_keyring_file \
    --destination-keyring=component_keyring_ward > /tmp/kw-migrate 2>&1 || { cat /tmp/kw-migrate; fail "no migration"; }
  expect "the keyring's owner" "$(stat -c '%U %a' "$KEYS/keyring.ward")" "mysql 600"
  component_manifest
  start_server
  expect key "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$key"
  stop_server
  rm -f $PLUGINS/component_keyring_file.cnf
}

# ---- folders of init -----------------------------------------------------------------------------

t_init_makes_folders_that_the_account_can_pass() {
  reset_all; make_passphrase
  rm -rf /srv/kw-a
  keyring-ward init --path /srv/kw-a/b/k.ward --passphrase-file "$KEYS/passphrase" --user mysql >/dev/null
  as_mysql test -w /srv/kw-a/b/k.ward || fail "the account can't come to it"
  expect "folders" "$(stat -c '%U %a' /srv/kw-a /srv/kw-a/b | tr '\n' ' ')" "root 755 mysql 750 "
  rm -rf /srv/kw-a
  # Below a folder of its own the account makes them itself.
  keyring-ward init --path "$KEYS/x/y/k.ward" --passphrase-file "$KEYS/passphrase" >/dev/null
  expect "folders" "$(stat -c '%U %a' "$KEYS/x" "$KEYS/x/y" | tr '\n' ' ')" "mysql 750 mysql 750 "
}

t_a_failed_init_leaves_no_folder() {
  reset_all; make_passphrase
  rm -rf /srv/kw-f
  keyring-ward init --path /srv/kw-f/a/b/k.ward --passphrase-file "$KEYS/none" --user mysql >/dev/null 2>&1 && fail "made without a passphrase"
  [ ! -e /srv/kw-f ] || fail "a folder is left: $(find /srv/kw-f)"
  keyring-ward init --path /srv/kw-f/a/b/k.ward --passphrase-file "$KEYS/passphrase" --user mysql >/dev/null
  as_mysql test -w /srv/kw-f/a/b/k.ward || fail "the account can't come to it"
  rm -rf /srv/kw-f
}

t_init_follows_nobody() {
  reset_all; make_passphrase
  rm -rf /srv/kw-victim; mkdir -m 755 /srv/kw-victim
  # A link of the account's in the way of the folders that are missing, certain and in a race.
  ln -s /srv/kw-victim "$KEYS/link"; chown -h mysql:mysql "$KEYS/link"
  keyring-ward init --path "$KEYS/link/new/k.ward" --passphrase-file "$KEYS/passphrase" --user mysql >/dev/null 2>&1 && fail "made below a link"
  expect "the victim" "$(find /srv/kw-victim | wc -l) $(stat -c '%U %a' /srv/kw-victim)" "1 root 755"
  : > /tmp/kw-racing
  as_mysql sh -c "while [ -e /tmp/kw-racing ]; do ln -sfn /srv/kw-victim '$KEYS/race'; rm -f '$KEYS/race'; mkdir -p '$KEYS/race' 2>/dev/null; rm -rf '$KEYS/race'; done" 2>/dev/null &
  local racer=$! i
  for ((i = 0; i < 40; i++)); do
    keyring-ward init --path "$KEYS/race/new/k.ward" --passphrase-file "$KEYS/passphrase" --user mysql >/dev/null 2>&1 || true
  done
  rm /tmp/kw-racing; wait $racer || true
  expect "the victim" "$(find /srv/kw-victim | wc -l) $(stat -c '%U %a' /srv/kw-victim)" "1 root 755"
  rm -rf /srv/kw-victim "$KEYS/race"
}

# Root names a source that only root can read: root opens it. A path that somebody else could have bent is not opened
# with root's rights.
t_import_of_a_file_of_roots() {
  reset_all; make_passphrase
  local clear='{"version":"1.0","elements":[{"user":"","data_id":"k","data_type":"AES","data":"000102030405060708090A0B0C0D0E0F","extension":[]}]}'
  into() { keyring-ward import --path "$KEYS/k.ward" --passphrase-file "$KEYS/passphrase" "$@" 2>&1; }
  rm -rf /srv/kw-source; mkdir -m 700 /srv/kw-source; (umask 077; echo "$clear" > /srv/kw-source/f; echo "$clear" > "$KEYS/f")
  into --from /srv/kw-source/f | grep -q "1 keys were imported" || fail "a file that only root can read is not imported"
  expect "the keyring's owner" "$(stat -c %U "$KEYS/k.ward")" mysql
  rm "$KEYS"/k.ward*
  into --from "$KEYS/f" | grep -q "1 keys were imported" || fail "root's file in the account's folder is not imported"
  rm "$KEYS"/k.ward*
  as_mysql ln -s /srv/kw-source/f "$KEYS/last"; as_mysql ln -s /srv/kw-source "$KEYS/way"
  local path said
  for path in last way/f; do
    said=$(into --from "$KEYS/$path") && fail "$path: a link of the account's led root to a file"
    grep -q "Permission denied" <<< "$said" || fail "$path: $said"
  done
  [ ! -e "$KEYS/k.ward" ] || fail "a keyring was made"
  rm -rf /srv/kw-source "$KEYS/f" "$KEYS/last" "$KEYS/way"
}

# As whom root goes on, and where it makes folders, no file says that somebody else can write.
t_the_account_is_chosen_by_roots_word() {
  reset_all; make_passphrase
  local said
  rm -rf /srv/kw-inst /srv/kw-sys /etc/kw-victim* /root/kw-*; mkdir -m 755 /srv/kw-inst /srv/kw-sys; chown mysql:mysql /srv/kw-inst
  as_mysql mkdir /srv/kw-inst/plugin
  as() { setpriv --reuid mysql --regid mysql --init-groups tee "$1" >/dev/null; }
  victims() { find /srv/kw-sys /etc/kw-victim* /root/kw-* -mindepth 1 2>/dev/null | head -3; ls -d /etc/kw-victim* /root/kw-* 2>/dev/null; true; }
  # A local file names a folder that only root can make.
  echo "{ \"read_local_config\": true, \"backend\": \"file\", \"file\": { \"key_file\": \"$KEYS/key\" } }" > "$CONFIG"; chmod 644 "$CONFIG"
  echo '{ "path": "/srv/kw-sys/mysql.service.d/keyring.ward" }' | as $DATA/component_keyring_ward.cnf
  keyring-ward init --generate >/dev/null 2>&1 && fail "a local file's folder was made"
  expect "what root made" "$(victims)" ""
  # So does a whole configuration of the account's, with and without --user, and an unreadable one.
  echo '{ "backend": "file", "path": "/etc/kw-victim.ward", "file": { "key_file": "/root/kw-key" } }' | as /srv/kw-inst/kw.cnf
  keyring-ward init --generate --config /srv/kw-inst/kw.cnf >/dev/null 2>&1 && fail "as the account's file says"
  echo "{ \"backend\": \"file\", \"path\": \"/srv/kw-sys/d/k.ward\", \"file\": { \"key_file\": \"$KEYS/key\" } }" | as /srv/kw-inst/kw.cnf
  keyring-ward init --generate --config /srv/kw-inst/kw.cnf --user mysql >/dev/null 2>&1 && fail "the folder of the account's file was made"
  expect "what root made" "$(victims)" ""
  chmod 000 /srv/kw-inst/kw.cnf
  said=$(keyring-ward status --config /srv/kw-inst/kw.cnf 2>&1) && fail "status opens something"
  grep -q Permission <<< "$said" || fail "root reads what the account can't: $said"
  # An option file of the account's, and one that root's includes, name root's folders or somebody else's.
  mkdir -p -m 755 /srv/kw-alice; chown daemon:daemon /srv/kw-alice
  local dir
  for dir in /root /srv/kw-alice; do
    printf '%s\n' '[mysqld]' datadir=$dir plugin_dir=/srv/kw-inst/plugin '[keyring_ward]' backend=file path=$dir/kw-x.ward | as /srv/kw-inst/my.cnf
    printf '%s\n' '!includedir /srv/kw-inst' > /srv/kw-sys/my.cnf
    local file
    for file in /srv/kw-inst/my.cnf /srv/kw-sys/my.cnf; do
      said=$(keyring-ward doctor --defaults-file=$file 2>&1) || true
      grep -qE "account: .*user $M," <<< "$said" || fail "the account by $file with $dir is not $M: $said"
    done
  done
  rm /srv/kw-sys/my.cnf
  # A link of the account's leads to somebody else's folder: the account stays itself.
  as_mysql ln -s /srv/kw-alice /srv/kw-inst/link
  keyring-ward init --path /srv/kw-inst/link/k.ward --passphrase-file "$KEYS/passphrase" >/dev/null 2>&1 && fail "made in somebody else's folder"
  expect "what was made as somebody else" "$(ls /srv/kw-alice)" ""
  # Root's group is nobody's because a folder has it.
  chown mysql:root /srv/kw-inst
  keyring-ward init --path /srv/kw-inst/k.ward --passphrase-file "$KEYS/passphrase" >/dev/null
  expect "its group" "$(stat -c '%U %G' /srv/kw-inst/k.ward)" "mysql mysql"
  rm -rf /srv/kw-inst /srv/kw-sys /srv/kw-alice "$DATA/component_keyring_ward.cnf"
}

# The migration tool, too: the data directory's owner, not the path that its file names.
t_migration_tool_by_a_local_file() {
  reset_all; fresh_data
  rm -f /etc/kw-victim*
  (umask 077; head -c 32 /dev/urandom > /root/kw-key)
  echo '{ "read_local_config": true, "backend": "file", "file": { "key_file": "/root/kw-key" } }' > "$CONFIG"; chmod 644 "$CONFIG"
  echo '{ "path": "/etc/kw-victim.ward" }' | setpriv --reuid mysql --regid mysql --init-groups tee $DATA/component_keyring_ward.cnf >/dev/null
  echo '{"version":"1.0","elements":[]}' > "$KEYS/stock"; chown mysql:mysql "$KEYS/stock"; chmod 600 "$KEYS/stock"
  echo "{ \"path\": \"$KEYS/stock\", \"read_only\": false }" > $PLUGINS/component_keyring_file.cnf
  mysql_migrate_keyring --component-dir=$PLUGINS --source-keyring=component_keyring_file --destination-keyring=component_keyring_ward \
    --destination-keyring-configuration-dir=$DATA > /tmp/kw-migrate 2>&1 && fail "it was opened"
  [ -z "$(ls /etc/kw-victim* 2>/dev/null)" ] || fail "root made $(ls /etc/kw-victim*)"
  rm -f /root/kw-key $PLUGINS/component_keyring_file.cnf "$DATA/component_keyring_ward.cnf"
}

# ---- proof by system calls -----------------------------------------------------------------------

# What root did in a trace: "CALL PATH" lines, without the process's own pseudo-files.
by_root() { $JUDGE syscalls --paths "$1" | sed -n 's/^0 //p' | grep -v ' /proc/self/\| /proc/thread-self/' | sort -u; }
table() { $JUDGE syscalls --table "$M" "$1"; }

t_strace_of_a_start() {
  with_passphrase
  traced_start() { # traced_start FILE
    : > "$LOG"; chown mysql:mysql "$LOG"
    strace -f -qq -s 4096 -e trace=$TRACED -o "$1" mysqld --no-defaults --user=mysql --datadir=$DATA --socket=$SOCKET \
      --pid-file=/run/mysqld/mysqld.pid --skip-networking --mysqlx=OFF $SMALL --log-error=$LOG &
    SERVER=$!
    wait_for 120 mysqladmin -uroot -S $SOCKET ping || fail "the server does not start"
    [ -z "${2:-}" ] || expect status "$(status_row Component_status)" "$2"
    mysqladmin -uroot -S $SOCKET shutdown; wait $SERVER
  }
  traced_start /tmp/kw-with Active
  mv "$MANIFEST" /tmp/kw-manifest; fresh_data
  traced_start /tmp/kw-without
  mv /tmp/kw-manifest "$MANIFEST"
  echo "    with the component:"; table /tmp/kw-with
  echo "    without it:"; table /tmp/kw-without
  # Beyond the start without us, root opens the library and what it is linked to, nothing else.
  comm -23 <(by_root /tmp/kw-with) <(by_root /tmp/kw-without) > /tmp/kw-more
  local more; more=$(grep -vE "^openat ($PLUGINS/component_keyring_ward\.so|$PLUGINS/[^/]*\.so[.0-9]*|/lib/[^ ]*\.so[.0-9]*|/usr/lib/[^ ]*\.so[.0-9]*|/etc/ld\.so\.cache)$" /tmp/kw-more || true)
  sed 's/^/    root, with the component only: /' /tmp/kw-more
  expect "what root does with the component only" "$more" ""
  grep -q "$KEYS/keyring.ward" /tmp/kw-with || fail "the trace does not show the keyring"
  grep -q "^$M openat $KEYS/keyring.ward\$" <($JUDGE syscalls --paths /tmp/kw-with) || fail "the keyring was not opened as the account"
}

# What the tool opens as root is root's alone, on the whole way; nothing else is done as root.
roots_alone() { # roots_alone PATH
  local path=$1
  [ -e "$path" ] || path=$(dirname "$path")
  path=$(readlink -f "$path")
  while :; do
    [ "$(stat -c %u "$path")" = 0 ] || return 1
    [ -z "$(find "$path" -maxdepth 0 -perm /022 ! -type l ! -type c)" ] || return 1
    [ "$path" = / ] && return 0
    path=$(dirname "$path")
  done
}
t_strace_of_the_tool() {
  with_passphrase
  local command call path
  traced() { # traced NAME ALLOWED COMMAND…
    local name=$1 allowed=$2; shift 2
    strace -f -qq -s 4096 -e trace=$TRACED -o /tmp/kw-tool keyring-ward "$@" >/tmp/kw-tool.out 2>&1 || { cat /tmp/kw-tool.out; fail "$name fails"; }
    echo "    keyring-ward $name:"; table /tmp/kw-tool
    while read -r call path; do
      case "$call" in
        execve) [ "$path" = "${path#/usr/bin/keyring-ward}" ] && fail "$name: root runs $path" || continue ;;
        open | openat) roots_alone "$path" || fail "$name: root opens $path" ;;
        *) grep -qx -- "$call" <<< "$allowed" || fail "$name: root does $call $path" ;;
      esac
    done < <(by_root /tmp/kw-tool)
    grep -q "^$M openat" <($JUDGE syscalls --paths /tmp/kw-tool) || fail "$name: nothing was opened as the account"
  }
  traced doctor "" doctor --plugin-dir $PLUGINS --datadir $DATA
  traced status "" status --config "$CONFIG"
  traced list "" list --plugin-dir $PLUGINS --datadir $DATA
  traced verify "" verify --config "$CONFIG" --user mysql
  traced rekey "" rekey --config "$CONFIG" --new-passphrase-file "$KEYS/passphrase.2" --generate
  traced init "" init --path "$KEYS/second.ward" --passphrase-file "$KEYS/passphrase.2" --user mysql
  traced compact "" compact --path "$KEYS/second.ward" --passphrase-file "$KEYS/passphrase.2"
  rm -rf /srv/kw-c
  traced "init with missing folders" "$(printf 'mkdirat\nfchown\nfchmod')" init --path /srv/kw-c/d/k.ward --passphrase-file "$KEYS/passphrase.2" --user mysql
  rm -rf /srv/kw-c
}

# The tool's memory is nobody's: not dumpable, no core file, from its first moment on.
t_the_tools_memory_is_private() {
  reset_all; mkfifo /tmp/kw-fifo 2>/dev/null || true
  keyring-ward status --path "$KEYS/none.ward" --passphrase-fd 3 3<>/tmp/kw-fifo >/dev/null 2>&1 &
  local tool=$!
  wait_for 10 grep -q "^Max core file size *0 *0 " /proc/$tool/limits || fail "core files are allowed"
  # What is not dumpable belongs to root, whoever the process is.
  expect "owner of its memory file" "$(stat -c %U /proc/$tool/mem)" root
  kill $tool; rm -f /tmp/kw-fifo
}

run_tests "$@"
