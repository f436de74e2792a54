# The KMIP server in the box: its name, our certificates, a configuration. Sourced. $KW_KMIP is its HOST:PORT outside;
# /kw/kmip has the certificates.

KMIP_NAME=kmip.keyring-ward.test
KMIP_HOST=${KW_KMIP%:*} KMIP_PORT=${KW_KMIP##*:}

# kmip_at ADDRESS: from now on the name stands for it; empty: for nothing.
kmip_at() {
  grep -v " $KMIP_NAME$" /etc/hosts > /tmp/kw-hosts || true
  [ -z "$1" ] || echo "$1 $KMIP_NAME" >> /tmp/kw-hosts
  # It may be mounted, and is not replaced then.
  cat /tmp/kw-hosts > /etc/hosts
}

# The certificates, where mysqld may read them.
kmip_files() {
  cp /kw/kmip/{ca.pem,one.pem,one.key,two.pem,two.key} "$KEYS/"
  chown mysql:mysql "$KEYS"/{ca,one,two}.pem "$KEYS"/{one,two}.key
  chmod 600 "$KEYS"/{one,two}.key
}

# kmip_config KEY [MEMBER…]: the component's configuration, with more members of "kmip".
kmip_config() {
  local key=$1 more= member; shift
  for member; do more="$more, $member"; done
  echo "{ \"backend\": \"kmip\", \"path\": \"$KEYS/keyring.ward\", \"start_timeout\": ${START_TIMEOUT:-20}, \"timeout\": ${TIMEOUT:-5},
    \"kmip\": { \"addresses\": \"${KMIP_ADDRESSES:-$KMIP_NAME:$KMIP_PORT}\", \"key_id\": \"$key\", \"ca_file\": \"$KEYS/ca.pem\",
      \"client_certificate\": \"$KEYS/${KMIP_CLIENT:-one}.pem\", \"client_key_file\": \"$KEYS/${KMIP_CLIENT:-one}.key\",
      \"connect_timeout\": 1, \"attempt_timeout\": 2 $more } }" > "$CONFIG"
}
