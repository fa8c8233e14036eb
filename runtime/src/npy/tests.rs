//! Headers as written by numpy, by others, and by nobody in good faith.

use super::*;
use std::string::ToString;
use std::vec;

fn file(dictionary: &str) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((dictionary.len() as u16).to_le_bytes());
    bytes.extend(dictionary.as_bytes());
    bytes
}

fn parsed(dictionary: &str) -> String {
    match Header::parse(&file(dictionary)) {
        Ok(header) => header.tensor.to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn written_headers_read_back() {
    for element in ElementType::ALL {
        for dims in [vec![], vec![7], vec![1, 3, 32, 32], vec![0, u64::MAX], vec![1; 30_000]] {
            let tensor = TensorType { element, dims };
            let bytes = header(&tensor);
            assert_eq!(bytes.len() % DATA_ALIGN, 0);
            match Header::parse(&bytes) {
                Ok(header) => assert_eq!(header, Header { tensor, data_offset: bytes.len() }),
                Err(error) => assert!(matches!(error, Error::HeaderTooLong(_)), "{error}"),
            }
        }
    }
}

#[test]
fn written_header_is_what_numpy_writes() {
    let tensor = TensorType { element: ElementType::F32, dims: vec![2, 3] };
    let expected = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    let bytes = header(&tensor);
    assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
    assert_eq!(core::str::from_utf8(&bytes[10..]).unwrap().trim_end(), expected);
}

#[test]
fn dictionaries() {
    for (dictionary, expected) in [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", "f32[2,3]"),
        ("{\"shape\":(4,),\"descr\":\"|u1\",\"fortran_order\":True}\n", "u8[4]"),
        ("{'descr': '<V2', 'fortran_order': False, 'shape': (3L, 2L)}", "bf16[3,2]"),
        ("{'descr': '<u2', 'fortran_order': False, 'shape': ()}", "bf16[]"),
        ("{'descr': '>i1', 'fortran_order': False, 'shape': (1,)}", "i8[1]"),
        (
            "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}",
            "is in Fortran order (save numpy.ascontiguousarray of the array)",
        ),
        ("{'descr': '<f4', 'shape': (2, 3)}", "has a malformed .npy header: 'fortran_order' is missing"),
        ("{'descr': '<f4', 'fortran_order': False}", "has a malformed .npy header: 'shape' is missing"),
        ("{'fortran_order': False, 'shape': ()}", "has a malformed .npy header: 'descr' is missing"),
        ("{'shape': (), 'shape': ()}", "has a malformed .npy header: a key occurs twice"),
        ("{'shape': (-1,)}", "has a malformed .npy header: 'shape' has an entry that is not a size"),
        ("{'shape': (99999999999999999999,)}", "has a malformed .npy header: 'shape' has an entry that is not a size"),
        ("{'shape': (1", "has a malformed .npy header: 'shape' does not end"),
        ("{'shape': [1]}", "has a malformed .npy header: 'shape' is not a tuple"),
        ("{'extra': 1}", "has a malformed .npy header: it has a key other than descr, fortran_order and shape"),
        ("{'descr", "has a malformed .npy header: a string does not end"),
        ("{'descr' '<f4'}", "has a malformed .npy header: a key is not followed by ':'"),
        ("{'descr': 4}", "has a malformed .npy header: a string is missing"),
        ("{'descr': '<f4' 'shape': ()}", "has a malformed .npy header: ',' or '}' is missing after a value"),
        ("{'fortran_order': 0}", "has a malformed .npy header: 'fortran_order' is neither True nor False"),
        ("{} x", "has a malformed .npy header: there is text after the closing '}'"),
        ("", "has a malformed .npy header: it does not begin with '{'"),
    ] {
        assert_eq!(parsed(dictionary), expected, "{dictionary}");
    }
}

#[test]
fn element_types_that_are_not_ours() {
    for descr in ["'>f4'", "'<f8'", "'<c8'", "'|O'", "''", "'\u{e9}'", "'|f4'", "'\x07<f4'", "[('a', '<f4')]"] {
        let dictionary = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': ()}}");
        let message = parsed(&dictionary);
        assert!(message.starts_with("holds elements of type "), "{descr}: {message}");
        assert!(!message.contains('\x07'), "control characters reach the terminal");
    }
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = header(&TensorType { element: ElementType::I64, dims: vec![5, 6] });
    for len in 0..bytes.len() {
        assert!(Header::parse(&bytes[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn every_changed_byte_is_an_error_or_a_header() {
    let bytes = header(&TensorType { element: ElementType::I64, dims: vec![5, 6] });
    for at in 0..bytes.len() {
        for value in 0..=u8::MAX {
            let mut changed = bytes.clone();
            changed[at] = value;
            if let Ok(header) = Header::parse(&changed) {
                assert!(header.data_offset <= changed.len());
            }
        }
    }
}

#[test]
fn prefixes() {
    let huge = [b"\x93NUMPY\x02\x00".as_slice(), &u32::MAX.to_le_bytes()].concat();
    for (bytes, expected) in [
        (b"".as_slice(), Error::NotNpy),
        (b"PK\x03\x04", Error::NotNpy),
        (b"\x93NUMPY\x04\x00\x00\x00", Error::Version(4, 0)),
        (b"\x93NUMPY\x01", Error::Truncated),
        (&huge, Error::HeaderTooLong(u32::MAX as usize)),
        (b"\x93NUMPY\x01\x00\x02\x00\xff\xfe", Error::Syntax("it is not UTF-8")),
    ] {
        assert_eq!(Header::parse(bytes), Err(expected));
    }
}

#[test]
fn sizes_do_not_overflow() {
    let size = |dims: &[u64]| TensorType { element: ElementType::F32, dims: dims.to_vec() }.byte_size();
    assert_eq!(size(&[2, 3]), Some(24));
    assert_eq!(size(&[]), Some(4));
    assert_eq!(size(&[u64::MAX, 0]), Some(0));
    assert_eq!(size(&[1 << 62, 1]), None);
    assert_eq!(size(&[u64::MAX, 2]), None);
}
