#!/bin/bash
# Runs the commands of the documents as they are written, in a fresh place, as a reader would: docs-tests.sh [NAME…]
# Every fenced block of the pages below is run, or skipped with a printed reason (tools/judge/src/blocks.rs has the directives). A page
# names its scenarios at its head; a test is one scenario of one page. It must never mend what a page forgot: if a step
# needs something, the page says so.
. /kw/mysql-test/harness/tests-lib.sh

PAGES="README.md docs/guide/install.md docs/guide/coming-from.md docs/guide/pkcs11.md docs/guide/aws-kms.md docs/guide/vault.md docs/guide/kmip.md docs/guide/azure-key-vault.md docs/guide/gcp-kms.md docs/guide/alibaba-kms.md docs/guide/oci-vault.md docs/guide/lease.md docs/guide/recovery.md docs/guide/prove.md docs/guide/key-lifecycle.md docs/guide/encrypt-a-column.md docs/reference/sql-schema.md docs/guide/replicas.md docs/reference/tool.md docs/reference/configuration.md docs/reference/policy.md docs/reference/roles.md docs/guide/access.md docs/guide/audit.md docs/guide/containers.md"
export PATH=/usr/local/sbin:/usr/local/bin:$PATH

# ---- the place -------------------------------------------------------------------------------------

# Everything that a page may have made is gone; the server has data and no keyring, as before anybody read the page.
fresh_place() {
  docs_stop
  mkdir -p "$KEYS"
  # A container has a volume there, which a reader's machine has not.
  if mountpoint -q "$KEYS"; then umount "$KEYS"; fi
  reset_all
  rm -rf /etc/my.cnf "$PLUGINS"/component_keyring_*.cnf "$PLUGINS/component_keyring_ward.so" "$PLUGINS/keyring_ward.so" \
    /usr/bin/keyring-ward /usr/local/bin/keyring-ward /usr/local/share/keyring-ward "$KEYS" /var/lib/mysql-hsm /backup /copy /media/safe /var/log/mysql-keyring /tmp/kw-docs-*
  gpasswd -d mysql softhsm >/dev/null 2>&1 || true
  fresh_data
}

docs_stop() { stop_server; }
# As a unit does: the option files of the system are read.
docs_start() {
  touch "$LOG"; chown mysql:mysql "$LOG"
  FIRST=--skip-networking start_server || fail "the server did not start: $(grep -E 'ERROR|keyring_ward' "$LOG" | tail -4)"
}

# ---- what sentences tell to do ---------------------------------------------------------------------

