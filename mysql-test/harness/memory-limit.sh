# A server under a memory limit (what it needs and 512 MB more, as MemoryMax= or ulimit -v would set it) survives every
# crafted keyring file: it goes on with the keyring that it has, and Last_error says why. Sourced by server-tests.sh.

vm_size() { awk '/^VmSize/ { print $2 * 1024 }' "/proc/$SERVER/status"; }
# As the server's own account: that may always lower a limit, and the soft one be raised again.
limit_to() { setpriv --reuid mysql --regid mysql --clear-groups prlimit --pid "$SERVER" "--as=$1:"; }
limit_memory() { limit_to $(($(vm_size) + 512 * 1024 * 1024)); }

# crafted NAME [EXPECTED-TEXT]: the file in place is refused by a RELOAD, and the server lives.
crafted() {
  local name=$1 text=${2:-KW-} message
  # Whoever can put a file in place can remove the marker, too; with it not even the records are looked at.
  rm -f "$DATA"/keyring_ward.marker*
  sql -e "ALTER INSTANCE RELOAD KEYRING" >/dev/null 2>&1 && fail "$name: the reload succeeded"
  kill -0 "$SERVER" 2>/dev/null || fail "$name: the server is gone"
  message=$(status_row Last_error)
  case "$message" in *"$text"*) ;; *) fail "$name: Last_error is '$message', expected '$text'" ;; esac
  expect "$name: the key" "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$KEY"
  echo "    | $name | $message |" | cut -c1-220
}

# Puts the bytes on standard input in place of the keyring, as the server's own account would.
put() { rm -f "$KEYS/keyring.ward"; (umask 077; cat > "$KEYS/keyring.ward"); chown mysql:mysql "$KEYS/keyring.ward"; }
craft() { $JUDGE craft /var/cache/kw-good.ward /tmp/kw-crafted "$@" || fail craft; put < /tmp/kw-crafted; }
begin_limited() { # a server with the key k, under the limit
  with_component; start_server; install_udf
  sql -e "SELECT keyring_key_generate('k','AES',32), keyring_key_generate('l','AES',32)" >/dev/null
  KEY=$(sql -e "SELECT HEX(keyring_key_fetch('k'))")
  cp -p "$KEYS/keyring.ward" /var/cache/kw-good.ward
  sql -e "ALTER INSTANCE RELOAD KEYRING" >/dev/null
  limit_memory
}
end_limited() { # nothing is lost: the good file loads again, and the next start finds it
  put < /var/cache/kw-good.ward; rm -f "$DATA"/keyring_ward.marker*
  sql -e "ALTER INSTANCE RELOAD KEYRING" || fail "the good file is refused"
  expect "the key at the end" "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$KEY"
  sql -e "SELECT keyring_key_generate('m','AES',32)" >/dev/null
  stop_server; start_server
  expect "the key after a restart" "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$KEY"
}

t_memory_limit_argon2() {
  begin_limited
  # Less memory than a stanza needs is an error like the others. The allocator keeps what the good file needed, 64 MiB.
  limit_to $(($(vm_size) + 40 * 1024 * 1024))
  craft 262144 1 1; crafted "40 MB for the 256 MiB of a stanza" "no memory for Argon2id"
  limit_memory
  craft 262144 16 1; crafted "256 MiB and 16 passes, the most that a stanza may ask for"
  craft 262144 16 8; crafted "the same in 8 lanes"
  craft 262145 1 1; crafted "1 KiB more" "out of bounds"
  craft 1048576 4 1; crafted "1 GiB and 4 passes" "out of bounds"
  craft 4294967295 1 1; crafted "4 TiB" "out of bounds"
  craft 65536 17 1; crafted "17 passes" "out of bounds"
  craft 65536 3 9; crafted "9 lanes" "out of bounds"
  craft 7 3 1; crafted "less memory than Argon2id takes" "out of bounds"
  craft 262144 1 1 16; crafted "16 stanzas of 256 MiB"
  craft 262144 16 1 16; crafted "16 stanzas of 256 MiB and 16 passes"
  end_limited
}

