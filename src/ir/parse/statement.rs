//! One node a statement: `%2 = add %0, %1 {..} : tensor<..> loc(..)`, followed by its regions.

use super::super::attrs::{Attr, Attrs, op_from_attrs};
use super::super::dense;
use super::super::entity::{Const, Layer, Node, Region, Value};
use super::super::graph::LayerData;
use super::super::op::Op;
use super::super::print::region_keywords;
use super::super::ty::TensorType;
use super::lex::Token;
use super::{MAX_ERRORS, MAX_NESTING, MAX_SPLAT_BYTES, Parser, Step, Stop};

/// The head of a statement, before its types are known.
struct Head<'a> {
    line: u32,
    results: Vec<String>,
    name: &'a str,
}

impl<'a> Parser<'a> {
    /// Statements up to the brace that closes the region.
    pub(super) fn statements(&mut self, region: Region) -> Step<()> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(self.error(format!("regions are nested deeper than {MAX_NESTING}")));
        }
        let mut visible = Vec::new();
        while !self.eat('}') {
            if *self.peek() == Token::End {
                return Err(self.unexpected("} at the end of the region"));
            }
            self.statement_or_skip(region, &mut visible)?;
        }
        for name in visible {
            self.values.remove(&name);
        }
        self.nesting -= 1;
        Ok(())
    }

    /// Reads a statement; a wrong one is reported, skipped, and its results are known to be wrong.
    fn statement_or_skip(&mut self, region: Region, visible: &mut Vec<String>) -> Step<()> {
        let (nesting, start) = (self.nesting, self.at);
        self.start = start;
        let mut head = Head { line: self.line(), results: Vec::new(), name: "" };
        let outcome = self.statement(region, &mut head);
        visible.extend(head.results.iter().cloned());
        let Err(stop) = outcome else {
            return Ok(());
        };
        if let Stop::Error(error) = stop {
            self.errors.push(error);
        }
        let hopeless = *self.peek() == Token::End || nesting >= MAX_NESTING;
        if hopeless || self.errors.len() >= MAX_ERRORS {
            return Err(Stop::Reported);
        }
        self.nesting = nesting;
        for name in head.results {
            self.values.entry(name).or_insert(None);
        }
        self.skip_statement(start);
        Ok(())
    }

    /// To the start of the next statement: a line that begins with neither a region nor what an open brace encloses.
    fn skip_statement(&mut self, start: usize) {
        let mut depth = 0usize;
        // The token at hand may be the first of the wrong statement, which must be left in any case.
        loop {
            let located = &self.tokens[self.at.min(self.tokens.len() - 1)];
            let region =
                matches!(&located.token, Token::Atom(word) if ["then", "else", "body"].contains(&word.as_str()));
            match located.token {
                Token::End => return,
                Token::Mark('}') if located.first && depth == 0 => return,
                _ if located.first && depth == 0 && self.at > start && !region => return,
                Token::Mark('{') => depth += 1,
                Token::Mark('}') => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
        }
    }

    fn statement(&mut self, region: Region, head: &mut Head<'a>) -> Step<()> {
        if self.graph.nodes(region).last().is_some_and(|last| *self.graph.op(last) == Op::Return) {
            return Err(self.error("nothing may follow return"));
        }
        self.head(head)?;
        let constant = if head.name == "const" { Some(self.constant_form()?) } else { None };
        let operands = self.operands()?;
        let attrs = self.attributes()?;
        let types = self.types()?;
        let layers = self.location()?;
        let mut op = op_from_attrs(head.name, attrs, &types).map_err(|messages| self.report(head.line, messages))?;
        if let (Op::Const(id), Some(form)) = (&mut op, constant) {
            *id = self.constant(form, &types)?;
        }
        self.regions(&mut op)?;
        let operands = self.resolve(head.line, &operands)?;
        let node = self.graph.append(region, op, &operands, &layers);
        let node = node.map_err(|message| self.report(head.line, [format!("{}: {message}", head.name)]))?;
        self.lines[node] = head.line;
        self.check_results(head, node, &types)
    }

    /// `%0, %1 = name`, or `name` for operations without results.
    fn head(&mut self, head: &mut Head<'a>) -> Step<()> {
        while let Token::Value(name) = self.peek() {
            if self.values.contains_key(name) || head.results.contains(name) {
                return Err(self.error(format!("%{name} is defined twice")));
            }
            head.results.push(name.clone());
            self.at += 1;
            if !self.eat(',') {
                break;
            }
        }
        if !head.results.is_empty() {
            self.mark('=')?;
        }
        head.name = self.atom("an operation")?;
        Ok(())
    }

    fn operands(&mut self) -> Step<Vec<&'a str>> {
        let mut names = Vec::new();
        while let Token::Value(name) = self.peek() {
            names.push(name.as_str());
            self.at += 1;
            if !self.eat(',') {
                break;
            }
        }
        Ok(names)
    }

    /// `{name = value, ..}`, or nothing.
    fn attributes(&mut self) -> Step<Attrs> {
        let mut attrs = Attrs::new();
        if !self.eat('{') {
            return Ok(attrs);
        }
        while !self.eat('}') {
            let name = self.atom("an attribute's name")?;
            self.mark('=')?;
            attrs.push((name.to_string(), self.attribute(0)?));
            self.separator('}')?;
        }
        Ok(attrs)
    }

    fn attribute(&mut self, nesting: usize) -> Step<Attr> {
        if nesting > MAX_NESTING {
            return Err(self.error(format!("lists are nested deeper than {MAX_NESTING}")));
        }
        if let Some(text) = self.text() {
            return Ok(Attr::Text(text));
        }
        if !self.eat('[') {
            return Ok(Attr::Atom(self.atom("an attribute's value")?.to_string()));
        }
        let mut items = Vec::new();
        while !self.eat(']') {
            items.push(self.attribute(nesting + 1)?);
            self.separator(']')?;
        }
        Ok(Attr::List(items))
    }

    /// `: type, ..`, or nothing.
    fn types(&mut self) -> Step<Vec<TensorType>> {
        let mut types = Vec::new();
        if !self.eat(':') {
            return Ok(types);
        }
        loop {
            types.push(self.ty()?);
            if !self.eat(',') {
                return Ok(types);
            }
        }
    }

    /// `loc("name" Kind 12, ..)`, or nothing.
    fn location(&mut self) -> Step<Vec<Layer>> {
        let mut layers = Vec::new();
        if !self.eat_keyword("loc") {
            return Ok(layers);
        }
        self.mark('(')?;
        while !self.eat(')') {
            let Some(name) = self.text() else {
                return Err(self.unexpected("a layer's name in quotes"));
            };
            let kind = match self.text() {
                Some(kind) => kind,
                None => self.atom("a layer's kind")?.to_string(),
            };
            let line = match self.peek() {
                Token::Atom(line) => line.parse().map_err(|_| self.unexpected("a line's number"))?,
                _ => 0,
            };
            self.at += usize::from(matches!(self.peek(), Token::Atom(_)));
            layers.push(self.layer(LayerData { name, kind, line }));
            self.separator(')')?;
        }
        Ok(layers)
    }

    fn layer(&mut self, data: LayerData) -> Layer {
        if let Some(&layer) = self.layers.get(&data) {
            return layer;
        }
        let layer = self.graph.add_layer(data.clone());
        self.layers.insert(data, layer);
        layer
    }

    /// Reads the regions behind the statement and puts them into the operation.
    fn regions(&mut self, op: &mut Op) -> Step<()> {
        let keywords = region_keywords(op);
        let mut regions = Vec::new();
        for keyword in keywords {
            self.keyword(keyword)?;
            regions.push(self.region()?);
        }
        match (op, regions.as_slice()) {
            (Op::If { then_body, else_body }, &[then, otherwise]) => (*then_body, *else_body) = (then, otherwise),
            (Op::Loop(attrs), &[body]) => attrs.body = body,
            (_, _) => {}
        }
        Ok(())
    }

    /// `(%a: type, ..) { .. }`
    fn region(&mut self) -> Step<Region> {
        let region = self.graph.new_region();
        self.mark('(')?;
        let mut params = Vec::new();
        while !self.eat(')') {
            let name = self.value_name()?;
            self.mark(':')?;
            let ty = self.ty()?;
            let value = self.graph.add_param(region, ty);
            self.define(name.clone(), Some(value))?;
            params.push(name);
            self.separator(')')?;
        }
        self.mark('{')?;
        self.statements(region)?;
        for name in params {
            self.values.remove(&name);
        }
        Ok(region)
    }

    fn resolve(&mut self, line: u32, names: &[&str]) -> Step<Vec<Value>> {
        let mut values = Vec::with_capacity(names.len());
        let mut wrong = false;
        for &name in names {
            match self.values.get(name) {
                Some(Some(value)) => values.push(*value),
                Some(None) => wrong = true,
                None => {
                    wrong = true;
                    self.report(line, [format!("%{name} is not defined here")]);
                }
            }
        }
        if wrong { Err(Stop::Reported) } else { Ok(values) }
    }

    fn check_results(&mut self, head: &Head<'_>, node: Node, declared: &[TensorType]) -> Step<()> {
        let results = self.graph.results(node).to_vec();
        let inferred: Vec<TensorType> = results.iter().map(|&value| self.graph.ty(value).clone()).collect();
        if inferred != declared {
            let message = format!("{} gives {}, not {}", head.name, list(&inferred), list(declared));
            return Err(self.report(head.line, [message]));
        }
        if results.len() != head.results.len() {
            let message = format!("{} has {} results, {} are named", head.name, results.len(), head.results.len());
            return Err(self.report(head.line, [message]));
        }
        for (name, value) in head.results.iter().zip(results) {
            self.values.insert(name.clone(), Some(value));
        }
        Ok(())
    }

    fn report(&mut self, line: u32, messages: impl IntoIterator<Item = String>) -> Stop {
        for message in messages {
            self.errors.push(self.error_at(line, message));
        }
        Stop::Reported
    }
}

