# Alibaba Cloud in the box: the fake of tests/support/clouds/alibaba.rs, asked with an access key's file. Sourced.
#   $FAKE: HOST:PORT of `cloud_fake serve alibaba`; $KEYS: the folder of mysqld's secrets

# What of it is secret, for tests that look for it in logs: the constants of the fake.
CLOUD_SECRET=$KEYS/alibaba-access-key
CLOUD_SECRET_TEXT=HIDDENsecretOfTheFakesAccessKey

# Settings that the fake begins with, NAME=VALUE.
cloud_settings() { printf '%s\n' state=Enabled version=1; }

# The access key's file.
cloud_prepare() {
  (umask 077; printf 'access_key_id=%s\naccess_key_secret=%s\n' LTAI5tKeyringWardFake01 "$CLOUD_SECRET_TEXT" > "$CLOUD_SECRET")
  chown mysql:mysql "$CLOUD_SECRET"
}

# The options, one a line, as in my.cnf.
cloud_options() {
  printf '%s\n' alibaba_kms_key_id=key-hzz630494463ejqjx0001 alibaba_kms_region=cn-hangzhou "alibaba_kms_endpoint=http://$FAKE" \
    alibaba_kms_auth=access_key "alibaba_kms_credentials_file=$CLOUD_SECRET"
}

# The key is disabled and enabled, as its administrator would.
cloud_disable() { /kw/target/debug/examples/cloud_fake set "$FAKE" state Disabled; }
cloud_enable() { /kw/target/debug/examples/cloud_fake set "$FAKE" state Enabled; }
