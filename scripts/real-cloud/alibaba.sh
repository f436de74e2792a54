# Alibaba Cloud with an account of the operator's. Sourced by scripts/real-cloud.sh; creates nothing.
#
# The operator must have:
#   - a symmetric key in KMS (KeySpec Aliyun_AES_256): KW_REAL_ALIBABA_KEY_ID (its id, ARN or alias/NAME) and KW_REAL_ALIBABA_REGION;
#   - an identity with kms:GenerateDataKey and kms:Decrypt on that key, by one of three ways in KW_REAL_ALIBABA_AUTH:
#       ecs_ram_role (default): this machine is an ECS instance with a RAM role; KW_REAL_ALIBABA_ROLE_NAME names it, if wanted;
#       oidc: this is a pod with RRSA; or KW_REAL_ALIBABA_ROLE_ARN, _OIDC_PROVIDER_ARN and _OIDC_TOKEN_FILE;
#       access_key: KW_REAL_ALIBABA_CREDENTIALS_FILE, two lines, access_key_id=… and access_key_secret=…, mode 0600;
#   - for a KMS instance: KW_REAL_ALIBABA_ENDPOINT (https://kst-….cryptoservice.kms.aliyuncs.com) and KW_REAL_ALIBABA_CA_FILE;
#     for a VPC endpoint the first, and KW_REAL_ALIBABA_STS_ENDPOINT with oidc.
# A key call costs what KMS's price list says of one; no key is made, changed or deleted.

# The options, one a line, as in my.cnf; what is not given is left out.
real_options() {
  : "${KW_REAL_ALIBABA_KEY_ID:?the key: its id, ARN or alias/NAME}"
  local name variable
  for name in key_id region endpoint auth role_name role_arn oidc_provider_arn oidc_token_file sts_endpoint credentials_file ca_file proxy; do
    variable=KW_REAL_ALIBABA_${name^^}
    [ -z "${!variable:-}" ] || printf 'alibaba_kms_%s=%s\n' "$name" "${!variable}"
  done
}
