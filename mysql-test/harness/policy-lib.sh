# A server with an access policy, and accounts that are tried: what access-tests.sh and roles-tests.sh share. Sourced after tests-lib.sh.
POLICY=/etc/kw-policy.json
NETWORK="--skip-networking=OFF --bind-address=127.0.0.1 --port=3399"

# The configuration of tests-lib.sh and server.sh, with the policy.
component_config() {
  echo "{ \"backend\": \"file\", \"path\": \"$KEYS/keyring.ward\", \"start_timeout\": 5, \"policy_file\": \"$POLICY\", \"file\": { $1 } }" > "$CONFIG"
}
plugin_my_cnf() {
  printf '[mysqld]\nearly-plugin-load=keyring_ward.so\nloose_keyring_ward_backend=file\nloose_keyring_ward_path=%s\n' "$KEYS/keyring.ward" > /etc/my.cnf
  printf 'loose_keyring_ward_file_passphrase_file=%s\nloose_keyring_ward_policy_file=%s\n' "$KEYS/passphrase" "$POLICY" >> /etc/my.cnf
  FIRST=--defaults-file=/etc/my.cnf
}
# policy DEFAULT RULE…: writes the policy.
policy() {
  local default=$1 rules; shift
  rules=$(IFS=,; echo "$*")
  printf '{ "version": 1, "default": "%s", "rules": [%s] }\n' "$default" "$rules" > "$POLICY"
  chown root:root "$POLICY"; chmod 644 "$POLICY"
}
reload() {
  case $ROLE in
    component) sql -e "ALTER INSTANCE RELOAD KEYRING" ;;
    plugin) case "$(sql -e "SELECT keyring_ward_reload()")" in *'"ok":true'*) ;; *) fail "keyring_ward_reload" ;; esac ;;
  esac
}
# as USER SQL, by socket; over USER SQL, by TCP. The password is the name's; errors are told.
as() { local user=$1; shift; mysql -u"$user" -p"${PASSWORD:-pw}" -S $SOCKET --batch --skip-column-names -e "$1" 2>&1 | sed '/Using a password/d'; }
over() { local user=$1; shift; mysql -u"$user" -p"${PASSWORD:-pw}" -h127.0.0.1 -P3399 --get-server-public-key --batch --skip-column-names -e "$1" 2>&1 | sed '/Using a password/d'; }
# is EXPECTED COMMAND…
is() { local expected=$1; shift; expect "$*" "$("$@")" "$expected"; }
# denied RULE COMMAND…: an error of our functions that names the rule.
denied() {
  local rule=$1; shift
  SAID=$("$@") || true
  case "$SAID" in *"ERROR 3200 "*"KW-0013"*"'$rule'"*) ;; *) fail "no refusal by '$rule' from $*: $SAID" ;; esac
}
admin() { SAID=$(sql -e "SELECT keyring_ward_$1") || fail "$1"; case "$SAID" in *'"ok":true'*) ;; *) fail "$1: $SAID" ;; esac; }
users() {
  local user
  for user; do sql -e "CREATE USER $user IDENTIFIED BY 'pw'; GRANT EXECUTE ON *.* TO $user"; done
}
LENGTH="SELECT LENGTH(keyring_key_fetch('k'))"
