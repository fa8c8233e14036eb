//! From times of steps to a form for each problem.

use std::collections::BTreeMap;

use octet::lower::choice::{Choice, Choices, Form};
use octet::tuning::{DEFAULT, Entry};

/// A form must be faster by this share before it replaces the compiler's decision: less may be chance.
const MARGIN: f64 = 0.03;

/// Time of all layers of each problem in one inference, in microseconds.
pub fn times(choices: &[Choice], steps_us: &[f64]) -> BTreeMap<String, f64> {
    let mut times = BTreeMap::new();
    for choice in choices {
        let us: f64 = steps_us.get(choice.steps.clone()).unwrap_or_default().iter().sum();
        *times.entry(choice.problem.clone()).or_insert(0.0) += us;
    }
    times
}

/// What was measured of a problem.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Where the compiler decides.
    pub default_us: f64,
    pub forms: Vec<(Form, f64)>,
}

impl Measured {
    /// The fastest form, if it is faster than the default by more than chance; of equals the first.
    pub fn faster(&self) -> Option<Form> {
        let best = self.forms.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        best.filter(|(_, us)| *us < self.default_us * (1.0 - MARGIN)).map(|(form, _)| *form)
    }

    pub fn entry(&self, form: Option<Form>, threads: u32) -> Entry {
        let forms = self.forms.iter().map(|(form, us)| (form.to_string(), *us));
        let microseconds = forms.chain([(DEFAULT.to_owned(), self.default_us)]).collect();
        Entry { form, threads: threads.into(), microseconds }
    }
}

/// What remains of `chosen` when both programs are measured again: forms that are still faster.
pub fn confirmed(chosen: Choices, default_us: &BTreeMap<String, f64>, tuned_us: &BTreeMap<String, f64>) -> Choices {
    let faster = |problem: &str| match (default_us.get(problem), tuned_us.get(problem)) {
        (Some(default), Some(tuned)) => *tuned < default * (1.0 - MARGIN / 2.0),
        _ => false,
    };
    chosen.into_iter().filter(|(problem, _)| faster(problem)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_more_than_chance_replaces_the_default() {
        let faster = |us: &[f64]| {
            let forms = us.iter().enumerate().map(|(index, &us)| (Form::Fold(index), us)).collect();
            Measured { default_us: 100.0, forms }.faster()
        };
        let cases: [(&[f64], Option<usize>); 5] = [
            (&[], None),
            (&[98.0], None),
            (&[96.0], Some(0)),
            (&[110.0, 90.0, 80.0, 80.0], Some(2)),
            (&[f64::INFINITY], None),
        ];
        for (us, expected) in cases {
            assert_eq!(faster(us), expected.map(Form::Fold), "{us:?}");
        }
    }

    #[test]
    fn layers_of_one_problem_are_taken_together() {
        let choice = |problem: &str, steps| Choice {
            problem: problem.into(),
            candidates: Vec::new(),
            taken: 0,
            impossible: None,
            steps,
        };
        let choices = [choice("a", 0..2), choice("b", 3..4), choice("a", 4..5)];
        let expected = BTreeMap::from([("a".to_owned(), 19.0), ("b".to_owned(), 8.0)]);
        assert_eq!(times(&choices, &[1.0, 2.0, 4.0, 8.0, 16.0]), expected);
    }

    #[test]
    fn what_is_not_faster_again_stays_as_it_was() {
        let times = |a: f64, b: f64| BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        let chosen = ["a", "b", "c"].map(|problem| (problem.to_owned(), Form::Winograd));
        let left = confirmed(Choices::from(chosen), &times(10.0, 10.0), &times(9.0, 9.9));
        assert_eq!(left, Choices::from([("a".to_owned(), Form::Winograd)]));
    }
}
