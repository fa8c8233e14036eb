//! Text inside XML and HTML.

use std::borrow::Cow;

/// `text` for the content of an element or a quoted attribute, in XML and in HTML. What XML cannot hold at all becomes
/// U+FFFD; line breaks and tabs are written as references, since attributes turn them into blanks.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        escaped.push_str(&escape_char(c));
    }
    escaped
}

/// XML 1.0, production 2 lists the characters there are: <https://www.w3.org/TR/xml/#charsets>
fn escape_char(c: char) -> Cow<'static, str> {
    match c {
        '&' => "&amp;".into(),
        '<' => "&lt;".into(),
        '>' => "&gt;".into(),
        '"' => "&quot;".into(),
        '\'' => "&#39;".into(),
        '\t' | '\n' | '\r' => format!("&#{};", u32::from(c)).into(),
        '\0'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => "\u{fffd}".into(),
        _ => c.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_gives_the_text_back() {
        let hostile = "</a><script>alert('&amp;')</script> \"\n\t\r ä\u{1F600}";
        let document = format!("<a b=\"{0}\">{0}</a>", escape(hostile));
        let document = roxmltree::Document::parse(&document).unwrap();
        let root = document.root_element();
        assert_eq!((root.attribute("b"), root.text()), (Some(hostile), Some(hostile)));
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        assert_eq!(escape("\0a\u{1b}\u{ffff}"), "\u{fffd}a\u{fffd}\u{fffd}");
    }
}
