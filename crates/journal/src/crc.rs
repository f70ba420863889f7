//! CRC-32C (Castagnoli), by table: enough to tell a torn frame from a whole one.

const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = table();

#[allow(clippy::indexing_slicing)] // evaluated by the compiler: a bad index would not build
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ POLYNOMIAL
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

/// The checksum of some bytes.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(u32::MAX, |crc, byte| (crc >> 8) ^ entry(crc as u8 ^ byte))
}

#[allow(clippy::indexing_slicing)] // a byte cannot exceed a table of 256
fn entry(index: u8) -> u32 {
    TABLE[usize::from(index)]
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_published_check_value_holds() {
        assert_eq!(super::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(super::crc32c(b""), 0);
    }
}
