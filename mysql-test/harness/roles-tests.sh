#!/bin/bash
# The eight roles of share/keyring_ward.sql under the example policy, with a real server: the role matrix, the account of the backup operator, and
# what no policy stops.
#   roles-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
. /kw/mysql-test/harness/policy-lib.sh
. /kw/mysql-test/harness/role-matrix.sh

# says TEXT USER SQL: it is said, error or not.
says() { SAID=$(mysql -u"$2" -S $SOCKET -NBe "$3" 2>&1) || true; case "$SAID" in *"$1"*) ;; *) fail "no '$1' from $2: $3: $SAID" ;; esac; }

# Each cell by itself: 8 roles and the backup operator, all functions and procedures, own and foreign keys, in and out of hours.
t_role_matrix() {
  local began=$SECONDS
  matrix_server
  matrix_is_whole
  matrix_seen
  matrix_judged > /tmp/kw-judged
  cp $CELLS /tmp/kw-matrix-seen
  [ "$(wc -l < /tmp/kw-judged)" = 1 ] || fail "the role matrix: $(wc -l < /tmp/kw-judged) lines: $(head -20 /tmp/kw-judged)"
  # MySQL's own functions only say NULL: the log has that it was the policy, for each of them.
  local role verb
  for role in $ROLES; do
    for verb in generate store fetch remove; do log_has "'u_$role@localhost' may not $verb the key 'own-"; done
  done
  echo "    $(cat /tmp/kw-judged), as expected, in $((SECONDS - began)) s"
}

# The example is in order, and its table of expectations is met; a table that expects something else is not.
t_the_example_policy() {
  keyring-ward policy check /kw/share/policy-example.json | grep -q "The policy is in order: .* default deny" || fail "check"
  keyring-ward policy test /kw/share/policy-example.json --expect /kw/share/policy-example.expected.json | grep -q "^All .* expectations are met" || fail "test"
  sed 's/"01:00-03:00"/"01:00-04:00"/' /kw/share/policy-example.json > /tmp/kw-other.json
  ! keyring-ward policy test /tmp/kw-other.json --expect /kw/share/policy-example.expected.json > /tmp/kw-out || fail "another window is not noticed"
  sed 's/"environments": \["test"\]/"environments": ["test", "prod"]/' /kw/share/policy-example.json > /tmp/kw-other.json
  sed -i '/"test-keys-only"/,/"note"/d' /tmp/kw-other.json
  ! keyring-ward policy test /tmp/kw-other.json --expect /kw/share/policy-example.expected.json > /tmp/kw-out || fail "developers with keys of production are not noticed"
}

run_tests "$@"