do_start() { docs_start; }
do_stop() { docs_stop; }
do_restart() { docs_stop; docs_start; }
# Library and tool are where scripts/install.sh puts them.
do_installed() { (cd /kw && scripts/install.sh >/dev/null); }
# A server with the keyring that MySQL ships, an encrypted table and a user's key; stopped.
do_stock_server() {
  mkdir -p "$KEYS"; chown mysql:mysql "$KEYS"; chmod 0750 "$KEYS"
  (umask 077; : > "$KEYS/component_keyring_file"); chown mysql:mysql "$KEYS/component_keyring_file"
  echo "{ \"path\": \"$KEYS/component_keyring_file\", \"read_only\": false }" > "$PLUGINS/component_keyring_file.cnf"
  echo '{ "components": "file://component_keyring_file" }' > "$MANIFEST"
  docs_start; make_data; docs_stop
}
# The same with Keyring Ward as install.md sets it up: configured as JSON, the passphrase beside the keyring.
do_ward_server() {
  do_installed
  keyring-ward init --path "$KEYS/keyring.ward" --passphrase-file "$KEYS/passphrase" --generate --user mysql >/dev/null
  component_manifest; component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  docs_start; make_data; docs_stop
}
make_data() {
  encrypted_table; install_udf
  sql -e "DO keyring_key_store('kept','SECRET','a secret text'), keyring_key_generate(REPEAT('钥',255),'AES',32)"
}
do_manifest() { component_manifest; }
do_stock_manifest() { echo '{ "components": "file://component_keyring_file" }' > "$MANIFEST"; }
do_no_manifest() { rm -f "$MANIFEST" "$PLUGINS/component_keyring_ward.cnf"; }
do_rotate() { sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY"; }
# New data under the new keyring, and a restart.
do_use() { make_data; do_restart; do_check component_keyring_ward; }
# The keyring that the server's migration mode made holds the keys.
do_check_new_keyring() {
  keyring-ward list --path "$KEYS/new.ward" --passphrase-file "$KEYS/passphrase" > /tmp/kw-docs-list
  expect "keys of root@localhost in the new keyring" "$(grep -c root@localhost /tmp/kw-docs-list)" 2
}
# Who has an account with AWS: the command line tool (a small stand-in for it here), credentials in the environment, and KMS
# at the name that it has, with a certificate that the system trusts.
do_aws_account() {
  export AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=secret AWS_ENDPOINT_URL=http://${KW_MOTO:?the address of a KMS server}
  mkdir -p /tmp/kw-docs-kms
  /kw/target/debug/examples/kms_proxy tls 127.0.53.1:443 "$KW_MOTO" /tmp/kw-docs-kms kms.eu-central-1.amazonaws.com & KMS_TLS=$!
  trap 'stop_server; kill $KMS_TLS' EXIT
  wait_for 20 test -s /tmp/kw-docs-kms/ca.pem || fail "no TLS before the KMS server"
  grep -q 127.0.53.1 /etc/hosts || echo '127.0.53.1 kms.eu-central-1.amazonaws.com' >> /etc/hosts
  [ -e /etc/ssl/certs/ca-certificates.crt.kw ] || cp /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt.kw
  cat /etc/ssl/certs/ca-certificates.crt.kw /tmp/kw-docs-kms/ca.pem > /etc/ssl/certs/ca-certificates.crt
  install -m 0755 /kw/mysql-test/harness/aws-stand-in.sh /usr/local/bin/aws
}
# Who has a KMIP server: it is at the name of the example, has an active key, and knows the certificate that lies here.
do_kmip_server() {
  grep -q kmip.example.org /etc/hosts || echo "${KW_KMIP%:*} kmip.example.org" >> /etc/hosts
  cp /kw/kmip/one.pem /kw/kmip.pem; cp /kw/kmip/one.key /kw/kmip.key; cp /kw/kmip/ca.pem /kw/kmip-ca.pem
}
# A KEK for recovery was made on another machine: its secret half is in a safe.
do_recovery_key() { mkdir -p /media/safe; install -m 0600 /kw/tests/vectors/age-identity /media/safe/recovery.txt; }
# The reader writes the public half where the page has "age1…".
do_own_recipient() { # do_own_recipient FILE
  sed -i "s/age1…/$(sed -n 's/^# public key: //p' /media/safe/recovery.txt)/" "$1"
}
do_sql_functions() { sql < /kw/share/install.sql; }
# Yesterday's keyring and a backup of today, on a machine of its own.
do_backup() {
  mkdir -p /backup; cp -a "$KEYS/keyring.ward" /backup/yesterday.ward
  do_rotate; do_stop; rm -rf /backup/data; cp -a "$DATA" /backup/data; cp -a "$KEYS/keyring.ward" /backup/keyring.ward; chown -R mysql:mysql /backup
}
do_keep_fingerprint() { keyring-ward status | awk '$1 == "Fingerprint" { print $2 }' > /media/safe/fingerprint; }
# Another machine, with copies of keyring and configuration.
do_safe_machine() {
  mkdir -p /copy
  cp "$KEYS/keyring.ward" /copy/; cp "$PLUGINS/component_keyring_ward.cnf" /copy/keyring_ward.json
}
do_lose_passphrase() { docs_stop; rm "$KEYS/passphrase"; }
# Who has a Vault: OpenBao at the name of the examples, with a certificate that the system trusts, and its command line tool.
do_vault_server() {
  . /kw/mysql-test/harness/vault.sh
  vault_reset plain
  mkdir -p /tmp/kw-docs-vault
  /kw/target/debug/examples/kms_proxy tls 127.0.53.2:$VAULT_PORT 127.0.0.1:$VAULT_PORT /tmp/kw-docs-vault vault.example.org & VAULT_TLS=$!
  trap 'stop_server; kill $VAULT_TLS; vault_off' EXIT
  wait_for 20 test -s /tmp/kw-docs-vault/ca.pem || fail "no TLS before Vault"
  export BAO_ADDR=https://vault.example.org:$VAULT_PORT BAO_CACERT=/tmp/kw-docs-vault/ca.pem
  grep -q vault.example.org /etc/hosts || echo '127.0.53.2 vault.example.org' >> /etc/hosts
  [ -e /etc/ssl/certs/ca-certificates.crt.kw ] || cp /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt.kw
  cat /etc/ssl/certs/ca-certificates.crt.kw /tmp/kw-docs-vault/ca.pem > /etc/ssl/certs/ca-certificates.crt
  ln -sf $BAO /usr/local/bin/vault
}
# What init printed, with the role id of this Vault.
do_vault_my_cnf() {
  { echo '[keyring_ward]'; printf '%s\n' backend=vault "path=$KEYS/keyring.ward" vault_address=https://vault.example.org:8200 vault_key=mysql vault_auth=approle \
    "vault_role_id=$(vault read -field=role_id auth/approle/role/mysql/role-id)" vault_secret_id_file=/var/lib/mysql-keyring/vault-secret-id; } >> /etc/my.cnf
}
# What README promises of failures of the keyring's SQL functions: NULL, and log and status say which it was.
do_failures_are_told() {
  install_udf
  sql -e "DO keyring_key_generate('twice','AES',32)"
  local statement kind
  while IFS='|' read -r statement kind; do
    sql_null "SELECT $statement"
    log_has "$kind"
    case "$(status_row Last_error)" in *"$kind"*) ;; *) fail "$statement: Last_error is '$(status_row Last_error)'" ;; esac
  done <<'END'
