//! Tables of 256 bytes for lookups.

/// Sixteen chunks of 16 entries, each but the first of either half as what it differs in from the one before (exclusive or):
/// whoever combines all chunks of a half up to one has that chunk's entry.
pub fn pack_lookup(table: &[u8; 256]) -> Vec<u8> {
    let entry = |i: usize| if i % 128 < 16 { table[i] } else { table[i] ^ table[i - 16] };
    (0..256).map(entry).collect()
}
