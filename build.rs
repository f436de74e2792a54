//! Build script: the linker flags of the shared library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // mysqld may dlclose() the library while a thread of the server still returns through it.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,relro,-z,now");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,component_keyring_ward.so");
}