keyring_key_generate('twice','AES',32)|KW-0002 AlreadyExists
keyring_key_generate(REPEAT('x',256),'AES',32)|KW-0003 InvalidInput
END
}
# One more option of the configuration.
do_option() { sed -i "1s|{|{ \"$1\": \"$2\",|" "$PLUGINS/component_keyring_ward.cnf"; } # do_option NAME VALUE
# Companion component and schema, and an account app@% that reads a key of its own and uses one by a definer's function.
do_a_log_with_lines() {
  sql -e "INSTALL COMPONENT 'file://component_keyring_ward_sql'"
  sql < /kw/share/keyring_ward.sql > /dev/null
  sql -e "CALL keyring_ward.create_key('ssn'); CREATE USER app; GRANT EXECUTE ON *.* TO app; CREATE DATABASE e; GRANT EXECUTE ON e.* TO keyring_ward_definer@localhost;
    CREATE DEFINER = keyring_ward_definer@localhost FUNCTION e.seal(t TEXT) RETURNS VARBINARY(400) NO SQL RETURN keyring_ward_encrypt('ssn', t)"
  mysql -uapp -S $SOCKET -e "DO keyring_key_generate('reads-it', 'AES', 32), keyring_key_fetch('reads-it'), e.seal('text')"
  sql -e "REVOKE EXECUTE ON *.* FROM app"
  do_it_is_in_the_log ssn app@localhost key_used
}
# A client library of Debian's, in the box (scripts/test.sh puts it there).
do_python_client() { wait_for 120 python3 -c 'import pymysql' || fail "python3-pymysql is not here: scripts/test.sh installs it"; }
do_run_python() { expect "$1" "$(python3 "$1" 2>&1)" "${*:2}"; } # do_run_python FILE OUTPUT…
do_it_is_in_the_log() { # do_it_is_in_the_log KEY ACCOUNT EVENT
  it_is_there() { keyring-ward audit show /var/log/mysql-keyring/audit.log --json --key "$1" --account "$2" --event "$3" | grep -q .; }
  wait_for 20 it_is_there "$@" || fail "the log has no $3 of $1 by $2"
}
# A key that an older copy lacks.
do_make_newer_key() { sql -e "DO keyring_key_generate('newer','AES',32)"; }
# The data of before is readable, under the keyring that is meant.
do_check() { # do_check COMPONENT
  expect "a row of the encrypted table" "$(row)" one
  expect "a user's key" "$(sql -e "SELECT keyring_key_fetch('kept'), keyring_key_length_fetch(REPEAT('钥',255))")" "a secret text	32"
  case "$1" in
    component_keyring_ward) expect "status" "$(status_row Component_status)" Active ;;
    plugin) expect "the plugin" "$(sql -e "SELECT PLUGIN_STATUS FROM information_schema.PLUGINS WHERE PLUGIN_NAME='keyring_ward'")" ACTIVE ;;
    component_keyring_file) [ -n "$(grep -l component_keyring_file "$MANIFEST")" ] || fail "the manifest does not name the stock component" ;;
    *) fail "check of what? '$1'" ;;
  esac
}

