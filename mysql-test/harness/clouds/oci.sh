# The fake of OCI for the server tests: as whom, which key, and what an administrator does there. Sourced, with $FAKE
# (HOST:PORT of the fake) and $KEYS (the folder of mysqld's secrets). The user's key is one of tests, which everybody has.

OCI_HERE=$(dirname "${BASH_SOURCE[0]}")

# NAME=VALUE lines for cloud_fake serve: nothing but what it does by itself.
cloud_settings() { :; }

# The user's API signing key, where mysqld alone reads it; its path in $CLOUD_SECRET.
cloud_prepare() {
  CLOUD_SECRET=$KEYS/oci-key.pem
  install -m 0600 -o mysql -g mysql "$OCI_HERE/oci_user.pem" "$CLOUD_SECRET"
}

# The flat options, a line each.
cloud_options() {
  cat <<END
oci_vault_crypto_endpoint=http://$FAKE
oci_vault_key_ocid=ocid1.key.oc1.eu-frankfurt-1.bbptestaaacuu.abtheljskeyringward
oci_vault_auth=user_key
oci_vault_tenancy_ocid=ocid1.tenancy.oc1..aaaaaaaakeyringwardtest
oci_vault_user_ocid=ocid1.user.oc1..aaaaaaaakeyringwardtest
oci_vault_fingerprint=14:1d:69:be:f2:81:de:de:9f:51:46:19:9d:5f:13:5b
oci_vault_private_key_file=$KEYS/oci-key.pem
END
}

# The same as the instance itself: no secret, and five requests in place of one.
cloud_options_instance() {
  cat <<END
oci_vault_crypto_endpoint=http://$FAKE
oci_vault_key_ocid=ocid1.key.oc1.eu-frankfurt-1.bbptestaaacuu.abtheljskeyringward
oci_vault_federation_endpoint=http://$FAKE
oci_vault_metadata_url=http://$FAKE
END
}

# The key is disabled, and enabled again: 409 IncorrectState in between.
cloud_disable() { /kw/target/debug/examples/cloud_fake set "$FAKE" state DISABLED; }
cloud_enable() { /kw/target/debug/examples/cloud_fake set "$FAKE" state ENABLED; }
