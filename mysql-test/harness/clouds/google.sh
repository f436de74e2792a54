# Google Cloud KMS in the box, as the fake of tests/support/clouds/google at $FAKE (HOST:PORT). Sourced; $KEYS is the folder of
# mysqld's secrets. The service account's key is the one that the fake knows: it is for tests only.

GOOGLE_KEY=projects/test-only/locations/europe-west3/keyRings/mysql/cryptoKeys/keyring

# What `cloud_fake serve google` is started with.
cloud_settings() { echo primary=1; }

# The secret that the login needs, for mysqld's account alone; its path in CLOUD_SECRET.
cloud_prepare() {
  CLOUD_SECRET=$KEYS/google-account.json
  install -o mysql -g mysql -m 0600 /kw/tests/support/clouds/google/account.json "$CLOUD_SECRET"
}

# The options, as my.cnf has them.
cloud_options() {
  printf '%s\n' "gcp_kms_key=$GOOGLE_KEY" "gcp_kms_endpoint=http://$FAKE" gcp_kms_auth=service_account "gcp_kms_credentials_file=$KEYS/google-account.json"
}

# The key is disabled, and enabled again.
cloud_disable() { /kw/target/debug/examples/cloud_fake set "$FAKE" state DISABLED; }
cloud_enable() { /kw/target/debug/examples/cloud_fake set "$FAKE" state ENABLED; }
