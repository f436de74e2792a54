# AWS KMS in the box: a proxy at $KMS_URL, before moto or LocalStack outside. Sourced. $KW_MOTO and $KW_LOCALSTACK
# are the servers' HOST:PORT.

PROXY=/kw/target/debug/examples/kms_proxy
KMS=/tmp/kw-kms
KMS_PORT=4599
KMS_URL=http://127.0.0.1:$KMS_PORT
AWS_KEYS=$KEYS/aws-credentials

# kms_reset [SERVER]: a fresh proxy before SERVER (moto unless named), credentials, and a key in $KEY.
kms_reset() {
  KMS_SERVER=${1:-$KW_MOTO}
  kms_off
  rm -rf $KMS; mkdir -p $KMS; : > $KMS/calls; : > $KMS/fault
  setsid $PROXY 127.0.0.1:$KMS_PORT "$KMS_SERVER" $KMS >/dev/null 2>&1 &
  wait_for 10 kms_listens || fail "the proxy does not listen"
  (umask 077; printf '[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n' > "$AWS_KEYS")
  chown mysql:mysql "$AWS_KEYS"
  KEY=$(kms_key)
}
kms_listens() { (exec 3<>/dev/tcp/127.0.0.1/$KMS_PORT) 2>/dev/null; }
kms_off() {
  local pid
  for pid in $(pgrep -x kms_proxy); do
    if [ "/proc/$pid/root" -ef / ]; then kill -9 "$pid" 2>/dev/null || true; fi
  done
  # Else the next proxy would not get the port, and the one that dies would answer for it.
  wait_for 10 kms_is_off || fail "the proxy does not end"
}
kms_is_off() { ! kms_listens; }
# A call as an administrator: kms_admin ACTION JSON
kms_admin() { $PROXY call "$KMS_SERVER" "$1" "$2"; }
# A new key's ARN.
kms_key() { kms_admin CreateKey '{}' | grep -o 'arn:aws:kms:[^"]*' | head -1; }

kms_fault() { printf '%s' "$*" > $KMS/fault; }
# The calls since the last one of this, in one line.
kms_calls() { tr '\n' ' ' < $KMS/calls | sed 's/ $//'; : > $KMS/calls; }

# kms_config [MEMBER…]: the component's configuration, with more members of "aws_kms".
kms_config() {
  local more=; for member; do more="$more, $member"; done
  echo "{ \"backend\": \"aws_kms\", \"path\": \"$KEYS/keyring.ward\", \"start_timeout\": ${START_TIMEOUT:-20}, \"timeout\": ${TIMEOUT:-5},
    \"aws_kms\": { \"key_id\": \"$KEY\", \"endpoint_url\": \"$KMS_URL\", \"credentials_file\": \"$AWS_KEYS\",
      \"connect_timeout\": 1, \"attempt_timeout\": 2 $more } }" > "$CONFIG"
}

# The same options as lines of my.cnf: kms_my_cnf PREFIX
kms_my_cnf() {
  printf "$1%s\n" backend=aws_kms "path=$KEYS/keyring.ward" "aws_kms_key_id=$KEY" "aws_kms_endpoint_url=$KMS_URL" \
    "aws_kms_credentials_file=$AWS_KEYS" aws_kms_attempt_timeout=2 timeout=5
}
