#!/bin/bash
# mysql-test-run inside the box: mtr.sh own|quick|all|stock [TEST…]
#   own    our suite, mysql-test/suite/component_keyring_ward
#   quick  MySQL's suite component_keyring_file, pointed at us: its quick tests
#   all    the same, whole
#   stock  the same, whole, with the stock component: what "every test that passes" means
# KW_BACKEND=pkcs11: quick and all run with the KEK on a SoftHSM2 token instead of in a key file;
# KW_BACKEND=pkcs11-token: the keys themselves are on the token, which is made anew for each test.
# KW_BACKEND=aws_kms: the KEK is a key of the KMS server $KW_MOTO; vault: a key of OpenBao; keks: two KEKs, that key
# and the key file.
# MySQL's tests are GPL: they are copied and rewritten here, at test time, and never kept.
set -euo pipefail
mode=$1; shift
TREE=/usr/lib/mysql-test
PLUGINS=/usr/lib/mysql/plugin
VAR=/var/lib/mysql-test/var
KEK=/var/lib/mysql-test/kek
COPY=keyring_file_suite_on_ward
# Product-specific text, kept as our own versions in component_keyring_ward.
PRODUCT_SPECIFIC="keyring_component_status config-errors"
QUICK="keyring_encryption_test keyring_udf_invalid_args udf_test sensitive_variables engine load encrypt_explicit
  log_encrypt_1 table_encrypt_kill"
case ${KW_BACKEND:-file} in
  file) KEK_OPTIONS='"backend": "file", "file": { "key_file": "'$KEK'" }' ;;
  pkcs11) KEK_OPTIONS='"backend": "pkcs11", "pkcs11": { "module": "/usr/lib/softhsm/libsofthsm2.so", "token_label": "mtr", "key_label": "kek", "pin_file": "'$KEK'.pin" }' ;;
  pkcs11-token) KEK_OPTIONS='"backend": "pkcs11", "pkcs11": { "storage": "token", "module": "/usr/lib/softhsm/libsofthsm2.so", "token_label": "mtr", "key_label": "kek", "pin_file": "'$KEK'.pin" }' ;;
  aws_kms)
    . /kw/mysql-test/harness/server.sh
    . /kw/mysql-test/harness/kms.sh
    AWS_KEYS=$KEK.aws
    kms_reset
    trap kms_off EXIT
    KEK_OPTIONS='"backend": "aws_kms", "aws_kms": { "key_id": "'$KEY'", "endpoint_url": "'$KMS_URL'", "credentials_file": "'$AWS_KEYS'" }' ;;
  vault | keks)
    . /kw/mysql-test/harness/server.sh
    . /kw/mysql-test/harness/vault.sh
    VAULT_SECRET_ID=$KEK.vault
    vault_reset
    trap vault_off EXIT
    vault_role
    KEK_OPTIONS='"address": "'$VAULT_URL'", "key": "mysql", "auth": "approle", "role_id": "'$VAULT_ROLE_ID'", "secret_id_file": "'$VAULT_SECRET_ID'", "ca_file": "'$VAULT/vault-ca.pem'"'
    if [ "$KW_BACKEND" = vault ]; then KEK_OPTIONS='"backend": "vault", "vault": { '$KEK_OPTIONS' }'; else
      KEK_OPTIONS='"keks": [ { "name": "bao", "provider": "vault", '$KEK_OPTIONS' }, { "name": "local", "provider": "key_file", "key_file": "'$KEK'" } ]'
    fi ;;
  *) echo "KW_BACKEND is file, pkcs11, pkcs11-token, aws_kms, vault or keks"; exit 2 ;;
esac
# How many of MySQL's tests run on this release build (the rest needs a debug server), less our two.
WHOLE=25

prepare() {
  echo '{ "read_local_manifest": true }' > /usr/sbin/mysqld.my
  echo '{ "read_local_config": true }' > $PLUGINS/component_keyring_file.cnf
  # The KEK stands in the global file, the path in the tests' local ones.
  echo "{ \"read_local_config\": true, $KEK_OPTIONS }" > $PLUGINS/component_keyring_ward.cnf
  case ${KW_BACKEND:-file} in pkcs11*) prepare_token ;; esac
  (umask 077; head -c 32 /dev/urandom > $KEK)
  find $PLUGINS /usr/sbin -name '*.global_backup' -delete
  chown mysql:mysql $KEK /usr/sbin /usr/sbin/mysqld.my $PLUGINS $PLUGINS/component_keyring_*.cnf
  rm -rf "$VAR"
  # mysql-test-run finds our library by a row in its list, like every other.
  grep -q component_keyring_ward $TREE/include/plugin.defs || cat >> $TREE/include/plugin.defs <<ROW
component_keyring_ward  plugin_output_directory  yes  KEYRING_WARD_COMPONENT component_keyring_ward
ROW
  # Tests that remove or exchange the keyring on purpose must say so to the data directory, too.
  local helper
  for helper in remove backup restore; do
    helper=$TREE/include/keyring_tests/helper/local_keyring_file_$helper.inc
    grep -q keyring_ward.marker "$helper" || cat >> "$helper" <<'LINES'
--error 0,1
--remove_file $CURRENT_DATADIR/keyring_ward.marker
LINES
  done
}

