"""Opens sealed values of Keyring Ward, from docs/reference/sealed-values.md alone: an implementation that shares nothing with it.

    sealed_values.py FILE...     each a test vector; prints what it opened, or why not
"""
import hmac, json, struct, sys
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode


class Refused(Exception):
    pass


def xaes_open(key, nonce, data, sealed):
    """XAES-256-GCM (c2sp.org): a key from half of the nonce, AES-256-GCM with the other half."""
    kdf = KBKDFCMAC(algorithm=algorithms.AES256, mode=Mode.CounterMode, length=32, rlen=2, llen=None, label=None, context=None,
                    location=CounterLocation.BeforeFixed, fixed=b"X\0" + nonce[:12])
    return AESGCM(kdf.derive(key)).decrypt(nonce[12:], sealed, data)


def open_value(value, key_id, material_of, context=b"", label=b"keyring-ward/1 sealed value\0"):
    """The plaintext; material_of gives the material of a version's key, or None."""
    if value[:1] != b"\xc1":
        raise Refused("InvalidInput")
    if len(value) > 1 and value[1] != 1:
        raise Refused("UnsupportedVersion")
    if len(value) < 78:
        raise Refused("InvalidInput")
    (version,) = struct.unpack("<I", value[2:6])
    if version == 0:
        raise Refused("InvalidInput")
    material = material_of(version)
    if material is None:
        raise Refused("NotFound")
    salt = label + key_id + value[2:6]
    key = HKDF(algorithm=SHA256(), length=64, salt=salt, info=context).derive(material)[:32]
    try:
        text = xaes_open(key, value[6:30], value[:6], value[30:])
    except InvalidTag:
        raise Refused("Tampered")
    if not hmac.compare_digest(text[:32], bytes(32)):
        raise Refused("Tampered")
    return text[32:]


def blind_index(key_id, secret, data):
    key = HKDF(algorithm=SHA256(), length=32, salt=key_id, info=b"keyring-ward/1 blind index").derive(secret)
    return hmac.digest(key, data, "sha256")


if __name__ == "__main__":
    for path in sys.argv[1:]:
        v = json.load(open(path))
        materials = {int(n): bytes.fromhex(m) for n, m in v["materials"].items()}
        try:
            said = open_value(bytes.fromhex(v["value"]), bytes.fromhex(v["id"]), materials.get, bytes.fromhex(v["context"])).hex()
        except Refused as why:
            said = str(why)
        print(f"{path.rsplit('/', 1)[-1]}\t{said}")
