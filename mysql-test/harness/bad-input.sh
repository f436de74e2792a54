# Bad inputs of the file backend against a real server: what the user sees, and that nothing is lost. What opening and
# doctor say of each of them is tests/bad_inputs.rs; here stand those in which the server has a part of its own, and with
# scripts/test.sh --all every one. Sourced by server-tests.sh. The table is printed ("    | case | message |").

# bad NAME EXPECTED-TEXT: the server starts, the keyring is Disabled, the log says EXPECTED-TEXT,
# a key is an error and not absent, the keyring's files are untouched.
bad() {
  local name=$1 text=$2 before after message
  before=$(find "$KEYS" -name 'keyring.ward*' ! -name '*.lock' -type f -exec sha256sum {} + 2>/dev/null | sort)
  start_server || fail "$name: the server did not start"
  expect "$name: status" "$(status_row Component_status)" Disabled
  log_has "$text"
  sql_null "SELECT keyring_key_fetch('k')"
  sql_null "SELECT keyring_key_generate('new','AES',32)"
  message=$(status_row Last_error)
  stop_server
  after=$(find "$KEYS" -name 'keyring.ward*' ! -name '*.lock' -type f -exec sha256sum {} + 2>/dev/null | sort)
  expect "$name: the keyring's files" "$after" "$before"
  echo "    | $name | $message |"
}

# The same, with --all alone.
rarely() { if [ "$(many no yes)" = yes ]; then bad "$@"; fi; }

good_file() { cp -p /var/cache/kw-good.ward "$KEYS/keyring.ward"; make_passphrase; component_config "\"passphrase_file\": \"$KEYS/passphrase\""; }
patch_byte() { # patch_byte OFFSET HEX
  printf "\\x$2" | dd of="$KEYS/keyring.ward" bs=1 seek="$1" conv=notrunc status=none
}

t_bad_input() {
  with_component; start_server; install_udf
  sql -e "SELECT keyring_key_generate('k','AES',32), keyring_key_generate('l','AES',32)" >/dev/null
  local key; key=$(sql -e "SELECT HEX(keyring_key_fetch('k'))")
  stop_server
  cp -p "$KEYS/keyring.ward" /var/cache/kw-good.ward
  local size; size=$(stat -c %s "$KEYS/keyring.ward")

  make_passphrase "another passphrase"
  bad "wrong passphrase" "KW-0008 WrongKek"
  good_file; rm "$KEYS/passphrase"
  rarely "passphrase file missing" "KW-0001 NotFound"
  good_file; : > "$KEYS/passphrase"
  rarely "passphrase file empty" "KW-0003 InvalidInput"
  good_file; chgrp daemon "$KEYS/passphrase"; chmod 640 "$KEYS/passphrase"
  rarely "passphrase file readable by a foreign group" "KW-0006 Permission"
  good_file; rm "$KEYS/passphrase"; mkdir "$KEYS/passphrase"
  rarely "passphrase file is a folder" "it is a folder"
  rmdir "$KEYS/passphrase"
  good_file; (umask 077; printf %31s x > "$KEYS/kek"); chown mysql:mysql "$KEYS/kek"
  component_config "\"key_file\": \"$KEYS/kek\""
  rarely "key file of 31 bytes for a keyring with a passphrase" "is wrapped by 'passphrase'"
  (umask 077; head -c 32 /dev/urandom > "$KEYS/kek"); chown mysql:mysql "$KEYS/kek"
  rarely "key file for a keyring with a passphrase" "is wrapped by 'passphrase'"

  good_file; : > "$KEYS/keyring.ward"
  rarely "keyring file empty" "the file is empty"
  good_file; printf 'PNG or whatever else is not a keyring' > "$KEYS/keyring.ward"
  rarely "keyring file of another program" "not a file of Keyring Ward"
  good_file; cp /kw/tests/vectors/version-newer.ward "$KEYS/keyring.ward"
  rarely "keyring file of a newer version" "KW-0010 UnsupportedVersion"
  good_file; truncate -s 100 "$KEYS/keyring.ward"
  rarely "truncated within the header" "the file ends within its header"
  good_file; truncate -s $((size - 140)) "$KEYS/keyring.ward"
  bad "truncated within a record that was acknowledged" "this record was saved and acknowledged"
  good_file; patch_byte 60 ff
  rarely "header damaged" "the header is damaged (checksum)"
  good_file; patch_byte $((size - 60)) a5
  rarely "record damaged" "the record is not authentic"
  good_file; cp /kw/tests/vectors/frame-length-4gib.ward "$KEYS/keyring.ward"; (umask 077; cp /kw/tests/vectors/kek "$KEYS/kek"); chown mysql:mysql "$KEYS/kek"
  component_config "\"key_file\": \"$KEYS/kek\""; mv "$DATA/keyring_ward.marker" /tmp/kw-marker
  rarely "record with a length of 4 GiB" "the start of a record is damaged"
  mv /tmp/kw-marker "$DATA/keyring_ward.marker"
  good_file; rm "$KEYS/keyring.ward"
  bad "keyring file missing, marker there" "says that this server had a keyring"
  good_file; ln "$KEYS/keyring.ward" "$KEYS/second"
  rarely "keyring file with two links" "2 hard links"
  rm "$KEYS/second"
  good_file; chown root:root "$KEYS/keyring.ward"
  rarely "keyring file that belongs to root" "KW-0006 Permission"
  chown mysql:mysql "$KEYS/keyring.ward"

  good_file; sed -i "s|$KEYS/keyring.ward|/nowhere/keyring.ward|" $CONFIG
  rarely "folder missing" "the folder '/nowhere'"
  mkdir -p /root-folder; chmod 755 /root-folder; sed -i "s|/nowhere/|/root-folder/|" $CONFIG
  bad "folder that belongs to root" "its volume may not be mounted"
  # /readonly is mounted read-only by the harness.
  good_file; sed -i "s|$KEYS/keyring.ward|/readonly/keyring.ward|" $CONFIG
  bad "read-only file system" "its volume may not be mounted"
  good_file
  exec 9>>"$KEYS/keyring.ward.lock"; flock 9
  bad "locked by another process" "KW-0007 Locked"
  exec 9>&-

  good_file; echo 'path=/x' > $CONFIG
  bad "configuration that is not JSON" "not valid JSON"
  good_file; sed -i 's/read_only/readonly/' $CONFIG
  rarely "configuration with an unknown name" "Did you mean 'read_only'?"
  good_file; component_config "\"passphrase_file\": \"$KEYS/passphrase\", \"key_file\": \"$KEYS/kek\""
  rarely "two KEKs" "both a passphrase file and a key file"
  good_file; echo "{ \"backend\": \"file\", \"file\": { \"passphrase_file\": \"$KEYS/passphrase\" } }" > $CONFIG
  rarely "no path" "no path is given"
  good_file; rm $CONFIG
  rarely "no configuration at all" "nothing is configured"
  good_file; chmod 666 $CONFIG
  rarely "configuration writable by everybody" "is world-writable"
  chmod 644 $CONFIG

  # After all that nothing is lost.
  good_file; start_server
  expect "the key after all bad inputs" "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$key"
  # The same key twice.
  sql -e "SET GLOBAL log_error_verbosity=3"
  sql_null "SELECT keyring_key_generate('k','AES',32)"
  log_has "'k' of 'root@localhost' exists already"
  sql_null "SELECT keyring_key_store('k','AES','other')"
  expect "and it is still the first one" "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$key"
  echo "    | the same key twice | $(grep -o "KW-0002.*" "$LOG" | head -1) |"
}