# A SoftHSM2 token with a KEK, found by every server without an environment variable.
prepare_token() {
  local store=/var/lib/mysql-test/tokens
  rm -rf $store $KEK.pin; mkdir -p $store /etc/softhsm
  echo "directories.tokendir = $store" > /etc/softhsm/softhsm2.conf
  chmod 755 /etc/softhsm; chmod 644 /etc/softhsm/softhsm2.conf
  (umask 077; echo 11112222 > $KEK.pin); chown mysql:mysql $store $KEK.pin
  setpriv --reuid mysql --regid mysql --init-groups env -u SOFTHSM2_CONF softhsm2-util --init-token --free --label mtr --so-pin 12345678 --pin 11112222
  setpriv --reuid mysql --regid mysql --init-groups env -u SOFTHSM2_CONF keyring-ward init --path $store/throw-away.ward --module /usr/lib/softhsm/libsofthsm2.so \
    --token-label mtr --key-label kek --pin-file $KEK.pin --generate | head -1
}

# The copy of MySQL's suite: names and configuration rewritten, nothing else.
rewrite_suite() {
  local to=$TREE/suite/$COPY
  rm -rf "$to"
  cp -r $TREE/suite/component_keyring_file "$to"
  sed 's/KEYRING_FILE_COMPONENT/KEYRING_WARD_COMPONENT/g; s/component_keyring_file/component_keyring_ward/g' \
    $TREE/include/have_component_keyring_file.inc > $TREE/include/have_component_keyring_ward.inc
  local full
  full=$(echo "\"read_only\": false, $KEK_OPTIONS }" | sed 's/"/\\\\"/g')
  find "$to" -type f | while read -r file; do
    sed -i "s/KEYRING_FILE_COMPONENT/KEYRING_WARD_COMPONENT/g
      s/component_keyring_file/component_keyring_ward/g
      s|\\\\\"read_only\\\\\": false }|$full|g" "$file"
  done
  # The stock component's own log sentences stand in this result; ours go to standard error.
  sed -i '/^TIMESTAMP \[Note\] .* Component component_keyring_ward reported:/d' "$to/r/keyring_encryption_test.result"
  # A request of an account that is refused is a warning of ours (docs/reference/errors.md), and a warning fails a test of MySQL's.
  sed -i '/^--source include\/keyring_tests/i --disable_query_log\nCALL mtr.add_suppression("KW-0001 NotFound: Could not remove the key");\n--enable_query_log' \
    "$to/t/keyring_udf_invalid_args.test"
  local test
  for test in $PRODUCT_SPECIFIC; do rm -f "$to/t/$test.test" "$to/r/$test.result"; done
}

run() { # run SUITE [OPTION…]
  local suite=$1; shift
  local log=/tmp/mtr-$suite.log rc=0
  setpriv --reuid mysql --regid mysql --init-groups env HOME=/var/lib/mysql-home LANG=C.UTF-8 \
    perl -C0 -e 'chdir shift or die; exec @ARGV' $TREE perl mysql-test-run.pl --suite="$suite" --vardir=$VAR \
    --parallel="${KW_PARALLEL:-2}" --retry=0 --force --max-test-fail=0 --big-test --nounit-tests \
    "$@" > "$log" 2>&1 || rc=$?
  grep -E '\[ (pass|fail|skipped|disabled) \]' "$log" | grep -v shutdown_report | sed 's/^\[ *[0-9]*%\] *//' || true
  local passed failed
  passed=$(grep -cE '\[ pass \]' "$log" || true)
  passed=$((passed - $(grep -cE 'shutdown_report .*\[ pass \]' "$log" || true)))
  failed=$(grep -cE '\[ fail \]' "$log" || true)
  if [ "$rc" != 0 ]; then
    [ "$failed" != 0 ] || failed=1
    echo "---- the log's end ($log)"; grep -v '^\[' "$log" | tail -"${KW_LOG_LINES:-60}"
  fi
  TOTAL_PASSED=$((TOTAL_PASSED + passed)) TOTAL_FAILED=$((TOTAL_FAILED + failed))
}

TOTAL_PASSED=0 TOTAL_FAILED=0 AT_LEAST=1
prepare
case $mode in
  own)
    [ $# != 0 ] || AT_LEAST=$(ls /kw/mysql-test/suite/component_keyring_ward/t/*.test | wc -l)
    # Our tests write whole local configurations, or none.
    echo '{ "read_local_config": true }' > $PLUGINS/component_keyring_ward.cnf
    rm -rf $TREE/suite/component_keyring_ward
    cp -r /kw/mysql-test/suite/component_keyring_ward $TREE/suite/
    chown -R mysql:mysql $TREE/suite/component_keyring_ward  # for --record
    run component_keyring_ward "$@" ;;
  quick)
    AT_LEAST=$(echo $QUICK | wc -w)
    rewrite_suite
    if [ "${KW_BACKEND:-file}" = pkcs11-token ]; then
      # All servers of one token would share its keyring: one test, one token.
      for test in $QUICK; do prepare_token >/dev/null; KW_PARALLEL=1 run $COPY --do-test="^$test\$" "$@"; done
    else
      pattern=$(echo $QUICK | sed 's/ /$|^/g')
      run $COPY --do-test="^$pattern\$" "$@"
    fi ;;
  all)
    [ $# != 0 ] || AT_LEAST=$WHOLE
    rewrite_suite
    run $COPY "$@" ;;
  stock)
    run component_keyring_file "$@" ;;
  *) echo "usage: mtr.sh own|quick|all|stock"; exit 2 ;;
esac
if [ "$TOTAL_FAILED" = 0 ] && [ "$TOTAL_PASSED" -lt "$AT_LEAST" ]; then
  echo "only $TOTAL_PASSED of $AT_LEAST tests ran: a skip of a required test is a failure"
  TOTAL_FAILED=$((AT_LEAST - TOTAL_PASSED))
fi
echo "$TOTAL_PASSED passed, $TOTAL_FAILED failed"
[ "$TOTAL_FAILED" = 0 ] && [ "$TOTAL_PASSED" != 0 ]
