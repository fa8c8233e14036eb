//! Static libraries: `ar` files in GNU's format with a symbol index, as `ar rcsD` writes them.
//!
//! ```text
//! "!<arch>\n"
//! "/"        index: number of symbols, a big-endian offset of the defining member for each, their names ("/SYM64/" with
//!            64-bit offsets when a member lies beyond 4 GiB)
//! "//"       the member names that do not fit into a header's 16 bytes, each ended by "/\n"; absent if there are none
//! members    60-byte header, contents, padding to an even offset
//! ```
//!
//! Dates and owners are zero, so equal members make equal libraries.

use object::read::elf::ElfFile64;
use object::{LittleEndian as LE, Object, ObjectSymbol};

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;
/// Longest member name in a header, which ends with a slash.
const SHORT_NAME: usize = 15;

/// A library of `members`, each a file name and the bytes of an object. The index lists the global symbols that each
/// ELF64 member defines; a member that is no such object is stored all the same. Members are below 10^10 bytes, the
/// format's limit.
pub fn static_library(members: &[(&str, &[u8])]) -> Vec<u8> {
    let symbols: Vec<Vec<&str>> = members.iter().map(|(_, object)| defined_symbols(object)).collect();
    let (names, long_names) = member_names(members.iter().map(|(name, _)| *name));
    let wide = largest_size(members, &symbols) > u32::MAX as usize;
    let index_size = index(&symbols, &vec![0; members.len()], wide).len();
    let mut offset = MAGIC.len() + member_size(index_size);
    if !long_names.is_empty() {
        offset += member_size(long_names.len());
    }
    let mut offsets = Vec::new();
    for (_, object) in members {
        offsets.push(offset as u64);
        offset += member_size(object.len());
    }
    let mut library = Vec::with_capacity(offset);
    library.extend_from_slice(MAGIC);
    append(&mut library, if wide { "/SYM64/" } else { "/" }, "0", &index(&symbols, &offsets, wide));
    if !long_names.is_empty() {
        append(&mut library, "//", "", &long_names);
    }
    for (name, (_, object)) in names.iter().zip(members) {
        append(&mut library, name, "644", object);
    }
    library
}

/// An upper bound of a library's size, however its index and names are written.
fn largest_size(members: &[(&str, &[u8])], symbols: &[Vec<&str>]) -> usize {
    let objects = members.iter().map(|(name, object)| member_size(object.len()) + name.len() + 2);
    let index = symbols.iter().flatten().map(|name| name.len() + 9);
    MAGIC.len() + 2 * HEADER + 16 + objects.chain(index).sum::<usize>()
}

fn member_size(len: usize) -> usize {
    HEADER + len.next_multiple_of(2)
}

/// A header's name for each member, and the table of long names that some of them point into.
fn member_names<'a>(members: impl Iterator<Item = &'a str>) -> (Vec<String>, Vec<u8>) {
    let mut table = Vec::new();
    let names = members
        .map(|name| {
            if name.len() <= SHORT_NAME {
                return format!("{name}/");
            }
            let offset = table.len();
            table.extend_from_slice(name.as_bytes());
            table.extend_from_slice(b"/\n");
            format!("/{offset}")
        })
        .collect();
    (names, table)
}

/// Global symbols an object defines, in its own order.
fn defined_symbols(object: &[u8]) -> Vec<&str> {
    let Ok(file) = ElfFile64::<LE>::parse(object) else {
        return Vec::new();
    };
    let global = file.symbols().filter(|symbol| symbol.is_global() && !symbol.is_undefined());
    global.filter_map(|symbol| symbol.name().ok()).collect()
}

/// The contents of the index for members at `offsets`.
fn index(symbols: &[Vec<&str>], offsets: &[u64], wide: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut number = |value: u64| {
        let big_endian = value.to_be_bytes();
        bytes.extend_from_slice(if wide { &big_endian } else { &big_endian[4..] });
    };
    number(symbols.iter().map(Vec::len).sum::<usize>() as u64);
    for (names, offset) in symbols.iter().zip(offsets) {
        names.iter().for_each(|_| number(*offset));
    }
    for name in symbols.iter().flatten() {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// Appends a member. The name table has no date, owner and mode; everything else has zeros.
fn append(library: &mut Vec<u8>, name: &str, mode: &str, contents: &[u8]) {
    let zero = if mode.is_empty() { "" } else { "0" };
    let header = format!("{name:<16}{zero:<12}{zero:<6}{zero:<6}{mode:<8}{:<10}`\n", contents.len());
    library.extend_from_slice(header.as_bytes());
    library.extend_from_slice(contents);
    if !contents.len().is_multiple_of(2) {
        library.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_of_a_library() {
        let library = static_library(&[("a.o", b"xyz"), ("a_long_member_name.o", b"12")]);
        let expected = concat!(
            "!<arch>\n",
            "/               0           0     0     0       4         `\n\0\0\0\0",
            "//                                              22        `\na_long_member_name.o/\n",
            "a.o/            0           0     0     644     3         `\nxyz\n",
            "/0              0           0     0     644     2         `\n12",
        );
        assert_eq!(String::from_utf8(library).unwrap(), expected);
    }
}
