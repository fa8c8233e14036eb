//! The choice among kernels: a layer lists the forms it can take, and one is chosen.
//!
//! ```text
//! candidates     [form]            in the order of the rules of thumb, the one they prefer first
//!    | estimate                    one that takes clearly fewer cycles comes first
//!    | Choices                     what was measured on the machine decides against that order
//! chosen form -> steps of the program, and a record of the decision in it
//! ```
//!
//! All forms of a layer give the same bits. A layer is known by its *problem*, a text of everything that decides how long the
//! forms take (see [`super::problem`]): equal layers decide alike, and what was measured in one model serves another one.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::Lowering;
use super::kernel::KernelSpec;
use super::place::StorageKind;

/// How long kernels take, as lowering asks before it chooses one.
pub trait Estimate {
    /// Cycles of one core for all items of `spec`, first cache warm as far as the data fit. `constants[i]` are the bytes of operand `i` where it is a
    /// constant (packed weights decide how often some loops run).
    fn cycles(&self, spec: &KernelSpec, constants: &[Option<&[u8]>]) -> f64;
}

/// What a layer is computed by. The text form is stable: tuning files have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Products of vectors, in tiles of so many pixels and vectors of output channels.
    Lanes(Tiling),
    /// The same with rows outside, and so many copies of the source.
    Copies(Tiling, usize),
    /// Products in tile registers, in panels of so many tiles of pixels and of output channels.
    Tiles(Tiling),
    /// The same with the epilogue of an item between the products of the next one.
    Overlapped(Tiling),
    /// Products in tile registers, of so many rows of pixels as one.
    Band(usize),
    /// The transform of 3x3 windows that multiplies less.
    Winograd,
    /// A depthwise convolution that takes so many neighbouring pixels as one.
    Fold(usize),
}

/// What is computed together, and what the outer loop walks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    pub pixels: usize,
    pub channels: usize,
    pub blocks_outer: bool,
}

const BLOCKS_OUTER: &str = "blocks-outer";
const ROWS_OUTER: &str = "rows-outer";

impl fmt::Display for Tiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{} {}", self.pixels, self.channels, if self.blocks_outer { BLOCKS_OUTER } else { ROWS_OUTER })
    }
}

impl Form {
    /// Whether blocks of output channels are the outer loop, if there are two.
    fn blocks_outer(self) -> Option<bool> {
        match self {
            Form::Lanes(tiling) | Form::Copies(tiling, _) | Form::Tiles(tiling) | Form::Overlapped(tiling) => {
                Some(tiling.blocks_outer)
            }
            Form::Band(_) | Form::Winograd | Form::Fold(_) => None,
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Form::Lanes(tiling) => write!(f, "lanes {tiling}"),
            Form::Copies(tiling, copies) => write!(f, "lanes {tiling} {copies} copies"),
            Form::Tiles(tiling) => write!(f, "tiles {tiling}"),
            Form::Overlapped(tiling) => write!(f, "overlapped {tiling}"),
            Form::Band(rows) => write!(f, "band {rows}"),
            Form::Winograd => f.write_str("winograd"),
            Form::Fold(pixels) => write!(f, "fold {pixels}"),
        }
    }
}

impl FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Form, String> {
        let words: Vec<&str> = text.split(' ').collect();
        let form = match words[..] {
            ["winograd"] => Some(Form::Winograd),
            ["band", rows] => rows.parse().ok().map(Form::Band),
            ["fold", pixels] => pixels.parse().ok().map(Form::Fold),
            ["lanes", sizes, order] => tiling(sizes, order).map(Form::Lanes),
            ["lanes", sizes, order, copies, "copies"] => {
                tiling(sizes, order).zip(copies.parse().ok()).map(|(tiling, copies)| Form::Copies(tiling, copies))
            }
            ["tiles", sizes, order] => tiling(sizes, order).map(Form::Tiles),
            ["overlapped", sizes, order] => tiling(sizes, order).map(Form::Overlapped),
            _ => None,
        };
        form.filter(|form| form.to_string() == text).ok_or_else(|| format!("`{text}` is no form of a layer"))
    }
}

/// `4x2 rows-outer`.
fn tiling(sizes: &str, order: &str) -> Option<Tiling> {
    let (pixels, channels) = sizes.split_once('x')?;
    let blocks_outer = match order {
        BLOCKS_OUTER => true,
        ROWS_OUTER => false,
        _ => return None,
    };
    Some(Tiling { pixels: pixels.parse().ok()?, channels: channels.parse().ok()?, blocks_outer })
}

/// Part of the cycles of the form that the rules of thumb prefer, below which another one is taken: estimates are off by some
/// 20 % in either direction.
const CLEARLY: f64 = 0.7;