t_memory_limit_sizes() {
  begin_limited
  local size n good=/var/cache/kw-good.ward
  size=$(stat -c %s $good)
  for n in 1 8 19 20 21 100 $((size / 2)) $((size - 1)); do
    head -c "$n" $good | put
    # A last record that the file ends within is torn, and then the rest is a keyring: only memory says that a record lacks.
    crafted "the first $n bytes"
  done
  # Zeroes beyond the longest frame are damage.
  for n in 65535 65536 65537 1M 64M 512M 1G 4G 4294967297 1T; do
    put < $good
    truncate -s "$n" "$KEYS/keyring.ward" 2>/dev/null || { echo "    | zeroes up to $n | this file system has no such files |"; continue; }
    crafted "zeroes up to $n"
  done
  : | put; truncate -s 1G "$KEYS/keyring.ward"; crafted "1 GiB of zeroes and no header" "not a file of Keyring Ward"
  { cat $good; head -c 32M /dev/urandom; } | put; crafted "32 MiB of noise behind the records" "KW-0009"
  # Frames that claim to be as long as they can be, one after the other: the checksum of a frame's start is no secret.
  { cat $good; tail -c +"$((size - 200))" $good; head -c 64M /dev/zero | tr '\0' 'K'; } | put; crafted "64 MiB of one letter" "KW-0009"
  end_limited
}

t_memory_limit_vectors() {
  begin_limited
  local file name
  cp "$CONFIG" /tmp/kw-config
  for file in /kw/tests/vectors/*.ward; do
    name=$(basename "$file" .ward)
    case $name in good-* | torn-*) continue ;; esac
    put < "$file"; (umask 077; cp /kw/tests/vectors/passphrase "$KEYS/passphrase"; cp /kw/tests/vectors/kek "$KEYS/kek"); chown mysql:mysql "$KEYS/passphrase" "$KEYS/kek"
    case $name in argon2-*) component_config "\"passphrase_file\": \"$KEYS/passphrase\"" ;; *) component_config "\"key_file\": \"$KEYS/kek\"" ;; esac
    rm -f "$DATA"/keyring_ward.marker*
    # Some open: what is cut between two records is a keyring of its own.
    sql -e "ALTER INSTANCE RELOAD KEYRING" >/dev/null 2>&1 && echo "    | $name | opens |"
    kill -0 "$SERVER" 2>/dev/null || fail "$name: the server is gone"
    expect "$name: the server answers" "$(sql -e 'SELECT 1')" 1
  done
  cp /tmp/kw-config "$CONFIG"; make_passphrase
  end_limited
}

# The same at the start: limits as a unit sets them, before anything is allocated.
t_memory_limit_at_the_start() {
  begin_limited
  local need kib
  need=$(vm_size); kib=$((need / 1024 + 512 * 1024))
  stop_server
  craft 1048576 4 1
  start_as_mysql sh -c "ulimit -v $kib; exec \"\$0\" \"\$@\"" -- || fail "the server did not start beside a stanza of 1 GiB"
  expect status "$(status_row Component_status)" Disabled
  stop_server
  put < /var/cache/kw-good.ward; truncate -s 1G "$KEYS/keyring.ward"; rm -f "$DATA"/keyring_ward.marker*
  start_as_mysql sh -c "ulimit -v $kib; exec \"\$0\" \"\$@\"" -- || fail "the server did not start beside a gibibyte"
  expect status "$(status_row Component_status)" Disabled
  put < /var/cache/kw-good.ward
  sql -e "ALTER INSTANCE RELOAD KEYRING" || fail "the good file is refused"
  expect key "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$KEY"
  stop_server
  # No locked memory, few descriptors, and no /proc file system where our code looks.
  start_as_mysql sh -c "ulimit -l 0; ulimit -n 300; ulimit -v $kib; exec \"\$0\" \"\$@\"" -- || fail "the server did not start under small limits"
  log_has "Key material could not be locked into memory"
  expect "key under small limits" "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$KEY"
  expect generate "$(sql -e "SELECT keyring_key_generate('n','AES',32)")" 1
}
