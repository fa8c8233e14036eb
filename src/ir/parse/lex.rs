//! Text to tokens. A line has no meaning but for error recovery; `//` starts a comment.

/// What a token is; names come without their prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, a number, the inside of a tensor type: `convolution`, `-1.5e-7`, `1x3xf32`.
    Atom(String),
    /// `%x`
    Value(String),
    /// `@w0`, `@"a name"`
    Symbol(String),
    /// A quoted string without quotes and escapes.
    Text(String),
    /// One of `( ) { } [ ] < > , : =`
    Mark(char),
    /// `->`
    Arrow,
    /// What the lexer could not read, as a message.
    Bad(String),
    End,
}

impl Token {
    /// As an error message shows it.
    pub(super) fn describe(&self) -> String {
        match self {
            Token::Atom(text) => text.clone(),
            Token::Value(name) => format!("%{name}"),
            Token::Symbol(name) => format!("@{name}"),
            Token::Text(text) => format!("{text:?}"),
            Token::Mark(mark) => mark.to_string(),
            Token::Arrow => "->".into(),
            Token::Bad(message) => message.clone(),
            Token::End => "the end of the file".into(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) token: Token,
    /// From 1.
    pub(super) line: u32,
    /// Nothing stands before it in its line.
    pub(super) first: bool,
}

/// All tokens; the last is [`Token::End`].
pub(super) fn lex(text: &str) -> Vec<Located> {
    let mut tokens = Vec::new();
    let mut number = 0u32;
    for line in text.lines() {
        number = number.saturating_add(1);
        let mut rest = line.trim_start();
        let mut first = true;
        while !rest.is_empty() && !rest.starts_with("//") {
            let (token, after) = next_token(rest);
            tokens.push(Located { token, line: number, first });
            first = false;
            rest = after.trim_start();
        }
    }
    tokens.push(Located { token: Token::End, line: number.max(1), first: true });
    tokens
}

/// The token at the start of `text`, which has no space there, and what follows it.
fn next_token(text: &str) -> (Token, &str) {
    if let Some(after) = text.strip_prefix("->") {
        return (Token::Arrow, after);
    }
    let mut chars = text.chars();
    let first = chars.next().unwrap_or(' ');
    let after = chars.as_str();
    match first {
        '(' | ')' | '{' | '}' | '[' | ']' | '<' | '>' | ',' | ':' | '=' => (Token::Mark(first), after),
        '"' => match string(after) {
            Ok((text, after)) => (Token::Text(text), after),
            Err(message) => (Token::Bad(message), ""),
        },
        '%' => named(after, Token::Value),
        '@' => match after.strip_prefix('"').map(string) {
            Some(Ok((name, after))) => (Token::Symbol(name), after),
            Some(Err(message)) => (Token::Bad(message), ""),
            None => named(after, Token::Symbol),
        },
        c if is_name_char(c) || c == '-' || c == '+' => {
            let (atom, after) = take(text, |c| is_name_char(c) || c == '-' || c == '+');
            (Token::Atom(atom.to_string()), after)
        }
        c => (Token::Bad(format!("the character {c:?} has no meaning")), after),
    }
}

fn named(text: &str, token: fn(String) -> Token) -> (Token, &str) {
    match take(text, is_name_char) {
        ("", after) => (Token::Bad("a name is missing after % or @".into()), after),
        (name, after) => (token(name.to_string()), after),
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

fn take(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// The inside of a string whose opening quote has been read, and what follows the closing one.
fn string(text: &str) -> Result<(String, &str), String> {
    let mut result = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next() {
            Some('"') => return Ok((result, chars.as_str())),
            Some('\\') => match chars.next() {
                Some(c @ ('"' | '\\')) => result.push(c),
                Some('u') => {
                    let (c, rest) = unicode_escape(chars.as_str()).ok_or("an escape \\u{..} is malformed")?;
                    result.push(c);
                    chars = rest.chars();
                }
                Some(_) | None => return Err("a string has an unknown escape".into()),
            },
            Some(c) => result.push(c),
            None => return Err("a string does not end in its line".into()),
        }
    }
}

/// `{1f}` after `\u`.
fn unicode_escape(text: &str) -> Option<(char, &str)> {
    let (digits, rest) = text.strip_prefix('{')?.split_once('}')?;
    Some((char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, rest))
}