/// Part of the fewest cycles up to which forms are taken to be equally fast: the loops of the preferred one decide then.
const ABOUT: f64 = 1.05;

/// The forms that problems shall take; the compiler decides about those that are not here.
pub type Choices = BTreeMap<String, Form>;

/// One way to compute a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    pub form: Form,
    /// Cycles of one core, by estimate.
    pub cycles: f64,
}

/// What was decided about a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub problem: String,
    /// At least one. The first is what is taken if nothing was measured.
    pub candidates: Vec<Candidate>,
    /// Number of the one that was taken.
    pub taken: usize,
    /// What [`Choices`] ask for and is not among the candidates: these weights do not allow it, or the file is of another
    /// version of the compiler.
    pub impossible: Option<Form>,
    /// Numbers of the steps in the program.
    pub steps: Range<usize>,
}

impl Choice {
    pub fn form(&self) -> Form {
        self.candidates[self.taken].form
    }

    fn new(problem: String, candidates: Vec<Candidate>, choices: &Choices) -> Choice {
        let wanted = choices.get(&problem).copied();
        let found = wanted.and_then(|wanted| candidates.iter().position(|candidate| candidate.form == wanted));
        let impossible = wanted.filter(|_| found.is_none());
        Choice { problem, candidates, taken: found.unwrap_or(0), impossible, steps: 0..0 }
    }
}

/// For each problem the forms that could be taken instead of the default ones, in a fixed order. Layers with one problem may
/// have different forms, where these depend on the weights.
pub fn alternatives(choices: &[Choice]) -> BTreeMap<&str, Vec<Form>> {
    let mut alternatives: BTreeMap<&str, Vec<Form>> = BTreeMap::new();
    for choice in choices {
        let forms = alternatives.entry(&choice.problem).or_default();
        for candidate in &choice.candidates {
            if !forms.contains(&candidate.form) {
                forms.push(candidate.form);
            }
        }
    }
    for (problem, forms) in &mut alternatives {
        let defaults =
            || choices.iter().filter(|choice| choice.problem == **problem).map(|choice| choice.candidates[0].form);
        forms.retain(|&form| defaults().any(|default| default != form));
    }
    alternatives
}

/// Every problem that has as many alternatives takes the one with this number; the others stay as they are.
pub fn variant(alternatives: &BTreeMap<&str, Vec<Form>>, number: usize) -> Choices {
    let nth = |(problem, forms): (&&str, &Vec<Form>)| Some((problem.to_string(), *forms.get(number)?));
    alternatives.iter().filter_map(nth).collect()
}

/// How far the lists of a lowering go.
struct Mark {
    steps: usize,
    kernels: usize,
    constants: usize,
    storages: usize,
}

/// The number of the form to take: the first, unless another one has clearly fewer cycles.
fn best_of(candidates: &[Candidate]) -> Option<usize> {
    let preferred = candidates.first()?;
    let fewest = (0..candidates.len()).min_by(|&a, &b| candidates[a].cycles.total_cmp(&candidates[b].cycles))?;
    let cycles = candidates[fewest].cycles;
    if cycles >= CLEARLY * preferred.cycles {
        return Some(0);
    }
    let alike = |candidate: &Candidate| {
        candidate.cycles <= ABOUT * cycles && candidate.form.blocks_outer() == preferred.form.blocks_outer()
    };
    candidates.iter().position(alike).or(Some(fewest))
}

