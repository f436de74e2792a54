"""Alibaba Cloud's official Python clients against the fake of tests/support/clouds/alibaba.rs.

  alibaba_official.py JSON     {"address", "region", "access_key_id", …}: see tests/support/alibaba_official.rs

Prints versions, calls and results, one line each; ends with an error where something differs from what the cloud is documented to
do. The clients speak https alone to STS and know one address of the metadata service: those two are turned to the fake.
"""

import base64
import importlib.metadata
import json
import sys
import urllib.request

from alibabacloud_credentials.client import Client as CredentialClient
from alibabacloud_credentials.provider import EcsRamRoleCredentialsProvider, OIDCRoleArnCredentialsProvider
from alibabacloud_credentials.http import HttpOptions
from alibabacloud_kms20160120 import models
from alibabacloud_kms20160120.client import Client
from alibabacloud_tea_openapi import utils_models
from darabonba.runtime import RuntimeOptions
from Tea.core import TeaCore

GIVEN = json.loads(sys.argv[1])
ADDRESS = GIVEN["address"]
CONTEXT = json.loads(GIVEN["context"])
# One attempt: a refusal must not be hidden by another one.
RUNTIME = RuntimeOptions(autoretry=False, max_attempts=1)


def versions():
    for name in ["alibabacloud-kms20160120", "alibabacloud-credentials", "alibabacloud-tea-openapi"]:
        print(f"{name} {importlib.metadata.version(name)}")


def setting(name, value):
    request = urllib.request.Request(f"http://{ADDRESS}/_fake/{name}", data=value.encode(), method="PUT")
    urllib.request.urlopen(request).read()


def kms(credential=None, secret=None):
    config = utils_models.Config(region_id=GIVEN["region"], endpoint=ADDRESS, protocol="http")
    if credential is None:
        config.access_key_id = GIVEN["access_key_id"]
        config.access_key_secret = secret or GIVEN["access_key_secret"]
    else:
        config.credential = credential
    return Client(config)


def generate(client, key, context=CONTEXT, spec="AES_256"):
    request = models.GenerateDataKeyRequest(key_id=key, key_spec=spec, encryption_context=context)
    return client.generate_data_key_with_options(request, RUNTIME).body


def decrypt(client, blob, context=CONTEXT):
    request = models.DecryptRequest(ciphertext_blob=blob, encryption_context=context)
    return client.decrypt_with_options(request, RUNTIME).body


def equal(what, got, expected):
    if got != expected:
        sys.exit(f"{what}: {got!r}, not {expected!r}")
    print(f"{what}: as it must be")


def refused(what, code, call):
    try:
        call()
    except Exception as e:
        got = getattr(e, "code", None)
        if got != code:
            sys.exit(f"{what}: {type(e).__name__} {got}: {e}, not {code}")
        print(f"{what}: {type(e).__name__} {code}")
        return
    sys.exit(f"{what}: not refused")


def data_keys(client):
    made = generate(client, GIVEN["key"])
    equal("GenerateDataKey: key", made.key_id, GIVEN["key"])
    equal("GenerateDataKey: length", len(base64.b64decode(made.plaintext)), 32)
    opened = decrypt(client, made.ciphertext_blob)
    equal("Decrypt: data key", opened.plaintext, made.plaintext)
    equal("Decrypt: key", opened.key_id, GIVEN["key"])
    equal("Decrypt: version", opened.key_version_id, made.key_version_id)
    turned = dict(reversed(CONTEXT.items()))
    equal("Decrypt, pairs in another order", decrypt(client, made.ciphertext_blob, turned).plaintext, made.plaintext)
    for name in ["arn", "alias"]:
        equal(f"GenerateDataKey by {name}", generate(client, GIVEN[name]).key_id, GIVEN["key"])
    equal("GenerateDataKey AES_128", len(base64.b64decode(generate(client, GIVEN["key"], spec="AES_128").plaintext)), 16)
    setting("version", "2")
    newer = generate(client, GIVEN["key"])
    equal("a new version", newer.key_version_id != made.key_version_id, True)
    equal("Decrypt with the old version", decrypt(client, made.ciphertext_blob).plaintext, made.plaintext)
    setting("version", "1")
    return made


