# Vault in the box: OpenBao, a real server with TLS, which keeps everything in memory. Sourced.

BAO=/kw/bao
VAULT=/tmp/kw-vault
VAULT_PORT=8200
VAULT_URL=https://localhost:$VAULT_PORT
VAULT_SECRET_ID=$KEYS/vault-secret-id
# What its command line tool reads.
export BAO_ADDR=$VAULT_URL BAO_TOKEN=root BAO_CACERT=$VAULT/vault-ca.pem

# vault_reset [plain]: a fresh server, unsealed, with TLS or without; its unseal key in $VAULT_UNSEAL.
vault_reset() {
  local tls=(-dev-tls -dev-tls-cert-dir=$VAULT)
  if [ "${1:-}" = plain ]; then tls=(); export BAO_ADDR=http://localhost:$VAULT_PORT; unset BAO_CACERT; fi
  vault_off
  rm -rf $VAULT; mkdir -p $VAULT
  setsid $BAO server -dev "${tls[@]}" -dev-root-token-id=root -dev-no-store-token -dev-listen-address=127.0.0.1:$VAULT_PORT \
    > $VAULT/log 2>&1 < /dev/null &
  echo $! > $VAULT/pid
  disown
  wait_for 30 $BAO secrets list || fail "OpenBao does not start: $(tail -3 $VAULT/log)"
  wait_for 30 grep -q '^Unseal Key: ' $VAULT/log || fail "OpenBao names no unseal key"
  VAULT_UNSEAL=$(sed -n 's/^Unseal Key: //p' $VAULT/log)
}
vault_off() {
  local pid
  for pid in $(pgrep -x bao); do
    if [ "/proc/$pid/root" -ef / ]; then kill -9 "$pid" 2>/dev/null || true; fi
  done
  wait_for 10 vault_is_off || fail "OpenBao does not end"
}
vault_is_off() { ! (exec 3<>/dev/tcp/127.0.0.1/$VAULT_PORT) 2>/dev/null; }
vault_seal() { $BAO operator seal >/dev/null; }
vault_unseal() { $BAO operator unseal "$VAULT_UNSEAL" >/dev/null; wait_for 20 $BAO secrets list; }

# vault_role [TYPE]: a transit key, and a role of AppRole with the least policy, whose tokens are batch tokens or TYPE. Its
# secret id in a file; $VAULT_ROLE_ID.
vault_role() {
  $BAO secrets enable transit >/dev/null
  $BAO write -f transit/keys/mysql >/dev/null
  printf 'path "transit/%s/mysql" { capabilities = ["update"] }\n' encrypt decrypt | $BAO policy write mysql-keyring - >/dev/null
  $BAO auth enable approle >/dev/null
  $BAO write auth/approle/role/mysql token_type="${1:-batch}" token_policies=mysql-keyring token_ttl=60s >/dev/null
  VAULT_ROLE_ID=$($BAO read -field=role_id auth/approle/role/mysql/role-id)
  (umask 077; $BAO write -f -field=secret_id auth/approle/role/mysql/secret-id > "$VAULT_SECRET_ID"; echo >> "$VAULT_SECRET_ID")
  chown mysql:mysql "$VAULT_SECRET_ID"
}

# vault_config [MEMBER…]: the component's configuration, with more members of "vault".
vault_config() {
  local more=; for member; do more="$more, $member"; done
  echo "{ \"backend\": \"vault\", \"path\": \"$KEYS/keyring.ward\", \"start_timeout\": ${START_TIMEOUT:-20}, \"timeout\": ${TIMEOUT:-5},
    \"vault\": { \"address\": \"$VAULT_URL\", \"key\": \"mysql\", \"auth\": \"approle\", \"role_id\": \"$VAULT_ROLE_ID\",
      \"secret_id_file\": \"$VAULT_SECRET_ID\", \"ca_file\": \"$VAULT/vault-ca.pem\", \"connect_timeout\": 3, \"attempt_timeout\": 4 $more } }" > "$CONFIG"
}

# The same options as lines of my.cnf: vault_my_cnf PREFIX
vault_my_cnf() {
  printf "$1%s\n" backend=vault "path=$KEYS/keyring.ward" "vault_address=$VAULT_URL" vault_key=mysql vault_auth=approle \
    "vault_role_id=$VAULT_ROLE_ID" "vault_secret_id_file=$VAULT_SECRET_ID" "vault_ca_file=$VAULT/vault-ca.pem" timeout=5
}