# ---- steps -----------------------------------------------------------------------------------------

in_scope() { case ",$1," in ,-, | *",$2,"*) return 0 ;; *) return 1 ;; esac; }

# at_a_terminal FILE: runs it with a terminal, and types what FILE.input says when it is asked.
at_a_terminal() {
  local seen=/tmp/kw-docs-terminal prompt text asked=0 rc=0 job
  rm -f $seen $seen.in; mkfifo $seen.in
  script -qefc "bash -eo pipefail $1" $seen < $seen.in >/dev/null & job=$!
  exec 7> $seen.in
  while IFS= read -r text <&8; do
    prompt=${text%% => *} text=${text#* => }
    # Only what was written since the last answer counts.
    wait_for 60 sh -c "tail -c +$((asked + 1)) $seen | grep -qF -- '$prompt'" || { cat $seen; echo "nobody asked '$prompt'"; rc=1; break; }
    asked=$(wc -c < $seen)
    printf '%s\n' "$text" >&7
  done 8< "$1.input"
  [ $rc = 0 ] || kill $job
  wait $job || rc=$?
  exec 7>&-
  cat $seen; return $rc
}

# run_block FILE KIND ARGUMENT: does what a reader does with a block. Its output is checked by the directives.
run_block() {
  case "$2" in
    sh) (cd /kw && if [ -e "$1.input" ]; then at_a_terminal "$1"; else bash -eo pipefail "$1" </dev/null; fi) ;;
    sql) sql --comments --table < "$1" ;;
    file) mkdir -p "$(dirname "$3")" && cat "$1" > "$3" ;;
    append) mkdir -p "$(dirname "$3")" && cat "$1" >> "$3" ;;
  esac
}

# run_page PAGE SCENARIO: the page from top to bottom.
run_page() {
  local out=/tmp/kw-docs-blocks line kind argument where number rc word text ran=0
  fresh_place
  rm -rf $out; mkdir -p $out
  $JUDGE blocks $out "/kw/$1"
  while IFS=$'\t' read -r line kind argument where number <&3; do
    in_scope "$where" "$2" || continue
    case "$kind" in
      scenarios | skip) continue ;;
      error) fail "$1:$line: $argument" ;;
      do)
        # shellcheck disable=SC2086
        set -- "$1" "$2" $argument
        declare -F "do_$3" >/dev/null || fail "$1:$line: there is no action '$3'"
        "do_$3" "${@:4}" || fail "$1:$line: $argument"
        set -- "$1" "$2"; continue ;;
    esac
    rc=0; run_block $out/"$number" "$kind" "$argument" > /tmp/kw-docs-out 2>&1 || rc=$?
    ran=$((ran + 1))
    if [ -e $out/"$number".expect ] && grep -q '^fails' $out/"$number".expect; then
      [ $rc != 0 ] || fail "$1:$line: it should have failed: $(tail -3 /tmp/kw-docs-out)"
    elif [ $rc != 0 ]; then
      fail "$1:$line: exit code $rc: $(grep -E 'ERROR|KW-' /tmp/kw-docs-out | head -4; tail -8 /tmp/kw-docs-out)"
    fi
    [ -e $out/"$number".expect ] || continue
    while IFS=$'\t' read -r word text <&4; do
      grep -qF -- "$text" /tmp/kw-docs-out || fail "$1:$line: the output has no '$text': $(tail -8 /tmp/kw-docs-out)"
    done 4< $out/"$number".expect
  done 3< $out/steps
  [ $ran -gt 0 ] || fail "$1: nothing of it belongs to '$2'"
  echo "    $1, '$2': $ran blocks"
}

# ---- the tests -------------------------------------------------------------------------------------