impl Lowering<'_> {
    /// Chooses one of `forms`, the preferred one first, and lets `emit` write its steps. Nothing but steps, kernels and storages
    /// may come of `emit`, which is also called to ask for estimates.
    pub fn decide(
        &mut self,
        problem: String,
        forms: &[Form],
        mut emit: impl FnMut(&mut Self, Form) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut candidates = self.candidates(&problem, forms, &mut emit)?;
        let best = best_of(&candidates).ok_or("internal error: a layer that takes no form")?;
        candidates[..=best].rotate_right(1);
        let mut choice = Choice::new(problem, candidates, &self.wanted);
        let first = self.steps.len();
        emit(self, choice.form())?;
        choice.steps = first..self.steps.len();
        self.choices.push(choice);
        Ok(())
    }

    /// The forms with their cycles; those of a layer that was the same are known.
    fn candidates(
        &mut self,
        problem: &str,
        forms: &[Form],
        emit: &mut impl FnMut(&mut Self, Form) -> Result<(), String>,
    ) -> Result<Vec<Candidate>, String> {
        let alike = self.choices.iter().filter(|choice| choice.problem == problem);
        let known: Vec<Candidate> = alike.flat_map(|choice| choice.candidates.iter().copied()).collect();
        let of = |form| match known.iter().find(|candidate| candidate.form == form) {
            Some(candidate) => Ok(*candidate),
            None => Ok(Candidate { form, cycles: self.cycles(form, emit)? }),
        };
        forms.iter().copied().map(of).collect()
    }

    /// Cycles of a form: its steps are written, estimated and taken back.
    fn cycles(
        &mut self,
        form: Form,
        emit: &mut impl FnMut(&mut Self, Form) -> Result<(), String>,
    ) -> Result<f64, String> {
        let mark = self.mark();
        emit(self, form)?;
        let cycles = (mark.steps..self.steps.len()).map(|step| self.step_cycles(step)).sum();
        self.take_back(&mark);
        Ok(cycles)
    }

    fn step_cycles(&self, step: usize) -> f64 {
        let step = &self.steps[step];
        let constant = |operand: &super::Operand| match self.storages[operand.storage].kind {
            StorageKind::Const(id) => self.constants[id].get(usize::try_from(operand.offset).ok()?..),
            StorageKind::Input(_) | StorageKind::Output(_) | StorageKind::Workspace | StorageKind::State => None,
        };
        let constants: Vec<Option<&[u8]>> = step.operands.iter().map(constant).collect();
        self.estimate.cycles(&self.kernels[step.kernel], &constants)
    }

    fn mark(&self) -> Mark {
        Mark {
            steps: self.steps.len(),
            kernels: self.kernels.len(),
            constants: self.constants.len(),
            storages: self.storages.len(),
        }
    }

    fn take_back(&mut self, mark: &Mark) {
        self.steps.truncate(mark.steps);
        let kernels = std::mem::take(&mut self.kernels);
        self.kernels = kernels.into_iter().take(mark.kernels).map(|(_, kernel)| kernel).collect();
        let constants = std::mem::take(&mut self.constants);
        self.constants = constants.into_iter().take(mark.constants).map(|(_, bytes)| bytes).collect();
        let storages = std::mem::take(&mut self.storages);
        self.storages = storages.into_iter().take(mark.storages).map(|(_, storage)| storage).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_they_are_written() {
        let tiling = Tiling { pixels: 6, channels: 4, blocks_outer: true };
        let forms = [
            (Form::Lanes(tiling), "lanes 6x4 blocks-outer"),
            (Form::Copies(Tiling { blocks_outer: false, ..tiling }, 12), "lanes 6x4 rows-outer 12 copies"),
            (Form::Tiles(Tiling { blocks_outer: false, ..tiling }), "tiles 6x4 rows-outer"),
            (Form::Overlapped(tiling), "overlapped 6x4 blocks-outer"),
            (Form::Winograd, "winograd"),
            (Form::Band(7), "band 7"),
            (Form::Fold(4), "fold 4"),
        ];
        for (form, text) in forms {
            assert_eq!((form.to_string().as_str(), text.parse()), (text, Ok(form)));
        }
        for wrong in
            ["", "fold", "fold x", "fold 04", "lanes 6x4", "lanes 6 blocks-outer", "tiles 1x1 inner", "winograd 2"]
        {
            assert!(wrong.parse::<Form>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_preferred_form_gives_way_to_clearly_fewer_cycles() {
        let best = |forms: &[(&str, f64)]| {
            let candidate = |&(form, cycles): &(&str, f64)| Candidate { form: form.parse().unwrap(), cycles };
            best_of(&forms.iter().map(candidate).collect::<Vec<_>>())
        };
        assert_eq!(best(&[("band 7", 100.0), ("tiles 2x2 rows-outer", 75.0)]), Some(0));
        assert_eq!(best(&[("band 7", 100.0), ("tiles 2x2 rows-outer", 65.0)]), Some(1));
        let loops = [
            ("tiles 4x1 blocks-outer", 100.0),
            ("overlapped 1x2 rows-outer", 60.0),
            ("overlapped 1x2 blocks-outer", 62.0),
        ];
        assert_eq!(best(&loops), Some(2), "about as fast, with the loops of the preferred one");
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn what_was_measured_decides_where_it_is_possible() {
        let candidates = || [1, 2].map(|pixels| Candidate { form: Form::Fold(pixels), cycles: 0.0 }).to_vec();
        let choose = |form| Choice::new("p".into(), candidates(), &Choices::from([("p".into(), form)]));
        let decided = |choice: Choice| (choice.form(), choice.impossible);
        assert_eq!(decided(choose(Form::Fold(2))), (Form::Fold(2), None));
        assert_eq!(decided(choose(Form::Winograd)), (Form::Fold(1), Some(Form::Winograd)));
        assert_eq!(decided(Choice::new("q".into(), candidates(), &Choices::new())), (Form::Fold(1), None));
    }
}
