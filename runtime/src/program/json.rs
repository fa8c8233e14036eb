//! Writes JSON: objects and arrays nest as closures, commas and quoting are taken care of.

use alloc::string::String;
use core::fmt::{self, Write};

/// The members of an object that is being written.
pub struct Object<'a> {
    text: &'a mut String,
    empty: bool,
}

/// The elements of an array that is being written.
pub struct Array<'a> {
    text: &'a mut String,
    empty: bool,
}

/// A whole document: one object and a newline.
pub fn document(fill: impl FnOnce(&mut Object<'_>)) -> String {
    let mut text = String::new();
    object(&mut text, fill);
    text.push('\n');
    text
}

fn object(text: &mut String, fill: impl FnOnce(&mut Object<'_>)) {
    text.push('{');
    fill(&mut Object { text, empty: true });
    text.push('}');
}

fn separate(text: &mut String, empty: &mut bool) {
    if !core::mem::take(empty) {
        text.push(',');
    }
}

impl Object<'_> {
    fn key(&mut self, key: &str) {
        separate(self.text, &mut self.empty);
        quote(self.text, key);
        self.text.push(':');
    }

    pub fn string(&mut self, key: &str, value: &str) {
        self.key(key);
        quote(self.text, value);
    }

    /// `value` prints as a JSON number, or as `null`.
    pub fn number(&mut self, key: &str, value: impl fmt::Display) {
        self.key(key);
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{value}");
    }

    pub fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        object(self.text, fill);
    }

    pub fn array(&mut self, key: &str, fill: impl FnOnce(&mut Array<'_>)) {
        self.key(key);
        self.text.push('[');
        fill(&mut Array { text: self.text, empty: true });
        self.text.push(']');
    }
}

impl Array<'_> {
    /// `value` prints as a JSON number.
    pub fn number(&mut self, value: impl fmt::Display) {
        separate(self.text, &mut self.empty);
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{value}");
    }

    pub fn object(&mut self, fill: impl FnOnce(&mut Object<'_>)) {
        separate(self.text, &mut self.empty);
        object(self.text, fill);
    }
}

fn quote(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(text, "\\u{:04x}", c as u32);
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nests_and_quotes() {
        let text = document(|root| {
            root.string("a\"b", "line\nbreak\\ é");
            root.number("n", 12);
            root.object("o", |_| {});
            root.array("l", |list| {
                list.object(|item| item.number("x", 1));
                list.object(|item| item.number("x", 2));
                list.number(3);
            });
        });
        let expected = "{\"a\\\"b\":\"line\\u000abreak\\\\ é\",\"n\":12,\"o\":{},\"l\":[{\"x\":1},{\"x\":2},3]}\n";
        assert_eq!(text, expected);
    }
}