/// How a constant is written.
enum ConstForm<'a> {
    Dense { words: Vec<&'a str>, splat: bool },
    Blob(String),
}

impl<'a> Parser<'a> {
    /// `dense<x>`, `dense<[x, ..]>` or `@name`.
    fn constant_form(&mut self) -> Step<ConstForm<'a>> {
        if let Token::Symbol(_) = self.peek() {
            return Ok(ConstForm::Blob(self.symbol()?));
        }
        if self.eat_keyword("elided") {
            return Err(self.error("the elements of this constant were left out when the text was written"));
        }
        self.keyword("dense")?;
        self.mark('<')?;
        let splat = !self.eat('[');
        let mut words = Vec::new();
        if splat {
            words.push(self.atom("an element")?);
        } else {
            while !self.eat(']') {
                words.push(self.atom("an element")?);
                self.separator(']')?;
            }
        }
        self.mark('>')?;
        Ok(ConstForm::Dense { words, splat })
    }

    fn constant(&mut self, form: ConstForm<'_>, types: &[TensorType]) -> Step<Const> {
        let [ty] = types else {
            return Err(self.error("a constant has one type"));
        };
        match form {
            ConstForm::Dense { words, splat } => {
                self.splat_bytes = self.splat_bytes.saturating_add(if splat { ty.bytes() } else { 0 });
                if self.splat_bytes > MAX_SPLAT_BYTES {
                    return Err(self.error(format!("constants of one value exceed {MAX_SPLAT_BYTES} bytes")));
                }
                let tensor = dense::from_text(&words, splat, ty).map_err(|message| self.error(message))?;
                Ok(self.graph.add_tensor(tensor))
            }
            ConstForm::Blob(name) => self.blob_constant(name, ty),
        }
    }
}

fn list(types: &[TensorType]) -> String {
    types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
