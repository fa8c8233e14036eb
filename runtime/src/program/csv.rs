//! Writes CSV as RFC 4180 has it, with plain line feeds.

use alloc::string::String;

/// One line. A field that contains a comma, a quote or a line break stands in quotes.
pub fn line(fields: &[&str]) -> String {
    let mut text = String::new();
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        if !field.contains([',', '"', '\n', '\r']) {
            text.push_str(field);
            continue;
        }
        text.push('"');
        for c in field.chars() {
            text.extend((c == '"').then_some('"'));
            text.push(c);
        }
        text.push('"');
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(line(&["a b", "", "1"]), "a b,,1\n");
        assert_eq!(line(&["a,b", "say \"x\"", "l\nm"]), "\"a,b\",\"say \"\"x\"\"\",\"l\nm\"\n");
    }
}