def refusals(client, made):
    blob = made.ciphertext_blob
    refused("Decrypt, another context", "InvalidParameter", lambda: decrypt(client, blob, {**CONTEXT, "file-id": "06"}))
    refused("Decrypt, no context", "InvalidParameter", lambda: decrypt(client, blob, None))
    altered = bytearray(base64.b64decode(blob))
    altered[70] ^= 1
    text = base64.b64encode(bytes(altered)).decode()
    refused("Decrypt, an altered blob", "InvalidParameter", lambda: decrypt(client, text))
    refused("no such key", "Forbidden.KeyNotFound", lambda: generate(client, "key-nothing"))
    refused("no such alias", "Forbidden.AliasNotFound", lambda: generate(client, "alias/nothing"))
    refused("a key that signs", "UnsupportedOperation", lambda: generate(client, GIVEN["rsa_key"]))
    for state in ["Disabled", "PendingDeletion", "PendingImport", "Unavailable"]:
        setting("state", state)
        refused(f"GenerateDataKey, {state}", f"Rejected.{state}", lambda: generate(client, GIVEN["key"]))
        refused(f"Decrypt, {state}", f"Rejected.{state}", lambda: decrypt(client, blob))
    setting("state", "Enabled")
    setting("denied", "Decrypt")
    refused("Decrypt, not permitted", "Forbidden.NoPermission", lambda: decrypt(client, blob))
    setting("denied", "")
    setting("clock", "1000")
    refused("a clock that is off", "InvalidTimeStamp.Expired", lambda: decrypt(client, blob))
    setting("clock", "0")
    setting("access_key", "inactive")
    refused("a disabled access key", "InvalidAccessKeyId.Inactive", lambda: decrypt(client, blob))
    setting("access_key", "")
    refused("a wrong secret", "SignatureDoesNotMatch", lambda: decrypt(kms(secret="wrong"), blob))
    equal("Decrypt, after all that", decrypt(client, blob).plaintext, made.plaintext)


def instance_role(made):
    provider = EcsRamRoleCredentialsProvider(disable_imds_v1=True, http_options=HttpOptions(), async_update_enabled=False)
    provider._EcsRamRoleCredentialsProvider__metadata_service_host = ADDRESS
    credential = CredentialClient(provider=provider)
    client = kms(credential)
    equal("ecs_ram_role: Decrypt", decrypt(client, made.ciphertext_blob).plaintext, made.plaintext)
    equal("ecs_ram_role: a token is sent", bool(credential.get_credential().security_token), True)


def pod_role(made):
    action = TeaCore.do_action

    def plain(request, runtime_option=None):
        request.protocol = "http"
        return action(request, runtime_option)

    TeaCore.do_action = plain
    provider = OIDCRoleArnCredentialsProvider(
        role_arn=GIVEN["role_arn"], oidc_provider_arn=GIVEN["provider_arn"], oidc_token_file_path=GIVEN["token_file"],
        role_session_name="official", sts_endpoint=ADDRESS)
    client = kms(CredentialClient(provider=provider))
    equal("oidc: Decrypt", decrypt(client, made.ciphertext_blob).plaintext, made.plaintext)
    TeaCore.do_action = action


def main():
    versions()
    client = kms()
    made = data_keys(client)
    refusals(client, made)
    instance_role(made)
    pod_role(made)
    print(f"opened ours: {decrypt(client, GIVEN['ours']).plaintext}")
    theirs = generate(client, GIVEN["key"])
    print(f"made for us: {theirs.ciphertext_blob}")
    print(f"its data key: {theirs.plaintext}")


main()
