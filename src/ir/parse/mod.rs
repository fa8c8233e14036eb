//! Text to a graph; `docs/ir.md` is the specification, [`super::print`] the reverse.
//!
//! Every node is checked as it is read: result types are inferred and compared with those written. An error costs its
//! statement only: reading goes on at the next one, and values that a wrong statement would have defined are known as
//! such, so that their uses are not errors again. Hostile text cannot do harm: nesting is bounded, numbers are parsed
//! into their types, and the memory of constants written as one value is bounded.

mod blob;
mod lex;
mod statement;

use std::collections::BTreeMap;
use std::io;

use cranelift_entity::SecondaryMap;

use self::blob::Blob;
use self::lex::{Located, Token};
use super::entity::{Const, Layer, Node, Value};
use super::graph::{Graph, LayerData};
use super::ty::{ElemType, Shape, TensorType};
use crate::diag::{self, Diagnostic, Diagnostics, Place, codes};

/// Reading stops after so many errors.
const MAX_ERRORS: usize = 50;
/// Regions in regions, lists in lists.
const MAX_NESTING: usize = 32;
/// Bytes that all constants written as `dense<x>` may have together.
const MAX_SPLAT_BYTES: usize = 1 << 30;

/// A graph and where its nodes stand in the text.
#[derive(Clone, Debug)]
pub struct Parsed {
    pub graph: Graph,
    /// Line of each node, from 1; 0 for nodes that passes add later.
    pub lines: SecondaryMap<Node, u32>,
}

/// Reads a graph. `file` names the text in messages; `load` gives the contents of the side file, of which the text knows
/// the name.
///
/// # Errors
/// All errors in the text, with file and line.
pub fn parse(text: &str, file: &str, load: &dyn Fn(&str) -> io::Result<Vec<u8>>) -> diag::Result<Parsed> {
    let tokens = lex::lex(text);
    let mut parser = Parser::new(&tokens, file);
    let outcome = parser.file(load);
    if let Err(Stop::Error(error)) = outcome {
        parser.errors.push(error);
    }
    match parser.errors.is_empty() {
        true => Ok(Parsed { graph: parser.graph, lines: parser.lines }),
        false => Err(Diagnostics(parser.errors)),
    }
}

/// As [`parse`], for text without a side file.
pub fn parse_text(text: &str, file: &str) -> diag::Result<Parsed> {
    parse(text, file, &|_| Err(io::Error::new(io::ErrorKind::NotFound, "no side file is at hand")))
}

/// Why reading of a statement ended.
enum Stop {
    Error(Diagnostic),
    /// The reason has been reported.
    Reported,
}

type Step<T> = Result<T, Stop>;

struct Parser<'a> {
    tokens: &'a [Located],
    at: usize,
    /// Where the statement at hand begins.
    start: usize,
    file: &'a str,
    graph: Graph,
    lines: SecondaryMap<Node, u32>,
    errors: Vec<Diagnostic>,
    /// Visible values; `None` for one whose definition was wrong.
    values: BTreeMap<String, Option<Value>>,
    /// Layers with the same name, kind and line are one.
    layers: BTreeMap<LayerData, Layer>,
    consts: BTreeMap<String, Const>,
    blob: Option<Blob>,
    splat_bytes: usize,
    nesting: usize,
}

