# The clouds' key services in the box: fakes of them, one process each (tests/support/clouds), asked by a server that knows
# no difference but the address. Sourced. What each cloud needs stands in clouds/CLOUD.sh.

FAKES=/kw/target/debug/examples/cloud_fake
CLOUD_FOLDER=/tmp/kw-clouds
declare -A CLOUD_PORT=([google]=4601 [azure]=4602 [alibaba]=4603 [oci]=4604)
declare -A CLOUD_BACKEND=([google]=gcp_kms [azure]=azure_key_vault [alibaba]=alibaba_kms [oci]=oci_vault)
declare -A CLOUD_NAME=([google]="Google Cloud KMS" [azure]="Azure Key Vault" [alibaba]="Alibaba Cloud KMS" [oci]="OCI Vault")

cloud_at() { echo "127.0.0.1:${CLOUD_PORT[$1]}"; }
# cloud_do CLOUD FUNCTION: a function of clouds/CLOUD.sh, apart from those of the other clouds.
cloud_do() { (FAKE=$(cloud_at "$1"); export FAKE; . "/kw/mysql-test/harness/clouds/$1.sh"; "$2"); }

# cloud_begin CLOUD: a fresh fake, and the credentials for it.
cloud_begin() {
  local settings=()
  mkdir -p $CLOUD_FOLDER
  mapfile -t settings < <(cloud_do "$1" cloud_settings)
  setsid $FAKES serve "$1" "$(cloud_at "$1")" "${settings[@]}" > "$CLOUD_FOLDER/$1.log" 2>&1 < /dev/null &
  disown
  wait_for 20 grep -q '^ready' "$CLOUD_FOLDER/$1.log" || fail "the fake of $1 does not start: $(tail -3 "$CLOUD_FOLDER/$1.log")"
  cloud_do "$1" cloud_prepare
}
# Where the credential lies that makes the difference: cloud_secret CLOUD
cloud_secret() { (FAKE=$(cloud_at "$1"); export FAKE; . "/kw/mysql-test/harness/clouds/$1.sh"; cloud_prepare >/dev/null; echo "$CLOUD_SECRET"); }
clouds_off() {
  local pid
  for pid in $(pgrep -x cloud_fake); do
    if [ "/proc/$pid/root" -ef / ]; then kill -9 "$pid" 2>/dev/null || true; fi
  done
  wait_for 10 clouds_are_off || fail "a fake does not end"
}
clouds_are_off() { ! pgrep -x cloud_fake >/dev/null; }

# The members of the section, as JSON has them: cloud_members CLOUD
cloud_members() {
  cloud_do "$1" cloud_options | sed "s/^${CLOUD_BACKEND[$1]}_\([a-z_]*\)=\(.*\)/\"\1\": \"\2\"/" | paste -sd, | sed 's/,"/, "/g'
}
# The component's configuration: cloud_config CLOUD
cloud_config() {
  echo "{ \"backend\": \"${CLOUD_BACKEND[$1]}\", \"path\": \"$KEYS/keyring.ward\", \"start_timeout\": ${START_TIMEOUT:-20}, \"timeout\": ${TIMEOUT:-5},
    \"${CLOUD_BACKEND[$1]}\": { $(cloud_members "$1") } }" > "$CONFIG"
}
# The same options as lines of my.cnf: cloud_my_cnf CLOUD PREFIX
cloud_my_cnf() {
  printf "$2%s\n" "backend=${CLOUD_BACKEND[$1]}" "path=$KEYS/keyring.ward" timeout=5
  cloud_do "$1" cloud_options | sed "s/^/$2/"
}
# The requests since the last call of this, in one line.
cloud_calls() { $FAKES calls "$(cloud_at "$1")" | sed '/^$/d' | paste -sd';'; }