# Every page is well-formed, each block belongs to a scenario that is run, and what is skipped says why.
t_every_block_is_run_or_skipped_with_a_reason() {
  local page out=/tmp/kw-docs-check line kind argument where number known each blocks=0 skipped=0
  for page in $PAGES; do
    [ -e "/kw/$page" ] || { [ "$page" = docs/guide/containers.md ] && continue; fail "$page is missing"; }
    rm -rf $out; mkdir -p $out
    $JUDGE blocks $out "/kw/$page"
    known=$(awk -F'\t' '$2 == "scenarios" {print $3}' $out/steps)
    while IFS=$'\t' read -r line kind argument where number; do
      case "$kind" in
        error) fail "$page:$line: $argument" ;;
        scenarios) continue ;;
        skip) skipped=$((skipped + 1)); echo "    skipped: $page:$line: $argument"; continue ;;
        do) ;;
        *) blocks=$((blocks + 1)) ;;
      esac
      [ -n "$known" ] || fail "$page:$line: the page names no scenarios"
      [ "$where" != - ] || continue
      for each in ${where//,/ }; do
        case " $known " in *" $each "*) ;; *) fail "$page:$line: there is no scenario '$each'" ;; esac
      done
    done < $out/steps
  done
  echo "    $blocks blocks are run, $skipped are skipped"
  [ $blocks -gt 15 ]
}

# What sentences quote can't be run; that its commands and options exist can be looked at.
t_quoted_commands_have_the_options_that_they_name() {
  local page text command option help count=0 cache=/tmp/kw-docs-help
  rm -rf $cache; mkdir -p $cache
  for page in /kw/README.md /kw/docs/*/*.md /kw/docs/*.md; do
    tr '\n' ' ' < "$page" | grep -oE '`keyring-ward [^`]*`' | tr -d '`' | sort -u > /tmp/kw-docs-quoted || true
    while read -r _ text; do
      case "$text" in
        # The last one is what a signature is over.
        -* | help* | audit\ log\ 1*) continue ;;
        kek\ * | key\ * | transport\ * | audit\ * | policy\ * | hsm\ list* | hsm\ keys* | hsm\ test*) command=$(echo "$text" | cut -d' ' -f1,2) ;;
        *) command=${text%% *} ;;
      esac
      help=$cache/${command// /-}
      # shellcheck disable=SC2086
      [ -e "$help" ] || keyring-ward $command --help > "$help" 2>&1 || fail "${page#/kw/}: there is no 'keyring-ward $command'"
      count=$((count + 1))
      for option in $(echo "$text" | grep -oE -- '--[a-z][a-z-]*' || true); do
        grep -qE -- "(^|[ ,\`])$option([ ,<=\`]|\$)" "$help" || fail "${page#/kw/}: '$text': keyring-ward $command has no $option"
      done
    done < /tmp/kw-docs-quoted
  done
  echo "    $count quoted commands"
  [ $count -gt 20 ]
}

# Files that a page names are there.
t_files_and_pages_that_are_named_exist() {
  local page name count=0
  for page in README.md $(cd /kw && ls docs/*.md docs/*/*.md); do
    while read -r name; do
      count=$((count + 1))
      [ -e "/kw/$name" ] || fail "$page names $name, which is not there"
    done < <(grep -oE '\b(scripts|contrib|share|mysql-test/(harness|container))/[A-Za-z0-9_./-]*[A-Za-z0-9]' "/kw/$page" | grep -v -e '^share/keyring-ward' -e '^share/zoneinfo' | sort -u)
    while read -r name; do
      count=$((count + 1))
      [ -e "/kw/$(dirname "$page")/$name" ] || fail "$page links to $name, which is not there"
    done < <(grep -oE '\]\([a-zA-Z0-9_./-]+' "/kw/$page" | cut -c3- | grep -vxE 'https?' | sort -u)
  done
  echo "    $count names"
  [ $count -gt 50 ]
}

for page in $PAGES; do
  [ -e "/kw/$page" ] || continue
  for scenario in $(sed -n 's/^<!-- scenarios: \(.*\) -->$/\1/p' "/kw/$page"); do
    name=${page##*/}; name=t_${name%.md}_$scenario
    eval "${name//[^a-zA-Z0-9_]/_}() { run_page $page $scenario; }"
  done
done

# The box as the other scripts want it.
put_back() {
  rm -rf /usr/local/bin/keyring-ward /usr/local/bin/aws /usr/local/bin/vault "$PLUGINS/component_keyring_ward.so" /etc/my.cnf "$KEYS" /backup /copy /media/safe /var/log/mysql-keyring
  mkdir -p "$KEYS"; chown mysql:mysql "$KEYS"; chmod 0750 "$KEYS"
  sh /kw/mysql-test/container/install-ward.sh /kw/target/release
}
trap put_back EXIT
run_tests "$@"
