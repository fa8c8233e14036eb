//! The basic blocks of a kernel in the shape of its tree.
//!
//! Invariant: a block of the vector IR begins with a straight part, and one follows each loop and each branch. A loop that runs
//! no iteration has no code: it is skipped, and the straight part goes on.

/// What belongs to one block of the vector IR, in order.
#[derive(Clone, Debug)]
pub struct Outline<T> {
    pub parts: Vec<Part<T>>,
}

#[derive(Clone, Debug)]
pub enum Part<T> {
    Straight(T),
    Loop(Outline<T>),
    /// What is done if the condition holds, and what is done else.
    If([Outline<T>; 2]),
    Skipped,
}

impl<T> Outline<T> {
    /// The same shape with something else in the place of each straight part.
    pub fn map<U>(&self, f: &impl Fn(&T) -> U) -> Outline<U> {
        let parts = self.parts.iter().map(|part| match part {
            Part::Straight(straight) => Part::Straight(f(straight)),
            Part::Loop(body) => Part::Loop(body.map(f)),
            Part::If(ways) => Part::If(ways.each_ref().map(|way| way.map(f))),
            Part::Skipped => Part::Skipped,
        });
        Outline { parts: parts.collect() }
    }
}
