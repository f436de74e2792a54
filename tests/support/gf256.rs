//! Multiplication in GF(2^8) with the reduction 0x11B (that of AES), bit by bit: what shares are reckoned by beside the library.

/// The product.
pub fn times(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b > 0 {
        product ^= if b & 1 == 1 { a } else { 0 };
        a = (a << 1) ^ if a & 0x80 == 0 { 0 } else { 0x1b };
        b >>= 1;
    }
    product
}