impl<'a> Parser<'a> {
    fn new(tokens: &'a [Located], file: &'a str) -> Parser<'a> {
        Parser {
            tokens,
            at: 0,
            start: 0,
            file,
            graph: Graph::new(""),
            lines: SecondaryMap::new(),
            errors: Vec::new(),
            values: BTreeMap::new(),
            layers: BTreeMap::new(),
            consts: BTreeMap::new(),
            blob: None,
            splat_bytes: 0,
            nesting: 0,
        }
    }

    fn file(&mut self, load: &dyn Fn(&str) -> io::Result<Vec<u8>>) -> Step<()> {
        self.read_blob(load)?;
        let declared = self.header()?;
        let body = self.graph.body();
        self.statements(body)?;
        self.check_outputs(&declared);
        self.skip_blob()?;
        self.start = self.at;
        match self.peek() {
            Token::End => Ok(()),
            _ => Err(self.unexpected("the end of the file")),
        }
    }

    /// `func @name(%x: type, ..) -> (name: type, ..) {`; gives the declared types with the line.
    fn header(&mut self) -> Step<Declared> {
        self.keyword("func")?;
        self.graph.name = self.symbol()?;
        self.mark('(')?;
        while !self.eat(')') {
            let name = self.value_name()?;
            let input = self.text().unwrap_or_else(|| name.clone());
            self.mark(':')?;
            let ty = self.ty()?;
            let value = self.graph.add_input(input, ty);
            self.define(name, Some(value))?;
            self.separator(')')?;
        }
        let line = self.line();
        if *self.peek() != Token::Arrow {
            return Err(self.unexpected("->"));
        }
        self.at += 1;
        let types = self.outputs()?;
        self.mark('{')?;
        Ok(Declared { types, line })
    }

    /// `type`, or `(name: type, type, ..)`.
    fn outputs(&mut self) -> Step<Vec<TensorType>> {
        if !self.eat('(') {
            return Ok(vec![self.ty()?]);
        }
        let mut types = Vec::new();
        while !self.eat(')') {
            if let Some(name) = self.name_before_colon() {
                self.graph.output_names.push(name);
            }
            types.push(self.ty()?);
            self.separator(')')?;
        }
        if ![0, types.len()].contains(&self.graph.output_names.len()) {
            return Err(self.error("either all results have names or none"));
        }
        Ok(types)
    }

    fn name_before_colon(&mut self) -> Option<String> {
        let next = self.tokens.get(self.at + 1).map(|located| &located.token);
        match (self.peek(), next) {
            (Token::Atom(name) | Token::Text(name), Some(Token::Mark(':'))) => {
                let name = name.clone();
                self.at += 2;
                Some(name)
            }
            _ => None,
        }
    }

    fn check_outputs(&mut self, declared: &Declared) {
        let returned: Vec<TensorType> =
            self.graph.outputs().iter().map(|&value| self.graph.ty(value).clone()).collect();
        // A wrong statement before may be the reason.
        if self.errors.is_empty() && returned != declared.types {
            let message = format!("the function declares {:?} and returns {returned:?}", declared.types);
            self.errors.push(self.error_at(declared.line, message));
        }
    }

    /// `tensor<1x3xf32>`
    fn ty(&mut self) -> Step<TensorType> {
        self.keyword("tensor")?;
        self.mark('<')?;
        let Token::Atom(inside) = self.peek() else {
            return Err(self.unexpected("sizes and an element type"));
        };
        let (dims, elem) = inside.rsplit_once('x').unwrap_or(("", inside));
        let Some(elem) = ElemType::from_name(elem) else {
            return Err(self.error(format!("{elem} is not an element type")));
        };
        let dims: Result<Vec<usize>, _> = dims.split('x').filter(|_| !dims.is_empty()).map(str::parse).collect();
        let Ok(dims) = dims else {
            return Err(self.error(format!("{inside} has a size that is not a number")));
        };
        let Some(shape) = Shape::new(dims) else {
            return Err(self.error(format!("{inside} has more than 2^40 elements")));
        };
        self.at += 1;
        self.mark('>')?;
        Ok(TensorType::new(elem, shape))
    }

    fn define(&mut self, name: String, value: Option<Value>) -> Step<()> {
        if self.values.contains_key(&name) {
            return Err(self.error(format!("%{name} is defined twice")));
        }
        self.values.insert(name, value);
        Ok(())
    }

    fn peek(&self) -> &'a Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)].token
    }

    /// The line an error at this token belongs to: of the token before it, when the statement has ended with its line.
    fn line(&self) -> u32 {
        let at = self.at.min(self.tokens.len() - 1);
        let ended = self.tokens[at].first && at > self.start;
        self.tokens[if ended { at - 1 } else { at }].line
    }

    fn eat(&mut self, mark: char) -> bool {
        let found = *self.peek() == Token::Mark(mark);
        self.at += usize::from(found);
        found
    }

    fn mark(&mut self, mark: char) -> Step<()> {
        if self.eat(mark) { Ok(()) } else { Err(self.unexpected(&mark.to_string())) }
    }

    /// A comma, unless the list ends here.
    fn separator(&mut self, end: char) -> Step<()> {
        if *self.peek() == Token::Mark(end) || self.eat(',') {
            return Ok(());
        }
        Err(self.unexpected(&format!(", or {end}")))
    }

    fn eat_keyword(&mut self, keyword: &str) -> bool {
        let found = matches!(self.peek(), Token::Atom(word) if word == keyword);
        self.at += usize::from(found);
        found
    }

    fn keyword(&mut self, keyword: &str) -> Step<()> {
        if self.eat_keyword(keyword) { Ok(()) } else { Err(self.unexpected(keyword)) }
    }

    fn atom(&mut self, what: &str) -> Step<&'a str> {
        let Token::Atom(atom) = self.peek() else {
            return Err(self.unexpected(what));
        };
        self.at += 1;
        Ok(atom)
    }

    fn symbol(&mut self) -> Step<String> {
        let Token::Symbol(name) = self.peek() else {
            return Err(self.unexpected("@ and a name"));
        };
        self.at += 1;
        Ok(name.clone())
    }

    fn value_name(&mut self) -> Step<String> {
        let Token::Value(name) = self.peek() else {
            return Err(self.unexpected("% and a value's name"));
        };
        self.at += 1;
        Ok(name.clone())
    }

    fn text(&mut self) -> Option<String> {
        let Token::Text(text) = self.peek() else {
            return None;
        };
        self.at += 1;
        Some(text.clone())
    }

    fn unexpected(&self, expected: &str) -> Stop {
        match self.peek() {
            Token::Bad(message) => self.error(message.clone()),
            found => self.error(format!("expected {expected}, found {}", found.describe())),
        }
    }

    fn error(&self, message: impl Into<String>) -> Stop {
        Stop::Error(self.error_at(self.line(), message))
    }

    fn error_at(&self, line: u32, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(&codes::TEXT_DUMP, Place::line(self.file, line), message)
    }
}

/// What the function's header says of its results.
struct Declared {
    types: Vec<TensorType>,
    line: u32,
}
