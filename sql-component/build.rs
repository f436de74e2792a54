//! Build script: the linker flags of the shared library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A thread of the server may still return through it after UNINSTALL COMPONENT.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,relro,-z,now");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,component_keyring_ward_sql.so");
}
